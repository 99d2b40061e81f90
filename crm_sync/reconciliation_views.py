"""The part of the connection page that says how what is here compares with the CRM, and what an admin can do."""

from dataclasses import dataclass
from datetime import datetime

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from accounts.views import MemberRequest, admin_required_to_post
from alerts import formats
from crm_sync import providers, reconcile, wording
from crm_sync.models import Compared, Connection, Reconciliation


@dataclass(frozen=True)
class ShownReport:
    """The last comparison of a stream. `state`: done, running, waiting, differs or held."""

    stream: str
    name: str
    state: str
    text: str
    report: Reconciliation | None
    named: list[tuple[str, list[str]]]


@dataclass(frozen=True)
class Comparison:
    """`at`: when the oldest of the last comparisons ended; None when there was none yet."""

    reports: list[ShownReport]
    at: datetime | None
    under_way: bool


def comparison(connection: Connection) -> Comparison:
    """What the page tells: one statement."""
    found = Reconciliation.objects.filter(connection=connection).select_related("released_by")
    rows = list(found.filter(is_latest=True)) + list(found.filter(finished_at=None))
    latest = {row.stream: row for row in rows if row.finished_at}
    current = {row.stream: row for row in rows if not row.finished_at}
    shown = [
        _shown(connection, stream, latest.get(stream), current.get(stream))
        for stream in providers.PROVIDERS[connection.provider].compared
        if stream in latest or stream in current
    ]
    times = [row.finished_at for row in latest.values() if row.finished_at]
    under_way = any(row.retry_at is None for row in current.values())
    return Comparison(shown, min(times, default=None), under_way and connection.state == Connection.State.CONNECTED)


def _shown(
    connection: Connection, stream: str, report: Reconciliation | None, current: Reconciliation | None
) -> ShownReport:
    name = wording.stream(stream)
    if current is not None:
        if current.problem:
            text = wording.problem(current.problem, connection.provider, name)[0]
            return ShownReport(stream, name, "waiting", text, report, [])
        state = "running" if current.started_at else "waiting"
        return ShownReport(stream, name, state, _("being compared") if current.started_at else _("waiting"), report, [])
    assert report is not None
    differences = dict(Compared.Difference.choices)
    named = [(str(label), report.named[key]) for key, label in differences.items() if report.named.get(key)]
    if report.held:
        text = ngettext(
            "%(count)s record is here but not in the list that %(crm)s gave. Nothing was deleted.",
            "%(count)s records are here but not in the list that %(crm)s gave. Nothing was deleted.",
            report.held,
        )
        values = {"count": formats.number(report.held), "crm": wording.label(connection.provider)}
        return ShownReport(stream, name, "held", text % values, report, named)
    if report.left:
        text = ngettext("%(count)s record still differs", "%(count)s records still differ", report.left)
        return ShownReport(stream, name, "differs", text % {"count": formats.number(report.left)}, report, named)
    text = _("complete")
    if report.repaired:
        text = ngettext("complete, %(count)s record repaired", "complete, %(count)s records repaired", report.repaired)
        text %= {"count": formats.number(report.repaired)}
    return ShownReport(stream, name, "done", text, report, named)


def _connected(request: MemberRequest, pk: int) -> Connection:
    connections = Connection.objects.filter(organisation=request.org).select_related("source")
    return get_object_or_404(connections, pk=pk)


@require_POST
@admin_required_to_post
def reconciliation_begin(request: MemberRequest, pk: int) -> HttpResponse:
    """Compare now: all streams, or the one that is named."""
    connection = _connected(request, pk)
    stream = request.POST.get("stream", "")
    streams = [stream] if stream in providers.PROVIDERS[connection.provider].compared else []
    if connection.state == Connection.State.CONNECTED and connection.synced_until:
        Reconciliation.objects.filter(connection=connection, finished_at=None).update(retry_at=None)
        reconcile.begin(connection, streams)
    return redirect("crm_sync:connection")


@require_POST
@admin_required_to_post
def reconciliation_release(request: MemberRequest, pk: int) -> HttpResponse:
    """Let the deletions of one stream happen that the brake holds."""
    connection = _connected(request, pk)
    if connection.state == Connection.State.CONNECTED:
        if reconcile.release(connection, request.POST.get("stream", ""), request.user):
            messages.success(request, _("What the CRM does not have any more is being deleted here."))
        else:
            messages.warning(request, _("There is nothing to delete any more: a newer comparison has begun."))
    return redirect("crm_sync:connection")
