from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers
from django_htmx.http import push_url

from accounts.views import MemberRequest, member_required
from alerts.deal_query import DealQuery
from alerts.listing import deal_list
from deals.clock import Clock


@require_safe
@member_required
@vary_on_headers("HX-Request")
def deals_list(request: MemberRequest) -> HttpResponse:
    organisation = request.org
    found = deal_list(organisation, request.user.email, DealQuery.parse(request.GET), Clock.of(organisation))
    context = {"section": "deals", "list": found, "query": found.query}
    if request.htmx and not request.htmx.history_restore_request:
        return push_url(render(request, "alerts/deals.html#list", context), found.query.url)
    return render(request, "alerts/deals.html", context)
