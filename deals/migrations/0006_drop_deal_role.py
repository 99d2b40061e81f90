from django.db import migrations

from accounts.tenancy import Wall


class Unwall(Wall):
    """A wall that comes down with its table, and is built again when the table is."""

    def database_forwards(self, *arguments: object) -> None:
        """The table goes at once, with its policy and keys."""

    def database_backwards(self, app_label, editor, from_state, to_state):  # type: ignore[no-untyped-def]
        super().database_forwards(app_label, editor, from_state, to_state)


class Migration(migrations.Migration):
    dependencies = [("deals", "0005_fill_roles_of_deals")]

    operations = [
        Unwall("DealRole"),
        migrations.DeleteModel(name="DealRole"),
    ]
