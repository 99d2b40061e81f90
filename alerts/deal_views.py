"""The deal page, and what people do on it: snooze an alert, wake it, say whether it was right."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_POST, require_safe

from accounts.params import whole
from accounts.views import MemberRequest, member_required
from alerts import feedback, snoozing
from alerts import settings as alert_settings
from alerts.deal_page import (
    HISTORY_SHOWN,
    OtherRules,
    deal_members,
    history,
    open_alerts,
    other_rules,
    role_labels,
)
from alerts.models import Alert
from alerts.neighbours import came_from, neighbours
from alerts.power_map import power_map
from alerts.reader import Reader
from alerts.stage_history import stage_history
from alerts.timeline import KINDS, timeline
from alerts.wording import Days
from deals.clock import Clock
from deals.models import Deal

SHOWN, SHOWN_AT_MOST = 40, 1000


@require_safe
@member_required
@gzip_page
def deal_page(request: MemberRequest, pk: int) -> HttpResponse:
    """One deal with all that Vigie knows of it. A foreign or unknown id gets the same 404.

    As the list: a browser that runs the script gets what is seen first, and asks for the rest (`deal_details`) by
    itself; others get all of it, and so does who chooses what the timeline shows.
    """
    organisation, clock = request.org, Clock.of(request.org)
    deal = _deal(request, pk)
    scripted = "script" in request.COOKIES and not request.htmx and not {"whole", "show", "all"} & request.GET.keys()
    query = came_from(request.GET.get("list"))
    context = _outline(request, deal) if scripted else _details(request, deal, clock)
    context |= {
        "section": "deals",
        "follows": True,
        "is_open": deal.status == Deal.Status.OPEN and not deal.archived and not deal.deleted,
        "overdue": deal.close_on is not None and deal.close_on < clock.today,
        "link": _link(deal),
        "alerts": open_alerts(organisation, deal, request.user, clock),
        "choices": snoozing.choices(clock.today),
        "first_day": clock.today + timedelta(days=1),
        "last_day": clock.today + snoozing.LONGEST,
        "list": query,
    }
    if query:
        context["beside"] = neighbours(deal, query, Reader.of(organisation, request.user, clock))
    return render(request, "alerts/deal.html", context)


@require_safe
@member_required
@gzip_page
def deal_details(request: MemberRequest, pk: int) -> HttpResponse:
    """What the deal page asks for once it is shown."""
    context = _details(request, _deal(request, pk), Clock.of(request.org)) | {"swapped": True}
    return render(request, "alerts/deal.html#details", context)


def _deal(request: MemberRequest, pk: int) -> Deal:
    deals = request.org.deals.select_related("stage", "pipeline", "owner", "company", "source")
    return get_object_or_404(deals, pk=pk)


def _outline(request: MemberRequest, deal: Deal) -> dict[str, Any]:
    """What both parts of the page need."""
    kind = request.GET.get("show", "")
    kind = kind if kind in KINDS else ""
    return {
        "deal": deal,
        "kind": kind,
        "kinds": _kinds(request, deal, kind),
        "shown": (),
        "suffix": _suffix(request),
        "whole": _address(request, deal, whole="1"),
        "everything": _address(request, deal, show=kind, all="1"),
    }


def _details(request: MemberRequest, deal: Deal, clock: Clock) -> dict[str, Any]:
    """The timeline and what stands beside it."""
    organisation, every = request.org, "all" in request.GET
    settings = alert_settings.draft_of(alert_settings.current(organisation))
    labels = role_labels(organisation)
    context = _outline(request, deal)
    limit = SHOWN_AT_MOST if every else SHOWN
    alerts, snoozes = history(organisation, deal, max(limit, HISTORY_SHOWN))
    entries, more = timeline(deal, alerts, snoozes, labels, clock, limit, context["kind"])
    rules = other_rules(organisation, deal, alerts, request.user, clock)
    members = deal_members(organisation, deal, labels)
    return context | {
        "has_details": True,
        "rules": rules,
        "members": members,
        "power_map": power_map(members, *_watched(rules), _days(request, settings, clock)),
        "stages": stage_history(organisation, deal, settings, _override(rules), clock),
        "followed_since": _followed_since(deal, clock),
        "entries": entries,
        "shown": {entry.activity for entry in entries},
        "more": more and not every,
    }


@require_POST
@member_required
def deal_snooze(request: MemberRequest, pk: int) -> HttpResponse:
    """Snooze one open alert of the deal: fields `kind`, `subject`, `until`, `date`, `reason`."""
    organisation, clock, data = request.org, Clock.of(request.org), request.POST
    deal = get_object_or_404(organisation.deals, pk=pk)
    try:
        until_on, until_change = snoozing.until(data, clock.today)
    except ValidationError as error:
        messages.error(request, error.message)
        return _back(request, deal)
    kind, subject, reason = data.get("kind", ""), _plain(data, "subject"), data.get("reason", "")
    user = request.user
    if snoozing.snooze(organisation, [pk], [kind], until_on, until_change, reason, user, clock, subject=subject):
        messages.success(request, _("The alert is snoozed; it can be undone below."))
    else:
        messages.error(request, _("This alert is no longer open."))
    return _back(request, deal)


@require_POST
@member_required
def deal_wake(request: MemberRequest, pk: int) -> HttpResponse:
    """End the snooze of one alert: fields `kind`, `subject`."""
    organisation, clock, data = request.org, Clock.of(request.org), request.POST
    deal = get_object_or_404(organisation.deals, pk=pk)
    kinds, subject = [data.get("kind", "")], _plain(data, "subject")
    if snoozing.wake(organisation, [pk], kinds, request.user, clock, subject=subject):
        messages.success(request, _("The alert is shown again."))
    else:
        messages.error(request, _("This alert is not snoozed any more."))
    return _back(request, deal)


@require_POST
@member_required
def deal_feedback(request: MemberRequest, pk: int) -> HttpResponse:
    """Say whether an alert was right: fields `alert`, `useful` ("1", "0", or "" to take it back), `comment`."""
    organisation, clock, data = request.org, Clock.of(request.org), request.POST
    deal = get_object_or_404(organisation.deals, pk=pk)
    number, useful = whole(data.get("alert", "")), {"1": True, "0": False, "": None}
    if number is None or data.get("useful", "") not in useful:
        raise Http404
    alert = get_object_or_404(Alert.objects.filter(organisation=organisation, deal=deal), pk=number)
    feedback.give(alert, request.user, useful[data.get("useful", "")], data.get("comment", ""), clock)
    messages.success(request, _("Thank you, that is noted."))
    return _back(request, deal)


def _plain(data: Mapping[str, str], name: str) -> str:
    """A text that the database can hold."""
    return data.get(name, "").replace("\x00", "")


def _back(request: MemberRequest, deal: Deal) -> HttpResponse:
    return redirect(f"{_address(request, deal)}#active")


def _address(request: MemberRequest, deal: Deal, **params: str) -> str:
    """The deal's page, with the list from which the reader came."""
    if "list" in request.GET:
        params["list"] = request.GET["list"]
    path = reverse("alerts:deal", args=[deal.pk])
    given = {name: value for name, value in params.items() if value or name == "list"}
    return f"{path}?{urlencode(given)}" if given else path


def _suffix(request: MemberRequest) -> str:
    """What the addresses of other deals, and of forms, end with."""
    return "?" + urlencode({"list": request.GET["list"]}) if "list" in request.GET else ""


def _kinds(request: MemberRequest, deal: Deal, chosen: str) -> list[tuple[str, str, bool]]:
    """The filters of the timeline: label, address, whether it is the one."""
    labels = {"": _("Everything"), KINDS[0]: _("Exchanges"), KINDS[1]: _("Changes"), KINDS[2]: _("Alerts")}
    return [(name, f"{_address(request, deal, show=kind)}#timeline", kind == chosen) for kind, name in labels.items()]


def _watched(rules: OtherRules) -> tuple[int | None, int | None]:
    """The level that `power_map` expects and the limit of `no_activity`, where these are judged."""
    return rules.facts.get("power_map", {}).get("level"), rules.facts.get("no_activity", {}).get("limit")


def _override(rules: OtherRules) -> str:
    return str(rules.facts.get("stuck_in_stage", {}).get("override") or "")


def _days(request: MemberRequest, settings: alert_settings.Draft, clock: Clock) -> Days:
    return Days(clock.today, request.org.country if settings["business_days"] else "")


def _followed_since(deal: Deal, clock: Clock) -> date | None:
    """The day of the first synchronisation, for a deal that is older than that."""
    first = deal.source.first_synced_at
    return first.astimezone(clock.zone).date() if first and deal.created_at < first else None


def _link(deal: Deal) -> str:
    """The deal in the CRM; only ever a web address, whatever the CRM said of itself."""
    base = deal.source.link_base
    return base + deal.external_id if base.startswith(("https://", "http://")) else ""
