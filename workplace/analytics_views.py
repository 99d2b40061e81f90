from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers
from django_htmx.http import push_url

from accounts.views import MemberRequest, member_required
from deals.clock import Clock
from workplace.analytics import FAMILIES, FEWEST, PERIODS, SOON, analytics, read_period
from workplace.scope import read_scope


@require_safe
@member_required
@vary_on_headers("HX-Request")
@gzip_page
def analytics_page(request: MemberRequest) -> HttpResponse:
    """What happened to alerts in a period: `weeks`, or `from` and `to`; of `owner`, `team` and `pipeline`."""
    clock = Clock.of(request.org)
    period, scope = read_period(request.GET, clock), read_scope(request.org, request.user, request.GET)
    path = reverse("workplace:analytics")
    context = {
        "section": "analytics",
        "follows": True,
        "report": analytics(request.org, period, scope, clock),
        "period": period,
        "scope": scope,
        "refused": [*period.refused, *scope.refused],
        "periods": [
            (weeks, f"{path}?{urlencode([('weeks', weeks), *scope.params])}", weeks == period.chosen)
            for weeks in PERIODS
        ],
        "families": [family.label for family in FAMILIES],
        "soon": SOON,
        "fewest": FEWEST,
    }
    if not request.htmx or request.htmx.history_restore_request:
        return render(request, "workplace/analytics.html", context)
    params = [*period.params, *scope.params]
    part = render(request, "workplace/analytics.html#report", context)
    return push_url(part, f"{path}?{urlencode(params)}" if params else path)
