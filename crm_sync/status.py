"""The state of an organisation's CRM connections in words: one statement, for every page."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Min, OuterRef, Subquery, Sum
from django.db.models.functions import Coalesce, JSONObject
from django.utils.translation import gettext as _

from accounts.models import Organisation
from alerts.formats import time_apart
from crm_sync import wording
from crm_sync.models import Connection, Reconciliation, StreamProgress, SyncRun
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


def connections_with_run(organisation: Organisation) -> Any:
    """Connections, each with `run`: the newest run as a dict, or None."""
    records = (
        StreamProgress.objects.filter(run=OuterRef("pk"))
        .order_by()
        .values("run")
        .annotate(n=Sum("records"))
        .values("n")
    )
    newest = SyncRun.objects.filter(connection=OuterRef("pk")).order_by("-started_at")
    run = JSONObject(
        pk="pk",
        kind="kind",
        problem="problem",
        detail="problem_detail",
        finished="finished_at",
        records=Coalesce(Subquery(records), 0),
    )
    latest = Reconciliation.objects.filter(connection=OuterRef("pk"), is_latest=True).order_by().values("connection")
    sums = latest.annotate(n=Sum("left"), n_held=Sum("held"), oldest=Min("finished_at"))
    compared = sums.values(json=JSONObject(left="n", held="n_held", at="oldest"))
    return (
        Connection.objects.filter(organisation=organisation)
        .select_related("source")
        .annotate(run=Subquery(newest.values(json=run)[:1]), compared=Subquery(compared))
        .order_by("pk")
    )


def status_of(connection: Any, clock: Clock) -> Status:
    """The state of one of `connections_with_run`."""
    crm, run, synced_at = wording.label(connection.provider), connection.run or {}, connection.source.synced_at
    values = {"crm": crm, "ago": time_apart(synced_at, clock.now) if synced_at else ""}
    if connection.state == Connection.State.DELETING:
        return Status("stale", _("%(crm)s: its data are being deleted") % values, connection.provider)
    if connection.state == Connection.State.UNINSTALLED:
        what, todo = wording.problem("uninstalled", connection.provider)
        text = " ".join([what, _("Last synchronised %(ago)s.") % values]) if synced_at else what
        return Status("trouble", text, connection.provider, what, todo)
    if connection.state == Connection.State.DISCONNECTED:
        text = _("%(crm)s disconnected, last synchronised %(ago)s") if synced_at else _("%(crm)s disconnected")
        return Status("stale", text % values, connection.provider)
    problem = run.get("problem") if not run.get("finished") else ""
    if connection.state != Connection.State.CONNECTED and not problem:
        refused = "access_withdrawn" if connection.method == Connection.Method.OAUTH else "token_refused"
        problem = refused if connection.state == Connection.State.REFUSED else "missing_permission"
    if problem:
        what, todo = wording.problem(problem, connection.provider, run.get("detail", ""))
        text = " ".join([what, _("Last synchronised %(ago)s.") % values]) if synced_at else what
        return Status("trouble", text, connection.provider, what, todo, run.get("records", 0))
    if not synced_at:
        text = _("%(crm)s: first synchronisation running") % values
        return Status("first", text, connection.provider, records=run.get("records", 0))
    compared = connection.compared or {}
    if compared.get("held"):
        detail = wording.records(compared["held"])
        what, todo = wording.problem("mass_delete", connection.provider, detail)
        return Status("trouble", what, connection.provider, what, todo)
    state = "fresh" if clock.now - synced_at < FRESH else "stale"
    if state == "fresh" and compared.get("left"):
        return Status("differs", _("%(crm)s synchronised %(ago)s, some records differ") % values, connection.provider)
    last = datetime.fromisoformat(compared["at"]) if compared else connection.source.first_synced_at
    if state == "fresh" and last and clock.now - last > COMPARED:
        return Status("differs", _("%(crm)s synchronised %(ago)s, not compared for days") % values, connection.provider)
    return Status(state, _("%(crm)s synchronised %(ago)s") % values, connection.provider)


def status(organisation: Organisation, clock: Clock) -> Status:
    """The state of the connection that needs attention most."""
    order = ("trouble", "first", "differs", "stale", "fresh")
    found = [status_of(connection, clock) for connection in connections_with_run(organisation)]
    connected = [item for item in found if item.state != "stale"] or found
    return min(connected, key=lambda item: order.index(item.state), default=Status("none", _("No CRM connected")))
