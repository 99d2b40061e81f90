from contextlib import suppress
from datetime import UTC, date, datetime, timedelta

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseNotFound, HttpResponseRedirect, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _
from django.views.decorators.cache import cache_control
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import conditional_page, require_POST, require_safe
from django.views.decorators.vary import vary_on_headers
from django_htmx.http import push_url

from accounts.params import whole
from accounts.tenancy import tenant
from accounts.views import MemberRequest, member_required
from alerts.coming import DAYS
from deals.clock import Clock
from workplace import ical
from workplace.models import CalendarFeed
from workplace.scope import Scope, read_scope
from workplace.upcoming import address, upcoming

READ_AGAIN = timedelta(hours=1)  # how exactly the page says when a calendar was read


@require_safe
@member_required
@vary_on_headers("HX-Request")
@gzip_page
def upcoming_page(request: MemberRequest) -> HttpResponse:
    """Alerts due in the next days: of `owner`, `team` and `pipeline`; those of the day `on`, by `page`s."""
    organisation, clock = request.org, Clock.of(request.org)
    own_first = request.membership.role == request.membership.Role.REP
    scope = read_scope(organisation, request.user, request.GET, own_first=own_first)
    on, page, refused = _read(request.GET, clock)
    found = upcoming(organisation, scope, clock, on, page)
    if page > found.pages:
        return redirect(address(scope, on, found.pages))
    feed = CalendarFeed.objects.filter(organisation=organisation, user=request.user).first()
    path = reverse("workplace:calendar_feed", args=[ical.token_of(feed)]) if feed else ""
    feed_address = request.build_absolute_uri(path)
    context = {
        "section": "upcoming",
        "follows": True,
        "found": found,
        "scope": scope,
        "on": on,
        "days": DAYS,
        "refused": [*refused, *scope.refused],
        "every_day": address(scope),
        "every_owner": f"{reverse('workplace:upcoming')}?owner=all" if own_first else reverse("workplace:upcoming"),
        "filtered": scope.owners is not None or bool(scope.team) or scope.pipeline is not None,
        "previous": address(scope, on, page - 1) if page > 1 else "",
        "next": address(scope, on, page + 1) if page < found.pages else "",
        "feed": feed,
        "feed_address": feed_address,
        "feed_webcal": f"webcal://{feed_address.partition('://')[2]}",
        "feed_choices": _feed_choices(scope, feed, own_first=own_first),
    }
    if not request.htmx or request.htmx.history_restore_request:
        return render(request, "workplace/upcoming.html", context)
    return push_url(render(request, "workplace/upcoming.html#found", context), address(scope, on, page))


def _read(data: QueryDict, clock: Clock) -> tuple[date | None, int, list[str]]:
    """The day and the page; what cannot be shown is left out and told."""
    refused, on, page = [], None, data.get("page") or "1"
    if asked := data.get("on", ""):
        with suppress(ValueError):
            on = date.fromisoformat(asked)
        if on is None or not clock.today < on <= clock.today + timedelta(days=DAYS):
            refused.append(_("“%(value)s” is none of the days shown here.") % {"value": asked[:80]})
            on = None
    if not (number := whole(page, 10**6)):
        refused.append(_("There is no page “%(value)s”. This is the first one.") % {"value": page[:80]})
        number = 1
    return on, number, refused


def _feed_choices(scope: Scope, feed: CalendarFeed | None, *, own_first: bool) -> list[tuple[str, str, bool]]:
    """Whose deals a calendar may hold: value, label, chosen. A team is its id."""
    choices = [("own", str(CalendarFeed.Deals.OWN.label)), *((str(pk), name) for pk, name in scope.teams.items())]
    choices.append(("all", str(CalendarFeed.Deals.ALL.label)))
    if feed is None:
        chosen = "own" if own_first or scope.own else "all"
    else:
        chosen = str(feed.team_id) if feed.deals == "team" and feed.team_id in scope.teams else feed.deals
    return [(value, label, value == chosen) for value, label in choices]


@require_POST
@member_required
def calendar_address(request: MemberRequest) -> HttpResponseRedirect:
    """Makes, renews or ends the reader's own address, or chooses whose deals it shows (`do`)."""
    organisation, mine = request.org, {"organisation": request.org, "user": request.user}
    teams = read_scope(organisation, request.user, QueryDict()).teams
    deals, team = request.POST.get("deals", "own"), None
    if (number := whole(deals)) in teams:
        deals, team = "team", number
    match request.POST.get("do"):
        case "revoke":
            CalendarFeed.objects.filter(**mine).delete()
            messages.success(request, _("The address has been revoked. Calendars that read it get nothing any more."))
        case "renew":
            if CalendarFeed.objects.filter(**mine).update(created_at=datetime.now(UTC), read_at=None):
                messages.success(request, _("The address is a new one. The old one no longer works."))
            else:
                messages.error(request, _("There is no address to be renewed: it has been revoked meanwhile."))
        case "make" if deals in CalendarFeed.Deals.values:
            said = {"deals": deals, "team_id": team}
            _feed, made = CalendarFeed.objects.update_or_create(
                **mine, defaults=said, create_defaults={**said, **mine, "created_at": datetime.now(UTC)}
            )
            if made:
                messages.success(request, _("Your calendar has an address now. Subscribe to it in your calendar."))
            else:
                messages.success(request, _("Saved. Your calendar shows it the next time it reads the address."))
        case _other:
            messages.error(request, _("Choose whose deals the calendar shows."))
    return redirect(f"{reverse('workplace:upcoming')}#calendar")


@conditional_page
@require_safe
@login_not_required
@cache_control(private=True, max_age=900)
def calendar_feed(request: HttpRequest, token: str) -> HttpResponse:
    """The calendar behind an address, without login; 404 once it has been renewed or revoked, or its owner has left."""
    if named := ical.read_token(token):
        with tenant(named[0]):
            if feed := ical.feed_of(*named):
                now = datetime.now(UTC)
                with translation.override(feed.user.language or feed.organisation.language):
                    body = ical.calendar(feed, Clock.of(feed.organisation, now), request.build_absolute_uri)
                if feed.read_at is None or feed.read_at < now - READ_AGAIN:
                    CalendarFeed.objects.filter(pk=feed.pk).update(read_at=now)
                answer = HttpResponse(body, content_type="text/calendar; charset=utf-8")
                answer["Content-Disposition"] = 'inline; filename="vigie.ics"'
                answer["X-Robots-Tag"] = "noindex"
                return answer
    return HttpResponseNotFound(_("This calendar address is not valid any more.") + "\n", content_type="text/plain")
