"""What the types of a Pipedrive account's activities are: found when they are first seen, corrected by an admin.

Every function runs in the caller's transaction and tenant context.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from accounts.models import User
from crm_sync import reapplying
from crm_sync.models import ActivityType, Connection, StreamProgress
from crm_sync.providers.base import TypeOfActivity
from crm_sync.providers.pipedrive.types import KINDS


class Conflict(Exception):
    """The types are not any more what the admin was shown; nothing was changed."""


def kinds(connection: Connection) -> dict[str, str]:
    """The kind of each type by its key, for a provider; "" for what does not count."""
    return dict(ActivityType.objects.filter(connection=connection).values_list("key", "kind"))


def learn(progress: StreamProgress, types: Sequence[TypeOfActivity], at: datetime) -> None:
    """Keep what the CRM tells of its types. `progress`: of the stream in which it did, in a run that goes on to the
    activities. A type keeps its kind when it is renamed or deactivated; one of the account's own counts only when an
    admin says so.
    """
    connection = _locked(progress.run.connection_id)
    known = {each.key: each for each in ActivityType.objects.filter(connection=connection)}
    told = {each.key: each for each in types}
    for key, row in known.items():
        active, name = (told[key].active, told[key].name) if key in told else (False, row.name)
        if (row.active, row.name) != (active, name):
            row.active, row.name = active, name
            row.save(update_fields=["active", "name"])
    fresh = [
        ActivityType(
            organisation_id=connection.organisation_id,
            connection=connection,
            key=each.key,
            name=each.name,
            kind=KINDS.get(each.key, ""),
            active=each.active,
            is_new=bool(known),
            found_at=at,
        )
        for each in told.values()
        if each.key not in known
    ]
    ActivityType.objects.bulk_create(fresh)
    if not known:  # what was read before does not say its type
        progress.run.streams.filter(stream="activities", finished=False).update(since=progress.since)


def choose(connection: Connection, chosen: Mapping[int, str], user: User, at: datetime, based_on: int) -> bool:
    """Say what types (by their ids) are, and begin to apply it; whether something is different now.

    What is stored already is changed here; what did not count, and so was not kept, is read again at the CRM.
    `based_on`: the version of the mapping that the admin was shown. Raises Conflict.
    """
    from crm_sync import sync

    connection = _locked(connection.pk)
    if connection.mapping_version != based_on:
        raise Conflict
    rows = ActivityType.objects.filter(connection=connection)
    before, passed_over = False, False
    for row in rows:
        kind = ActivityType.Kind(chosen.get(row.pk, row.kind))
        if kind == row.kind and not (row.suggestion and row.pk in chosen):
            continue
        if kind != row.kind:
            before, passed_over = before or bool(row.kind), passed_over or not row.kind
        row.kind, row.chosen_at, row.chosen_by = kind, at, user
        row.save(update_fields=["kind", "chosen_at", "chosen_by"])
    rows.filter(is_new=True).update(is_new=False)
    if not (before or passed_over):
        return False
    _changed(connection)
    if before:
        reapplying.begin(connection, at, types=True)
    if passed_over and connection.state == Connection.State.CONNECTED:
        sync.start(connection, streams=("activities",))
    return True


def _locked(pk: int) -> Connection:
    """Those who find and those who choose meet here."""
    return Connection.objects.select_for_update(of=("self",)).select_related("source").get(pk=pk)


def _changed(connection: Connection) -> None:
    connection.mapping_version += 1
    connection.save(update_fields=["mapping_version"])
