"""The walls between organisations (docs/adr/0002): walk from an organisation, row level security, keys that carry it.

Tables without a policy, because they are read before an organisation is known:
- accounts: User, Organisation, Membership (they say which organisation it is), SignIn (a user's sessions)
- crm_sync: AccountRoute (a CRM account's number and whose it is: what a CRM sends names the account only),
  WebhookRoute (digests of a webhook's secret address and login, and whose they are)
- django's sessions, axes' login attempts, content types and migrations (nothing of a tenant in them)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, models, transaction
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from accounts.models import Organisation

UNWALLED = {"accounts.User", "accounts.Organisation", "accounts.Membership"}
UNWALLED |= {"crm_sync.AccountRoute", "crm_sync.WebhookRoute"}


class TenantModel(models.Model):
    """A row of one organisation. Every table of this kind is walled by `Wall` in the migration that creates it."""

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="%(class)ss", db_index=False)

    class Meta:
        abstract = True


class TenantPart(TenantModel):
    """A row that belongs to another row of its organisation, by a `TenantKey` that is never empty.

    That key says that the organisation exists. A plain one beside it would say so once more, for every row that is
    written: a twentieth of the time of a first synchronisation.
    """

    organisation = models.ForeignKey(
        Organisation, models.CASCADE, related_name="%(class)ss", db_index=False, db_constraint=False
    )

    class Meta:
        abstract = True


def TenantKey(to: str | type[models.Model], **options: Any) -> models.ForeignKey[Any, Any]:
    """A foreign key inside one organisation: `Wall` makes the constraint, which carries the organisation."""
    options.setdefault("on_delete", models.CASCADE)
    return models.ForeignKey(to, db_constraint=False, **options)


def is_tenant_key(field: Any) -> bool:
    plain = field.name == "organisation"
    return isinstance(field, models.ForeignKey) and not field.db_constraint and not plain  # type: ignore[attr-defined]


@contextmanager
def tenant(organisation: Organisation | int) -> Iterator[None]:
    """A transaction that sees the rows of one organisation; afterwards, inside another's, that other's again."""
    pk = organisation if isinstance(organisation, int) else organisation.pk
    inside_another = connection.in_atomic_block
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('app.org_id', true), set_config('app.org_id', %s, true)", [str(pk)])
        previous = cursor.fetchone()[0] or ""
        yield
        if inside_another and not connection.needs_rollback:  # the end of a transaction, or a rollback, restores it
            cursor.execute("SELECT set_config('app.org_id', %s, true)", [previous])


class Wall(Operation):
    """Migration operation: row level security (enabled, forced), unique (organisation, id), and for each `TenantKey`
    of the model a foreign key (organisation, key) so that no row can point across."""

    reduces_to_sql = True
    reversible = True

    def __init__(self, name: str) -> None:
        self.name = name

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return type(self).__name__, [self.name], {}

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Nothing that Django's model state knows of changes."""

    def database_forwards(
        self, app_label: str, editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        model = to_state.apps.get_model(app_label, self.name)
        table = model._meta.db_table
        editor.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        editor.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        # The sub-select makes it one look-up a statement instead of one a row.
        mine = "organisation_id = (SELECT NULLIF(current_setting('app.org_id', true), '')::bigint)"
        editor.execute(f"CREATE POLICY {table}_tenant ON {table} USING ({mine}) WITH CHECK ({mine})")
        editor.execute(f"ALTER TABLE {table} ADD CONSTRAINT {table}_org_id_key UNIQUE (organisation_id, id)")
        for field in model._meta.local_fields:
            if is_tenant_key(field):
                self._key(editor, table, field)

    @staticmethod
    def _key(editor: BaseDatabaseSchemaEditor, table: str, field: Any) -> None:
        column, target = field.column, field.related_model._meta.db_table
        # A vanished target empties the reference, never the organisation.
        action = "CASCADE" if field.remote_field.on_delete is models.CASCADE else f"SET NULL ({column})"
        editor.execute(
            f"ALTER TABLE {table} ADD CONSTRAINT {table}_{column}_org_fk FOREIGN KEY (organisation_id, {column}) "
            f"REFERENCES {target} (organisation_id, id) ON DELETE {action} DEFERRABLE INITIALLY DEFERRED"
        )

    def database_backwards(
        self, app_label: str, editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        model = from_state.apps.get_model(app_label, self.name)
        table = model._meta.db_table
        for field in model._meta.local_fields:
            if is_tenant_key(field):
                editor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_{field.column}_org_fk")
        editor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_org_id_key")
        editor.execute(f"DROP POLICY {table}_tenant ON {table}")
        editor.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
        editor.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")

    def describe(self) -> str:
        return f"Wall {self.name} off by organisation"

    @property
    def migration_name_fragment(self) -> str:
        return f"wall_{self.name.lower()}"


class Leaf(Operation):
    """Migration operation, after `Wall`: no other table refers to this one, so that it needs no unique (organisation,
    id), the largest index of a table of millions."""

    reduces_to_sql = True
    reversible = True

    def __init__(self, name: str) -> None:
        self.name = name

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return type(self).__name__, [self.name], {}

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Nothing that Django's model state knows of changes."""

    def database_forwards(
        self, app_label: str, editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        table = to_state.apps.get_model(app_label, self.name)._meta.db_table
        editor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_org_id_key")

    def database_backwards(
        self, app_label: str, editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        table = from_state.apps.get_model(app_label, self.name)._meta.db_table
        editor.execute(f"ALTER TABLE {table} ADD CONSTRAINT {table}_org_id_key UNIQUE (organisation_id, id)")

    def describe(self) -> str:
        return f"Nothing refers to {self.name}"

    @property
    def migration_name_fragment(self) -> str:
        return f"leaf_{self.name.lower()}"
