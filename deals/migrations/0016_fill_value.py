"""The values of open deals: batch by batch, each in its own transaction, and again if interrupted.

There are no rates yet: known is what is in the organisation's own currency.
"""

from typing import Any

from django.db import migrations, transaction
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

BATCH = 5_000
FILL = """
WITH batch AS (
    SELECT id FROM deals_deal WHERE organisation_id = %(org)s AND id > %(last)s ORDER BY id LIMIT %(size)s
), written AS (
    UPDATE deals_deal d SET value = d.amount FROM batch WHERE d.organisation_id = %(org)s AND d.id = batch.id
    AND d.status = 'open' AND NOT d.archived AND NOT d.deleted AND d.currency = %(currency)s
    AND d.value IS DISTINCT FROM d.amount
)
SELECT max(id) FROM batch
"""


def fill(apps: Any, editor: BaseDatabaseSchemaEditor) -> None:
    organisations = apps.get_model("accounts", "Organisation").objects.order_by("pk")
    for organisation, currency in organisations.values_list("pk", "currency"):
        last = 0
        while last is not None:
            # The walls hold for the owner as well.
            with transaction.atomic(), editor.connection.cursor() as cursor:
                cursor.execute("SELECT set_config('app.org_id', %s, true)", [str(organisation)])
                cursor.execute(FILL, {"org": organisation, "currency": currency, "last": last, "size": BATCH})
                last = cursor.fetchone()[0]


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("deals", "0015_deal_value")]
    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
