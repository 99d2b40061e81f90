"""The text of open deals: batch by batch, each in its own transaction, and again if interrupted."""

from typing import Any

from django.db import migrations, transaction
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from deals import search

BATCH = 5_000


def fill(apps: Any, editor: BaseDatabaseSchemaEditor) -> None:
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
                search.rebuild(cursor, organisation, ids)
                last = ids[-1]


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("deals", "0010_search_text")]
    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
