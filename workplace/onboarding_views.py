"""/welcome/: an admin sets a new organisation up; the others see what is missing and who can do it."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_http_methods, require_safe

from accounts.models import Membership, Organisation
from accounts.views import MemberRequest, admin_required_to_post, member_required
from alerts.impact import impact_now
from crm_sync.forms import ConnectForm
from crm_sync.views import connections_context
from deals import titles
from workplace import onboarding

TITLES_SHOWN = 5


@require_safe
@member_required
def home(request: MemberRequest) -> HttpResponse:
    """Where one arrives: the set-up for the admin of an organisation that is not set up, else the deals."""
    to_do = request.membership.is_admin and not onboarding.progress(request.org).over
    return redirect("workplace:welcome" if to_do else "alerts:deals")


@require_http_methods(["GET", "HEAD", "POST"])
@admin_required_to_post
@gzip_page
def onboarding_page(request: MemberRequest) -> HttpResponse:
    """`?step=people` opens a step, else the first open one is. POST says something of a step, or ends the set-up."""
    organisation = request.org
    if request.method == "POST":
        return _said(request)
    progress = onboarding.progress(organisation)
    asked = progress.by_key.get(request.GET.get("step", ""))
    step = asked or progress.next
    context: dict[str, Any] = {"progress": progress, "step": step}
    if step:
        context |= {"here": f"{reverse('workplace:welcome')}?{urlencode({'step': step.key})}"}
        context |= _of_step(organisation, step.key)
    if not request.membership.is_admin:
        admins = organisation.memberships.filter(role=Membership.Role.ADMIN, user__is_active=True)
        context["admins"] = [membership.user for membership in admins.select_related("user").order_by("pk")[:10]]
    context["section"] = "welcome"
    part = "#welcome" if request.htmx and not request.htmx.history_restore_request else ""
    return render(request, f"workplace/onboarding.html{part}", context)


def _of_step(organisation: Organisation, step: str) -> dict[str, Any]:
    """What a step shows."""
    match step:
        case "connect":
            return {"form": ConnectForm(), **connections_context(organisation)}
        case "sync":
            return connections_context(organisation)
        case "people":
            unknown = titles.listing(organisation, group="unknown")
            roles = organisation.roles.filter(stale=False).order_by("label").values_list("label", flat=True)
            return {
                "total": unknown.counts[""],
                "unknown_count": unknown.counts["unknown"],
                "unknown": unknown.titles[:TITLES_SHOWN],
                "roles": list(dict.fromkeys(roles)),
                **connections_context(organisation),
            }
        case "thresholds":
            return {"impact": impact_now(organisation), "open_deals": organisation.deals.open().count()}
    return {"colleagues": organisation.memberships.count(), "invited": organisation.invitations.count()}


def _said(request: MemberRequest) -> HttpResponse:
    organisation, sent = request.org, request.POST
    if "end" in sent:
        onboarding.end(organisation, timezone.now())
        return redirect("alerts:deals")
    if "again" in sent:
        onboarding.begin_again(organisation)
        return redirect("workplace:welcome")
    try:
        onboarding.say(organisation, sent.get("step", ""), sent.get("state", ""))
    except ValueError:
        sentence = _("This step is not known. Choose one of the list.")
        context = {"section": "welcome", "progress": onboarding.progress(organisation), "refused": sentence}
        return render(request, "workplace/onboarding.html", context, status=422)
    return redirect("workplace:welcome")
