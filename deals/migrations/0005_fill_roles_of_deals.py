"""Roles move from a row each into their deal: batch by batch, each in its own transaction, and again if interrupted."""

from typing import Any

from django.db import migrations, transaction
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

BATCH = 10_000

FORWARDS = """
    UPDATE deals_deal d SET roles = r.roles FROM (
        SELECT deal_id, jsonb_object_agg(role, jsonb_build_object(
            'holders', holders, 'held', (SELECT jsonb_object_agg(h, held_since_at) FROM unnest(holders) h),
            'since', held_since_on, 'last_on', last_on, 'activity', last_activity_id)) AS roles
        FROM deals_dealrole WHERE organisation_id = %(org)s AND deal_id = ANY(%(ids)s) GROUP BY deal_id
    ) r WHERE d.organisation_id = %(org)s AND d.id = r.deal_id
"""
BACKWARDS = """
    INSERT INTO deals_dealrole
        (organisation_id, deal_id, role, holders, held_since_at, held_since_on, last_on, last_activity_id)
    SELECT d.organisation_id, d.id, r.key, ARRAY(SELECT jsonb_object_keys(r.value -> 'held')::bigint ORDER BY 1),
           (SELECT min(h.value::timestamptz) FROM jsonb_each_text(r.value -> 'held') h), (r.value ->> 'since')::date,
           (r.value ->> 'last_on')::date, (r.value ->> 'activity')::bigint
    FROM deals_deal d CROSS JOIN LATERAL jsonb_each(d.roles) r
    WHERE d.organisation_id = %(org)s AND d.id = ANY(%(ids)s)
    ON CONFLICT (organisation_id, deal_id, role) DO NOTHING
"""


def _in_batches(apps: Any, editor: BaseDatabaseSchemaEditor, statement: str) -> None:
    for organisation in apps.get_model("accounts", "Organisation").objects.order_by("pk").values_list("pk", flat=True):
        last = 0
        while True:
            # The walls hold for the owner as well.
            with transaction.atomic(), editor.connection.cursor() as cursor:
                cursor.execute("SELECT set_config('app.org_id', %s, true)", [str(organisation)])
                cursor.execute(
                    "SELECT id FROM deals_deal WHERE organisation_id = %s AND id > %s ORDER BY id LIMIT %s",
                    [organisation, last, BATCH],
                )
                if not (ids := [row[0] for row in cursor.fetchall()]):
                    break
                cursor.execute(statement, {"org": organisation, "ids": ids})
                last = ids[-1]


def forwards(apps: Any, editor: BaseDatabaseSchemaEditor) -> None:
    _in_batches(apps, editor, FORWARDS)


def backwards(apps: Any, editor: BaseDatabaseSchemaEditor) -> None:
    _in_batches(apps, editor, BACKWARDS)


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("deals", "0004_roles_beside_the_deal")]
    operations = [migrations.RunPython(forwards, backwards)]
