"""The state of an organisation's CRM connections in words: one statement, for every page."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import connection
from django.utils.translation import gettext as _

from accounts.models import Organisation
from alerts.formats import time_apart
from crm_sync import wording
from crm_sync.models import Connection
from deals.clock import Clock

FRESH = timedelta(minutes=15)
COMPARED = timedelta(days=2)  # a comparison begins every day


@dataclass(frozen=True)
class Status:
    """`state`: none, first (the first synchronisation is running), trouble, differs (what is here is not what the CRM
    holds, or was not compared for days), stale or fresh.

    `text` is one line; `what` and `todo` say what is wrong and what to do; `records` were read by the run under way.
    """

    state: str
    text: str
    provider: str = ""
    what: str = ""
    todo: str = ""
    records: int = 0

    @property
    def tone(self) -> str:
        return {"fresh": "ok", "trouble": "bad"}.get(self.state, "")


class Known(NamedTuple):
    """What the state of a connection (its id) follows from: its newest run, None where there is none, and the newest
    comparison of each stream, taken together."""

    connection: int
    provider: str
    state: str
    method: str
    synced_at: datetime | None
    first_synced_at: datetime | None
    problem: str | None
    detail: str | None
    finished_at: datetime | None
    records: int | None
    left: int | None
    held: int | None
    compared_at: datetime | None


# In SQL: every page asks this, and to build it with the ORM took five times as long as to run it.
_KNOWN = """
SELECT c.id, c.provider, c.state, c.method, s.synced_at, s.first_synced_at,
       run.problem, run.problem_detail, run.finished_at, run.records, compared.*
FROM crm_sync_connection c
JOIN deals_source s ON s.organisation_id = c.organisation_id AND s.id = c.source_id
LEFT JOIN LATERAL (
    SELECT r.problem, r.problem_detail, r.finished_at, (
        SELECT sum(p.records) FROM crm_sync_streamprogress p
        WHERE p.organisation_id = r.organisation_id AND p.run_id = r.id
    ) AS records
    FROM crm_sync_syncrun r
    WHERE r.organisation_id = c.organisation_id AND r.connection_id = c.id
    ORDER BY r.started_at DESC LIMIT 1
) run ON true
CROSS JOIN LATERAL (
    SELECT sum(r."left"), sum(r.held), min(r.finished_at) FROM crm_sync_reconciliation r
    WHERE r.organisation_id = c.organisation_id AND r.connection_id = c.id AND r.is_latest
) compared
WHERE c.organisation_id = %s ORDER BY c.id
"""


def find_known(organisation: Organisation) -> list[Known]:
    """Of all connections, the oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(_KNOWN, [organisation.pk])
        return [Known(*row) for row in cursor.fetchall()]


def status_of(known: Known, clock: Clock) -> Status:
    crm, synced_at, records = wording.label(known.provider), known.synced_at, known.records or 0
    values = {"crm": crm, "ago": time_apart(synced_at, clock.now) if synced_at else ""}
    if known.state == Connection.State.DELETING:
        return Status("stale", _("%(crm)s: its data are being deleted") % values, known.provider)
    if known.state == Connection.State.UNINSTALLED:
        what, todo = wording.problem("uninstalled", known.provider)
        text = " ".join([what, _("Last synchronised %(ago)s.") % values]) if synced_at else what
        return Status("trouble", text, known.provider, what, todo)
    if known.state == Connection.State.DISCONNECTED:
        text = _("%(crm)s disconnected, last synchronised %(ago)s") if synced_at else _("%(crm)s disconnected")
        return Status("stale", text % values, known.provider)
    problem = known.problem if not known.finished_at else ""
    if known.state != Connection.State.CONNECTED and not problem:
        refused = "access_withdrawn" if known.method == Connection.Method.OAUTH else "token_refused"
        problem = refused if known.state == Connection.State.REFUSED else "missing_permission"
    if problem:
        what, todo = wording.problem(problem, known.provider, known.detail or "")
        text = " ".join([what, _("Last synchronised %(ago)s.") % values]) if synced_at else what
        return Status("trouble", text, known.provider, what, todo, records)
    if not synced_at:
        text = _("%(crm)s: first synchronisation running") % values
        return Status("first", text, known.provider, records=records)
    if known.held:
        detail = wording.records(known.held)
        what, todo = wording.problem("mass_delete", known.provider, detail)
        return Status("trouble", what, known.provider, what, todo)
    state = "fresh" if clock.now - synced_at < FRESH else "stale"
    if state == "fresh" and known.left:
        return Status("differs", _("%(crm)s synchronised %(ago)s, some records differ") % values, known.provider)
    last = known.compared_at or known.first_synced_at
    if state == "fresh" and last and clock.now - last > COMPARED:
        return Status("differs", _("%(crm)s synchronised %(ago)s, not compared for days") % values, known.provider)
    return Status(state, _("%(crm)s synchronised %(ago)s") % values, known.provider)


def status(organisation: Organisation, clock: Clock) -> Status:
    """The state of the connection that needs attention most."""
    order = ("trouble", "first", "differs", "stale", "fresh")
    found = [status_of(each, clock) for each in find_known(organisation)]
    connected = [item for item in found if item.state != "stale"] or found
    return min(connected, key=lambda item: order.index(item.state), default=Status("none", _("No CRM connected")))
