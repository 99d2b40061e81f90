"""Settings → Deals → Alerts: every member reads, admins edit a draft and save it as a whole."""

from typing import Any

from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from accounts.models import Organisation
from accounts.views import MemberRequest, admin_required_to_post, member_required
from alerts import settings as alert_settings
from alerts.facets import count_kinds
from alerts.models import Configuration, Run
from alerts.rules import RULES
from alerts.settings_form import SettingsForm, differences
from alerts.tasks import start_run
from deals.clock import Clock

STOP_POLLING = 286


@require_http_methods(["GET", "HEAD", "POST"])
@admin_required_to_post
def settings_page(request: MemberRequest) -> HttpResponse:
    organisation = request.org
    configuration = alert_settings.current(organisation)
    if request.method == "POST":
        return _save(request, organisation, configuration)
    editing = "edit" in request.GET and request.membership.is_admin
    form = SettingsForm(organisation, configuration.rules)
    return _page(request, organisation, configuration, form, editing=editing)


def _save(request: MemberRequest, organisation: Organisation, configuration: Configuration) -> HttpResponse:
    """All of the draft or nothing. A wrong or outdated draft comes back as it was typed."""
    form = SettingsForm(organisation, configuration.rules, request.POST)
    if not form.is_valid():
        return _page(request, organisation, configuration, form, editing=True, version=_version(request), status=422)
    clock = Clock.of(organisation)
    try:
        saved = alert_settings.save(organisation, form.cleaned, request.user, clock, _version(request))
    except alert_settings.Conflict as conflict:
        changes = differences(_rules_of(organisation, _version(request)), conflict.current.rules, _names(form))
        return _page(
            request,
            organisation,
            conflict.current,
            form,
            editing=True,
            status=409,
            conflict=conflict.current,
            changes=changes,
        )
    run = start_run(organisation, Run.Cause.SETTINGS, str(saved.version), clock)
    return redirect(f"{reverse('alerts:settings')}?run={run.pk}")


def _version(request: MemberRequest) -> int:
    """The version that the draft was made from; -1, which is never the newest, when it is not told."""
    text = request.POST.get("version", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1


def _rules_of(organisation: Organisation, version: int) -> alert_settings.Rules:
    stored = organisation.configurations.filter(version=version).first()
    return {**alert_settings.defaults(), **stored.rules} if stored else alert_settings.defaults()


def _names(form: SettingsForm) -> dict[str, str]:
    stages = {pk: name for _pipeline, stages in form.pipelines for pk, name in stages}
    return stages | {key: label for key, (label, _stale) in form.labels.items()}


def _page(
    request: MemberRequest,
    organisation: Organisation,
    configuration: Configuration,
    form: SettingsForm,
    *,
    editing: bool,
    version: int | None = None,
    status: int = 200,
    **context: Any,
) -> HttpResponse:
    counts = count_kinds(organisation.deals.open(), Q())
    context |= {
        "section": "settings",
        "form": form,
        "editing": editing,
        "configuration": configuration,
        "version": configuration.version if version is None else version,
        "flagged": [(rule, counts[rule.kind]) for rule in RULES],
        "most": max(1, *counts.values()),
        "run": _run(organisation, request.GET.get("run", "")),
    }
    return render(request, "alerts/settings.html", context, status=status)


def _run(organisation: Organisation, pk: str) -> Run | None:
    """The run that this save started, else one that is under way."""
    runs = organisation.runs.filter(cause=Run.Cause.SETTINGS).order_by("-pk")
    if pk.isascii() and pk.isdigit() and len(pk) < 19 and (run := runs.filter(pk=pk).first()):
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
