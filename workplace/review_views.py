"""The pipeline review: the page, one deal a screen, paper; what managers and admins do in it, and notes."""

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpResponse, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django.views.decorators.vary import vary_on_headers
from django_htmx.http import HttpResponseClientRefresh, push_url

from accounts.models import Membership
from accounts.params import whole
from accounts.views import Args, MemberRequest, View, member_required
from alerts import formats
from deals.clock import Clock
from deals.models import Deal
from deals.owners import mine
from workplace import notes, review
from workplace.models import Note, Review, ReviewedDeal


def reviewer_required_to_post(view: View[Args]) -> Callable[..., HttpResponseBase]:
    """Every member may read; managers and admins hold reviews: others get 403 on POST."""

    def checked(request: MemberRequest, /, *args: Args.args, **kwargs: Args.kwargs) -> HttpResponseBase:
        if request.method not in ("GET", "HEAD") and not _may_review(request):
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return wraps(view)(member_required(checked))


def _may_review(request: MemberRequest) -> bool:
    return request.membership.role != Membership.Role.REP


# ---- Pages


@require_safe
@member_required
@vary_on_headers("HX-Request")
@gzip_page
def review_page(request: MemberRequest) -> HttpResponse:
    frame, context = _frame(request, request.GET)
    query = frame.query
    if query.rep:
        start = (query.page - 1) * review.PAGE_SIZE
        found = review.parts(frame, first=start, most=review.PAGE_SIZE)
        longest = max((max(part.count, part.quiet_count) for part in found), default=0)
        context["pages"] = max(1, -(-longest // review.PAGE_SIZE))
    else:
        found = review.parts(frame, context["own"])
    review.add_rows(frame, found)
    context |= {"parts": found, "total": review.total(found, request.org.currency), **_progress(found)}
    if request.htmx and not request.htmx.history_restore_request:
        if request.htmx.trigger == "progress":  # asks again by itself: others may be marking deals too
            return render(request, "workplace/review.html#progress", context)
        return push_url(render(request, "workplace/review.html#review", context), query.url)
    return render(request, "workplace/review.html", context)


@require_safe
@member_required
@gzip_page
def review_present(request: MemberRequest) -> HttpResponse:
    """One deal a screen. Without one in the address, the first that has not been looked at."""
    frame, context = _frame(request, request.GET)
    found = review.parts(frame, context["own"], most=review.PRESENTED)
    order = [(pk, part) for part in found for pk in part.ids]
    ids = [pk for pk, _part in order]
    asked = request.GET.get("deal", "")
    marked = set(frame.running.deals.values_list("deal", flat=True)) if frame.running else set()
    at = next((n for n, pk in enumerate(ids) if pk not in marked), 0)
    if asked:
        found_at = next((n for n, pk in enumerate(ids) if str(pk) == asked), None)
        context["elsewhere"] = found_at is None
        at = at if found_at is None else found_at

    def address(n: int) -> str:
        return frame.query.address("workplace:review_present", deal=ids[n]) if 0 <= n < len(ids) else ""

    row = review.rows_of(frame, ids[at : at + 1]).get(ids[at]) if ids else None
    context |= {
        "row": row,
        "part": order[at][1] if ids else None,
        "place": at + 1,
        "count": len(ids),
        "here": address(at),
        "previous": address(at - 1),
        "next": address(at + 1),
        **_progress(found),
    }
    return render(request, "workplace/review_present.html", context)


@require_safe
@member_required
@gzip_page
def review_print(request: MemberRequest) -> HttpResponse:
    """All facts on paper, a page for each owner."""
    frame, context = _frame(request, request.GET)
    found = review.parts(frame, context["own"], most=review.PRINTED)
    room = max(review.AT_LEAST, review.PRINTED // max(1, len(found)))
    for part in found:
        del part.ids[room:], part.quiet[room:]
    review.add_rows(frame, found)
    context |= {"parts": found, "total": review.total(found, request.org.currency), **_progress(found)}
    return render(request, "workplace/review_print.html", context)


def _frame(request: MemberRequest, asked: QueryDict) -> tuple[review.Frame, dict[str, Any]]:
    """What the address asks for, and what every page of the review shows of it. Three statements."""
    organisation, clock = request.org, Clock.of(request.org)
    owners = mine(request.user, organisation)
    teams = review.teams_for(organisation, owners)
    frame = review.frame_for(organisation, review.ReviewQuery.parse(asked, teams, clock.today), clock)
    context = {
        "section": "review",
        "frame": frame,
        "query": frame.query,
        "teams": teams,
        "team": next((team for team in teams if team.pk == frame.query.team), None),
        "periods": [(value, _("The last %(days)s days") % {"days": days}) for value, days in review.PERIODS.items()],
        "may_review": _may_review(request),
        "here": frame.query.url,
        "present": frame.query.address("workplace:review_present"),
        "print": frame.query.address("workplace:review_print"),
        # A rep looks at the own part first; managers have no part before the others.
        "own": () if _may_review(request) else owners,
    }
    return frame, context


def _progress(found: list[review.Part]) -> dict[str, int]:
    return {"reviewed": sum(part.reviewed for part in found), "to_review": sum(part.count for part in found)}


# ---- Holding a review


@require_POST
@reviewer_required_to_post
def review_start(request: MemberRequest) -> HttpResponse:
    """The team's review; the one that somebody began meanwhile, if there is one."""
    organisation, clock, asked = request.org, Clock.of(request.org), request.POST.get("team", "")
    team = None
    if asked != "all":
        team = get_object_or_404(organisation.teams.filter(stale=False), pk=whole(asked) or 0)
    held, begun = Review.objects.get_or_create(
        organisation=organisation,
        team=team,
        ended_at=None,
        defaults={"held_by": request.user, "began_at": clock.now},
    )
    if begun:
        said = _("The review has begun. The next one will tell what changes from now on.")
    else:
        said = _("%(who)s began this review on %(when)s; you are in it now.") % {
            "who": held.held_by or _("Somebody who has left"),
            "when": formats.moment(held.began_at, request.user.zone_in(organisation), clock.today),
        }
    messages.success(request, said)
    return redirect(_next(request, review.ReviewQuery(team=team.pk if team else None).url))


@require_POST
@reviewer_required_to_post
def review_end(request: MemberRequest, pk: int) -> HttpResponse:
    held = get_object_or_404(Review, organisation=request.org, pk=pk)
    clock = Clock.of(request.org)
    ended = Review.objects.filter(organisation=request.org, pk=held.pk, ended_at=None).update(ended_at=clock.now)
    if not ended:
        messages.warning(request, _("Somebody has ended this review already."))
    elif held.deals.exists():
        messages.success(request, _("The review has ended. The next one tells changes since its start."))
    else:
        sentence = _(
            "The review has ended. No deal was marked as reviewed in it, so it does not count as the last one."
        )
        messages.success(request, sentence)
    return redirect(_next(request, review.ReviewQuery(team=held.team_id).url))


@require_POST
@reviewer_required_to_post
def review_mark(request: MemberRequest, pk: int) -> HttpResponse:
    """`deal` was looked at, or with `undo` it was not. In a review that has just been ended, it still counts."""
    organisation, clock = request.org, Clock.of(request.org)
    held = get_object_or_404(Review, organisation=organisation, pk=pk)
    asked = request.POST.get("deal", "")
    deal = get_object_or_404(Deal, organisation=organisation, pk=whole(asked) or 0)
    marks = ReviewedDeal.objects.filter(organisation=organisation, review=held)
    if "undo" in request.POST:
        marks.filter(deal=deal).delete()
    else:
        marks.get_or_create(
            organisation=organisation,
            review=held,
            deal=deal,
            defaults={"reviewed_by": request.user, "reviewed_at": clock.now},
        )
    if held.ended_at:
        messages.warning(request, _("Somebody has ended this review meanwhile. Your mark is kept in it."))
    back = _next(request, review.ReviewQuery(team=held.team_id).url)
    if not request.htmx:
        return redirect(f"{back}#deal-{deal.pk}")
    if held.ended_at:
        return HttpResponseClientRefresh()
    frame, context = _frame(request, QueryDict(urlsplit(back).query))
    row = review.Row(deal, reviewed=marks.select_related("reviewed_by").filter(deal=deal).first())
    context |= {"row": row, "here": back, "marked": True, **_progress(review.parts(frame, most=0))}
    return render(request, "workplace/review.html#marked", context)


# ---- Notes


@require_http_methods(["GET", "HEAD", "POST"])
@reviewer_required_to_post
def notes_page(request: MemberRequest, pk: int) -> HttpResponse:
    """The notes of a deal; a POST writes one. One that cannot be kept comes back with the reason."""
    organisation = request.org
    deal = get_object_or_404(organisation.deals.select_related("company"), pk=pk)
    back = _next(request, reverse("alerts:deal", args=[deal.pk]))
    context: dict[str, Any] = {"section": "deals", "deal": deal, "may_review": _may_review(request), "here": back}
    if request.method == "POST":
        try:
            notes.write(deal, request.POST.get("text", ""), request.user, Clock.of(organisation))
        except ValidationError as error:
            context |= {"error": error.messages[0], "text": request.POST.get("text", "")}
        else:
            if not request.htmx:
                return redirect(f"{back}#notes-{deal.pk}")
            context["saved"] = True
    context["notes"] = notes.of_deal(organisation, deal.pk)
    if request.htmx:  # htmx leaves other answers than 200 out
        return render(request, "workplace/review_notes.html", context)
    return render(request, "workplace/review_note.html", context, status=422 if "error" in context else 200)


@require_POST
@reviewer_required_to_post
def note_delete(request: MemberRequest, pk: int) -> HttpResponse:
    """An own note; another person's stays: 403."""
    note = get_object_or_404(Note.objects.select_related("deal__company"), organisation=request.org, pk=pk)
    if note.written_by_id != request.user.pk:
        raise PermissionDenied
    note.delete()
    deal = note.deal
    back = _next(request, reverse("alerts:deal", args=[deal.pk]))
    if not request.htmx:
        return redirect(f"{back}#notes-{deal.pk}")
    kept = notes.of_deal(request.org, deal.pk)
    context = {"deal": deal, "notes": kept, "may_review": True, "here": back, "deleted": True}
    return render(request, "workplace/review_notes.html", context)


def _next(request: MemberRequest, otherwise: str) -> str:
    """Where the page says that one came from, if that is a page of ours."""
    asked: str = request.POST.get("next") or request.GET.get("next", "")
    return asked if asked.startswith("/") and url_has_allowed_host_and_scheme(asked, None) else otherwise
