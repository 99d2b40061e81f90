"""Settings → Deals → Alerts: every member reads, admins edit a draft, see what it would do, and save it as a whole."""

from typing import Any

from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import trigger_client_event

from accounts.models import Organisation
from accounts.params import whole
from accounts.views import MemberRequest, admin_required_to_post, member_required
from alerts import settings as alert_settings
from alerts.deal_preview import outcomes, search
from alerts.impact import deals_behind, impact_now, impact_of
from alerts.models import Configuration, Run
from alerts.settings import Draft
from alerts.settings_form import SettingsForm
from alerts.tasks import start_run
from alerts.versions import changes_since, vanished
from deals.clock import Clock

STOP_POLLING = 286
# Buttons that want to know something of the draft, not to save it. Every other one is about the list of overrides.
EFFECT = "effect"
# For a part that htmx puts into the page. (The browser minds `autofocus` there; the script does what it says.)
SWAPPED = {"editing": True, "live": True, "swapped": True, "autofocus": "data-focus"}


@require_http_methods(["GET", "HEAD", "POST"])
@admin_required_to_post
@gzip_page
def settings_page(request: MemberRequest) -> HttpResponse:
    organisation = request.org
    configuration = alert_settings.current(organisation)
    draft = alert_settings.draft_of(configuration)
    if request.method != "POST":
        editing = "edit" in request.GET and request.membership.is_admin
        context = _one_deal(request, draft, request.GET) if editing else {}
        return _page(request, configuration, SettingsForm(organisation, draft), editing=editing, **context)
    form = SettingsForm(organisation, draft, request.POST)
    command = request.POST.get("do", EFFECT if request.POST.keys() & {"show", "pick"} else "")
    if not command:
        return _save(request, configuration, form)
    context = {"editing": True, "version": based_on(request), "unsaved": True}
    if command == EFFECT:
        return _page(request, configuration, form, **context, **_effect(request, form))
    said = form.arrange(command)
    if request.htmx:
        part = render(request, "alerts/settings.html#overrides", {**SWAPPED, "form": form, "said": said})
        return trigger_client_event(part, "draft", after="settle")
    return _page(request, configuration, form, **context, said=said)


def _save(request: MemberRequest, configuration: Configuration, form: SettingsForm) -> HttpResponse:
    """All of the draft or nothing. A wrong or outdated draft comes back as it was typed."""
    context: dict[str, Any] = {"editing": True, "unsaved": True}
    if not form.is_valid():
        return _page(request, configuration, form, version=based_on(request), status=422, **context)
    try:
        return save(request, form.draft, based_on(request))
    except alert_settings.Conflict as conflict:
        changes = changes_since(request.org, based_on(request), conflict.current)
        context |= {"conflict": conflict.current, "changes": changes}
        return _page(request, conflict.current, form, status=409, **context)


def save(request: MemberRequest, draft: Draft, based_on: int) -> HttpResponse:
    """Store a new version, begin its evaluation, and lead to the page that follows it. Raises Conflict."""
    clock = Clock.of(request.org)
    saved = alert_settings.save(request.org, draft, request.user, clock, based_on)
    run = start_run(request.org, Run.Cause.SETTINGS, str(saved.version), clock)
    return redirect(f"{reverse('alerts:settings')}?run={run.pk}")


def based_on(request: MemberRequest) -> int:
    """The version that the draft was made from; -1, which is never the newest, when it is not told."""
    version = whole(request.POST.get("version", ""))
    return -1 if version is None else version


def _page(
    request: MemberRequest,
    configuration: Configuration,
    form: SettingsForm,
    *,
    editing: bool,
    version: int | None = None,
    status: int = 200,
    **context: Any,
) -> HttpResponse:
    organisation = request.org
    context = {"impact": impact_now(organisation)} | context
    context |= {
        "section": "settings",
        "form": form,
        "editing": editing,
        "live": editing,
        "configuration": configuration,
        "version": configuration.version if version is None else version,
        "vanished": vanished(organisation, alert_settings.draft_of(configuration)),
        "run": _run(organisation, request.GET.get("run", "")),
    }
    return render(request, "alerts/settings.html", context, status=status)


# ---- What the draft would do


@require_POST
@admin_required_to_post
@gzip_page
def settings_preview(request: MemberRequest) -> HttpResponse:
    """The panels beside the form, for the draft as it is typed; with "pick" that of one deal alone."""
    draft = alert_settings.draft_of(alert_settings.current(request.org))
    form = SettingsForm(request.org, draft, request.POST)
    context = {**SWAPPED, "form": form}
    if "pick" in request.POST:
        context |= _one_deal(request, form.draft if form.is_valid() else None, request.POST)
        return render(request, "alerts/settings_impact.html#one_deal", context)
    return render(request, "alerts/settings_impact.html#swapped", context | _effect(request, form))


def _effect(request: MemberRequest, form: SettingsForm) -> dict[str, Any]:
    """What the panels show: the effect, the deals behind one of its numbers, and one deal; or what is wrong."""
    organisation, clock = request.org, Clock.of(request.org)
    if not form.is_valid():
        return {"impact": None, "wrong": form.told} | _one_deal(request, None, request.POST)
    found = _one_deal(request, form.draft, request.POST)
    return found | effect_of(organisation, form.draft, clock, request.POST.get("show", ""))


def effect_of(organisation: Organisation, draft: Draft, clock: Clock, show: str) -> dict[str, Any]:
    """The effect of a clean draft or, if `show` says which, the deals behind one of its numbers."""
    if show and (behind := deals_behind(organisation, draft, clock, show)):
        return {"impact": None, "behind": behind}
    return {"impact": impact_of(organisation, draft, clock)}


def _one_deal(request: MemberRequest, draft: Draft | None, asked: QueryDict) -> dict[str, Any]:
    """The deal that was picked with its outcomes now and under `draft`, or those that the search finds."""
    organisation, text = request.org, asked.get("find", "")[:200]
    picked = whole(asked.get("pick", asked.get("deal", "")))
    if picked is not None:
        deal = organisation.deals.filter(pk=picked).for_list().first()
        judged = outcomes(organisation, deal, draft, Clock.of(organisation)) if deal and draft else []
        return {"find": text, "picked": True, "deal": deal, "outcomes": judged, "unclear": draft is None}
    found = search(organisation, text) if text.strip() else []
    return {"find": text, "deals": found}


# ---- After saving


def _run(organisation: Organisation, pk: str) -> Run | None:
    """The run that this save started, else one that is under way."""
    runs = organisation.runs.filter(cause=Run.Cause.SETTINGS).order_by("-pk")
    if (number := whole(pk)) is not None and (run := runs.filter(pk=number).first()):
        found: Run = run
        return found
    unfinished: Run | None = runs.filter(finished_at=None).first()
    return unfinished


@require_safe
@member_required
def settings_progress(request: MemberRequest, pk: int) -> HttpResponse:
    """The line that follows a re-evaluation, asked every two seconds until it is finished."""
    run = get_object_or_404(request.org.runs, pk=pk)
    status = STOP_POLLING if run.finished_at else 200
    return render(request, "alerts/settings.html#progress", {"run": run}, status=status)
