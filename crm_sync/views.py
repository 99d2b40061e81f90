from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.models import Organisation
from accounts.views import MemberRequest, admin_required_to_post, member_required
from crm_sync import details, oauth, reconciliation_views, removal, sync, webhooks, wording
from crm_sync.forms import ConnectForm
from crm_sync.models import Connection, DetailProgress, StreamProgress, SyncRun
from crm_sync.providers.base import CrmError
from crm_sync.status import Known, Status, find_known, status_of
from deals.clock import Clock
from deals.records import Detail

STOP_POLLING = 286
RUNS_SHOWN = 5


@dataclass(frozen=True)
class ShownStream:
    name: str
    records: int
    state: str  # done, running, waiting, left_out
    problem: str = ""


@dataclass(frozen=True)
class ShownConnection:
    """A connection with its state in words, the streams of its newest run, and its last runs."""

    connection: Connection
    crm: str
    status: Status
    running: bool
    streams: list[ShownStream]
    runs: list[tuple[SyncRun, int, str]]

    @property
    def disconnected(self) -> bool:
        """Whether it has no login any more."""
        state = Connection.State
        return self.connection.state in (state.DISCONNECTED, state.UNINSTALLED, state.DELETING)

    @property
    def deleting(self) -> bool:
        return self.connection.state == Connection.State.DELETING

    @property
    def missing(self) -> list[tuple[str, str]]:
        """The permissions that were not granted, each with what it is needed for."""
        app = oauth.app(self.connection.provider) if self.connection.method == Connection.Method.OAUTH else None
        scopes = app.missing(self.connection.scopes) if app and not self.disconnected else []
        return [(scope, wording.scope(scope)) for scope in scopes]

    @property
    def sign_in_again(self) -> bool:
        """Whether signing in once more is what helps, or brings the connection back."""
        ended = self.connection.state not in (Connection.State.CONNECTED, Connection.State.DELETING)
        by_oauth = self.connection.method == Connection.Method.OAUTH
        return by_oauth and (ended or bool(self.missing)) and oauth.app(self.connection.provider) is not None

    @cached_property
    def comparison(self) -> reconciliation_views.Comparison:
        return reconciliation_views.comparison(self.connection)

    @cached_property
    def details(self) -> list[ShownStream]:
        """How far the reading of single deals has come; nothing before it begins."""
        if self.disconnected or self.connection.source.first_synced_at is None:
            return []
        found = {progress.detail: progress for progress in self.connection.details.all()}
        left = details.remaining(self.connection)
        return [_detail(what, left[what], found.get(what), self.connection.provider) for what in left]

    @property
    def told(self) -> str:
        """How changes arrive."""
        feed = self.connection.feeds.first()
        return wording.told(self.connection.provider, feed.polled if feed else "unchecked")

    @property
    def deal_by_deal(self) -> bool:
        """Whether single deals are being read."""
        return any(detail.state == "running" for detail in self.details)

    @property
    def parked(self) -> str:
        count = webhooks.parked(self.connection).count()
        return wording.parked(count) if count else ""


def _shown(connection: Connection, known: Known, clock: Clock) -> ShownConnection:
    runs = list(connection.runs.prefetch_related("streams").order_by("-started_at")[:RUNS_SHOWN])
    running = bool(runs) and runs[0].finished_at is None and connection.state == Connection.State.CONNECTED
    return ShownConnection(
        connection=connection,
        crm=wording.label(connection.provider),
        status=status_of(known, clock),
        running=running,
        streams=_streams(runs[0], connection.provider) if runs else [],
        runs=[(run, sum(stream.records for stream in run.streams.all()), _outcome(run)) for run in runs],
    )


def _streams(run: SyncRun, provider: str) -> list[ShownStream]:
    """One line a stream; the first unfinished one of a run that is under way is the one being read."""
    shown = []
    reading = run.finished_at is None
    for stream in run.streams.all():
        shown.append(_stream(stream, provider, reading))
        reading = reading and stream.finished
    return shown


def _stream(stream: StreamProgress, provider: str, reading: bool) -> ShownStream:
    name = wording.stream(stream.stream)
    if stream.problem:
        return ShownStream(name, stream.records, "left_out", " ".join(wording.problem(stream.problem, provider, name)))
    return ShownStream(name, stream.records, "done" if stream.finished else "running" if reading else "waiting")


def _detail(what: Detail, left: int, progress: DetailProgress | None, provider: str) -> ShownStream:
    records = progress.records if progress else 0
    name, waits = wording.detail(what), bool(progress and progress.retry_at and progress.retry_at > sync.now())
    if progress and progress.left_out:
        return ShownStream(name, records, "left_out", wording.detail_left_out(what, provider))
    told = wording.detail_paused(progress.problem, provider) if progress and waits else ""
    if left:
        told = " ".join([wording.deals_left(left), told]).strip()
    return ShownStream(name, records, "waiting" if waits else "running" if left else "done", told)


def _outcome(run: SyncRun) -> str:
    if run.problem:
        return wording.problem(run.problem, run.connection.provider, run.problem_detail)[0]
    return _("complete") if run.finished_at else _("under way")


def connections_context(organisation: Organisation) -> dict[str, Any]:
    """What the page tells of the connections."""
    clock = Clock.of(organisation)
    known = find_known(organisation)
    connections = Connection.objects.filter(organisation=organisation).select_related("source").in_bulk()
    shown = [_shown(connections[each.connection], each, clock) for each in known if each.connection in connections]
    return {
        "section": "connection",
        "connections": shown,
        "running": any(
            item.running or item.deleting or item.comparison.under_way or item.deal_by_deal for item in shown
        ),
        "connected": any(not item.disconnected for item in shown),
    }


@sensitive_post_parameters("token")
@require_http_methods(["GET", "HEAD", "POST"])
@admin_required_to_post
def connection_page(request: MemberRequest) -> HttpResponse:
    """The state of the connections; POST connects by token, which is checked at once."""
    organisation = request.org
    form = ConnectForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        provider = form.cleaned_data["provider"]
        try:
            connection = sync.connect(organisation, provider, form.cleaned_data["token"].strip(), request.user)
        except CrmError as error:
            detail = ", ".join(getattr(error, "scopes", ())) or getattr(error, "what", "")
            form.add_error("token", " ".join(wording.problem(error.code, provider, detail)))
        else:
            tell_connected(request, connection)
            return redirect(came_from(request))
    context = connections_context(organisation) | {"form": form}
    return render(request, "crm_sync/connection.html", context, status=422 if form.errors else 200)


def tell_connected(request: MemberRequest, connection: Connection) -> None:
    crm = {"crm": wording.label(connection.provider)}
    if connection.source.account_id:
        messages.success(request, _("%(crm)s is connected. Your deals are being read now.") % crm)
    elif connection.method == Connection.Method.OAUTH:
        messages.warning(request, _("You are signed in. The account will be read as soon as %(crm)s answers.") % crm)
    else:
        messages.warning(request, _("The token is kept. It will be checked as soon as %(crm)s answers.") % crm)


def came_from(request: MemberRequest) -> str:
    """The page of ours that the form was on."""
    address = request.POST.get("next", "")
    return address if url_has_allowed_host_and_scheme(address, {request.get_host()}) else "crm_sync:connection"


@require_safe
@member_required
def connection_progress(request: MemberRequest) -> HttpResponse:
    """The part that is asked every two seconds while a run is under way."""
    context = connections_context(request.org) | {"polled": True}
    code = 200 if context["running"] else STOP_POLLING
    return render(request, "crm_sync/connection.html#progress", context, status=code)


def _connection(request: MemberRequest, pk: int) -> Connection:
    connections = Connection.objects.filter(organisation=request.org).select_related("source")
    return get_object_or_404(connections, pk=pk)


@require_POST
@admin_required_to_post
def connection_sync(request: MemberRequest, pk: int) -> HttpResponse:
    connection = _connection(request, pk)
    if connection.state == Connection.State.CONNECTED:
        SyncRun.objects.filter(connection=connection, finished_at=None).update(retry_at=None)
        sync.start(connection)
    return redirect("crm_sync:connection")


@require_POST
@admin_required_to_post
def connection_disconnect(request: MemberRequest, pk: int) -> HttpResponse:
    """Forget the login; `data` says whether what was read is kept or deleted."""
    connection = _connection(request, pk)
    if connection.state == Connection.State.DELETING:
        return redirect("crm_sync:connection")
    removal.give_back(connection)
    crm = {"crm": wording.label(connection.provider)}
    if request.POST.get("data") == "delete":
        removal.begin(connection)
        messages.success(request, _("%(crm)s is disconnected. What was read is being deleted.") % crm)
    else:
        sync.disconnect(connection)
        messages.success(request, _("%(crm)s is disconnected and its token forgotten. What was read stays.") % crm)
    return redirect("crm_sync:connection")
