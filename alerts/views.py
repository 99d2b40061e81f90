from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers
from django_htmx.http import push_url, replace_url

from accounts.views import MemberRequest, member_required
from alerts.deal_query import DealQuery
from alerts.listing import deal_list
from deals.clock import Clock


@require_safe
@member_required
@vary_on_headers("HX-Request")
@gzip_page
def deals_list(request: MemberRequest) -> HttpResponse:
    organisation = request.org
    found = deal_list(organisation, request.user.email, DealQuery.parse(request.GET), Clock.of(organisation))
    context = {"section": "deals", "list": found, "query": found.query}
    if not request.htmx or request.htmx.history_restore_request:
        return render(request, "alerts/deals.html", context)
    part = render(request, "alerts/deals.html#list", context)
    match request.htmx.trigger:
        case "list":  # asks again by itself during the first synchronisation
            return part
        case "q":  # one step back leads to before the search, not through every letter of it
            return replace_url(part, found.query.url)
    return push_url(part, found.query.url)
