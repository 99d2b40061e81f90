from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from django_htmx.http import trigger_client_event

from accounts.views import MemberRequest, member_required
from alerts.freshness import freshness
from deals.clock import Clock


@require_safe
@member_required
def freshness_part(request: MemberRequest) -> HttpResponse:
    """How fresh the data is, asked again and again by pages that are seen; `seen` is the stamp of what they show."""
    fresh = freshness(request.org, Clock.of(request.org))
    part = render(request, "freshness.html", {"fresh": fresh})
    return part if request.GET.get("seen") == fresh.stamp else trigger_client_event(part, "changed")
