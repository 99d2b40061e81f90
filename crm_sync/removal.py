"""Taking away everything that was read from one CRM account, in small steps that a restart does not undo.

The deals go first: what hangs on them (alerts, history, notes, …) goes with them in the database, and activities,
which deals point to, then go without a look at each deal. At last the account itself, with all that is left.
"""

from django.db import models, transaction
from django.db.models import F

from accounts.tenancy import tenant
from crm_sync import locks, oauth, routes, sync, vault
from crm_sync.models import Connection
from deals.models import Activity, Company, Contact, Deal, Person, Source

STEP = 500  # rows of one transaction
COUNTED: tuple[type[models.Model], ...] = (Deal, Activity, Contact, Person, Company)


def begin(connection: Connection) -> None:
    """Forget the login at once, and have the worker delete the rest."""
    from crm_sync.tasks import remove

    sync.disconnect(connection, Connection.State.DELETING)
    Connection.objects.filter(pk=connection.pk).update(to_delete=None, deleted=0)
    remove.delay_on_commit(connection.organisation_id, connection.pk)  # type: ignore[attr-defined]


def step(organisation_id: int, connection_id: int) -> bool:
    """Delete some rows in a transaction of their own; False when nothing is left to be done."""
    with locks.conversation(connection_id), tenant(organisation_id):  # what is being read is waited for
        connection = (
            Connection.objects.select_related("source")
            .filter(pk=connection_id, state=Connection.State.DELETING)
            .first()
        )
        if connection is None:
            return False
        mine = {"organisation": organisation_id, "source": connection.source_id}
        rows = Connection.objects.filter(pk=connection_id)
        if connection.to_delete is None:
            rows.update(to_delete=sum(model._default_manager.filter(**mine).count() for model in COUNTED))
            return True
        for model in COUNTED:
            found = list(model._default_manager.filter(**mine).order_by("pk").values_list("pk", flat=True)[:STEP])
            if found:
                _delete(model._default_manager.filter(organisation=organisation_id, pk__in=found))
                rows.update(deleted=F("deleted") + len(found))
                return True
        routes.forget(connection.source)
        _delete(Source.objects.filter(organisation=organisation_id, pk=connection.source_id))
    return False


def _delete(rows: "models.QuerySet[models.Model]") -> None:
    """By the keys of the database, which know what hangs on a row; Django would fetch it all."""
    rows._raw_delete(rows.db)


def give_back(connection: Connection) -> None:
    """Have the worker revoke the access at the CRM, if nobody else here needs it. Before the login is forgotten."""
    from crm_sync.tasks import revoke

    if connection.method != Connection.Method.OAUTH or not connection.refresh_token:
        return
    source = connection.source
    if set(routes.organisations_of(source.provider, source.account_id)) - {connection.organisation_id}:
        return  # at Pipedrive the app would be gone for them, too
    arguments = (connection.provider, connection.organisation_id, connection.source_id, connection.refresh_token)
    transaction.on_commit(lambda: revoke.delay(*arguments), robust=True)


def revoke_now(provider: str, organisation_id: int, source_id: int, sealed: str) -> None:
    """Raises CrmError, vault.Unreadable."""
    if (app := oauth.app(provider)) is not None:
        app.revoke(vault.unseal(sealed, organisation_id, source_id))
