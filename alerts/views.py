from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_POST, require_safe
from django.views.decorators.vary import vary_on_headers
from django_htmx.http import push_url, replace_url

from accounts.params import whole
from accounts.views import MemberRequest, member_required
from alerts import bulk, formats, saved_views
from alerts.deal_query import PAGE_SIZE, DealQuery
from alerts.export import Export
from alerts.listing import deal_list, details, menu
from alerts.reader import Reader, visible
from deals.clock import Clock


@require_safe
@member_required
@vary_on_headers("HX-Request", "Vigie-Menu")
@gzip_page
def deals_list(request: MemberRequest) -> HttpResponse:
    """Without any parameter it opens with the reader's start view, if there is one.

    A browser that runs the script says so by a cookie, or by asking through htmx, and asks for what is not seen at once
    by itself; others get all of it (`whole`). `Vigie-Menu` names the facet whose menu is open and stays so.
    """
    organisation, clock = request.org, Clock.of(request.org)
    reader = Reader.of(organisation, request.user, clock)
    if not request.GET and (start := next((view for view in reader.views if view.is_start), None)):
        return redirect(saved_views.query_of(start).url)
    scripted = (request.htmx or "script" in request.COOKIES) and "whole" not in request.GET
    menus = [request.headers.get("Vigie-Menu", "")] if scripted else None
    found = deal_list(reader, DealQuery.parse(request.GET), clock, request.GET.get("find", "")[:200], menus)
    context = {
        "section": "deals",
        "list": found,
        "fresh": found.fresh,
        "query": found.query,
        "snooze": bulk.choices(found.query, clock),
    }
    if not request.htmx or request.htmx.history_restore_request:
        return render(request, "alerts/deals.html", context)
    part = render(request, "alerts/deals.html#list", context)
    match request.htmx.trigger:
        case "list":  # asks again by itself during the first synchronisation
            return part
        case "q":  # one step back leads to before the search, not through every letter of it
            return replace_url(part, found.query.url)
    return push_url(part, found.query.url)


@require_safe
@member_required
@gzip_page
def deals_details(request: MemberRequest) -> HttpResponse:
    """What the list asks for once it is shown: `deal`s, and the question that the rest of the address holds."""
    clock = Clock.of(request.org)
    deals = [pk for value in request.GET.getlist("deal")[:PAGE_SIZE] if (pk := whole(value)) is not None]
    reader = Reader.of(request.org, request.user, clock)
    return render(
        request,
        "alerts/deals.html#details",
        {"details": details(reader, DealQuery.parse(request.GET), deals, clock)},
    )


@require_safe
@member_required
def facet_menu(request: MemberRequest, name: str) -> HttpResponse:
    """The options of a facet with their counts, for the question that the address holds."""
    reader = Reader.of(request.org, request.user, Clock.of(request.org))
    query, find = DealQuery.parse(request.GET), request.GET.get("find", "")[:200]
    if (facet := menu(reader, query, name, find)) is None:
        raise Http404
    part = "companies" if "part" in request.GET else "options"
    return render(request, f"alerts/deals.html#{part}", {"facet": facet, "query": query, "find": find})


@require_safe
@member_required
def deals_export(request: MemberRequest) -> HttpResponseBase:
    """Exactly what the list would show on all its pages, as a table."""
    clock = Clock.of(request.org)
    return _download(Export.of_query(Reader.of(request.org, request.user, clock), DealQuery.parse(request.GET), clock))


def _download(export: Export) -> StreamingHttpResponse:
    answer = StreamingHttpResponse(export.lines(get_language() or "en"), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="deals-{export.clock.today.isoformat()}.csv"'
    answer["Cache-Control"] = "no-store"
    return answer


@require_POST
@member_required
def deals_bulk(request: MemberRequest) -> HttpResponseBase:
    """What is done with the deals that are chosen in the list. What stands against it is told on the list."""
    clock = Clock.of(request.org)
    reader = Reader.of(request.org, request.user, clock)
    query = DealQuery.stored(request.POST.get("query", ""))
    back = query.with_(page=query.page).url
    try:
        chosen = bulk.chosen(reader, request.POST, query)
        if request.POST.get("do") == "export":
            return _download(Export.of_deals(reader, chosen.deals, query, clock))
        messages.success(request, bulk.act(reader, request.POST, chosen.deals, clock))
    except ValidationError as error:
        messages.error(request, error.messages[0])
        return redirect(back)
    if chosen.left_out:
        text = ngettext(
            "%(count)s deal was left out: it is not among yours.",
            "%(count)s deals were left out: they are not among yours.",
            chosen.left_out,
        )
        messages.warning(request, text % {"count": formats.number(chosen.left_out)})
    return redirect(back)


@require_POST
@member_required
def views_page(request: MemberRequest) -> HttpResponse:
    """Save what the list shows under a name, or let the list open plainly again (do=plain)."""
    query = DealQuery.stored(request.POST.get("query", ""))
    if request.POST.get("do") == "plain":
        saved_views.start_plain(request.org, request.user)
        messages.success(request, _("The list opens with all open deals again."))
        return redirect(query.url)
    try:
        view = saved_views.create(request.org, request.user, *_form(request), query, Clock.of(request.org))
    except ValidationError as error:
        messages.error(request, error.messages[0])
        return redirect(query.url)
    if request.POST.get("start"):
        saved_views.start_with(view, request.user)
    messages.success(request, _("The view “%(name)s” is saved.") % {"name": view.name})
    return redirect(saved_views.query_of(view).url)


@require_POST
@member_required
def view_page(request: MemberRequest, pk: int) -> HttpResponse:
    """Change, delete or start with a saved view. Others' private ones are as unknown."""
    view = get_object_or_404(visible(request.org, request.user), pk=pk)
    query, do = DealQuery.stored(request.POST.get("query", "")), request.POST.get("do")
    if do == "start":
        saved_views.start_with(view, request.user)
        messages.success(request, _("Your list opens with “%(name)s” from now on.") % {"name": view.name})
    elif do == "delete":
        if not saved_views.may_delete(view, request.membership):
            raise PermissionDenied
        messages.success(request, _("The view “%(name)s” is deleted.") % {"name": view.name})
        saved_views.delete(view)
        return redirect(query.with_(saved=None).url)
    else:
        if not saved_views.may_change(view, request.user):
            raise PermissionDenied
        try:
            saved_views.change(view, *_form(request), query if do == "overwrite" else None)
        except ValidationError as error:
            messages.error(request, error.messages[0])
            return redirect(query.url)
        messages.success(request, _("The view “%(name)s” is saved.") % {"name": view.name})
    return redirect(query.with_(saved=view.pk).url)


def _form(request: MemberRequest) -> tuple[str, bool]:
    return request.POST.get("name", ""), request.POST.get("shared") == "on"
