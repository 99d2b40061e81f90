from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from accounts.views import MemberRequest, member_required
from alerts.deal_page import deal_alerts, deal_members
from alerts.timeline import timeline
from deals.clock import Clock
from deals.models import Deal

SHOWN, SHOWN_AT_MOST = 40, 1000


@require_safe
@member_required
def deal_page(request: MemberRequest, pk: int) -> HttpResponse:
    """One deal with all that Vigie knows of it. A foreign or unknown id gets the same 404."""
    organisation = request.org
    clock = Clock.of(organisation)
    deals = Deal.objects.filter(organisation=organisation).select_related(
        "stage", "pipeline", "owner", "company", "source"
    )
    deal = get_object_or_404(deals, pk=pk)
    every = "all" in request.GET
    entries, more = timeline(deal, clock, SHOWN_AT_MOST if every else SHOWN)
    context = {
        "section": "deals",
        "deal": deal,
        "is_open": deal.status == Deal.Status.OPEN and not deal.archived and not deal.deleted,
        "overdue": deal.close_on is not None and deal.close_on < clock.today,
        "link": _link(deal),
        "alerts": deal_alerts(organisation, deal, clock),
        "members": deal_members(organisation, deal),
        "entries": entries,
        "shown": {entry.activity for entry in entries},
        "more": more and not every,
    }
    return render(request, "alerts/deal.html", context)


def _link(deal: Deal) -> str:
    """The deal in the CRM; only ever a web address, whatever the CRM said of itself."""
    base = deal.source.link_base
    return base + deal.external_id if base.startswith(("https://", "http://")) else ""
