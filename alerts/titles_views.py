"""Settings → Job titles: every member reads, admins correct a title's level, or leave it to the rules again."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_http_methods
from django.views.decorators.vary import vary_on_headers
from django_htmx.http import HttpResponseClientRefresh, push_url, replace_url

from accounts.views import MemberRequest, admin_required_to_post
from alerts import formats, queue
from alerts.tasks import evaluate_changed
from alerts.titles import LEVELS, Row, TitleQuery, row_id, title_list, title_row
from deals import titles
from deals.clock import Clock


@require_http_methods(["GET", "HEAD", "POST"])
@admin_required_to_post
@vary_on_headers("HX-Request")
@gzip_page
def titles_page(request: MemberRequest) -> HttpResponse:
    query = TitleQuery.parse(request.GET)
    if request.method == "POST":
        return _save(request, query)
    if not request.htmx or request.htmx.history_restore_request:
        return _page(request, query)
    part = _page(request, query, "#list")
    # One step back leads to before the search, not through every letter of it.
    return replace_url(part, query.url()) if request.htmx.trigger == "q" else push_url(part, query.url())


def _save(request: MemberRequest, query: TitleQuery) -> HttpResponse:
    organisation, clock = request.org, Clock.of(request.org)
    title, level = request.POST.get("title", ""), request.POST.get("level", "")
    shown = " ".join(title.split())[:80]
    try:
        if "withdraw" in request.POST:
            deals = titles.withdraw(organisation, title, clock)
        elif level not in {str(each.value) for each in LEVELS}:
            return _refused(request, query, _("Choose one of the levels in the list. Nothing was saved."))
        else:
            deals = titles.correct(organisation, title, int(level), request.user, clock)
    except titles.NobodyHasIt:
        sentence = _("Nobody has the job title “%(title)s” in the CRM any more. Nothing was saved.")
        return _refused(request, query, sentence % {"title": shown})
    queue.mark(organisation, deals)
    if deals:
        evaluate_changed.delay_on_commit(organisation.pk)  # type: ignore[attr-defined]
    row = title_row(organisation, titles.key_of(title), clock)
    said = _said(row, shown, withdrawn="withdraw" in request.POST)
    if deals:
        again = ngettext(
            "%(count)s deal is being evaluated again.", "%(count)s deals are being evaluated again.", len(deals)
        )
        said += " " + again % {"count": formats.number(len(deals))}
    if not request.htmx:
        messages.success(request, said)
        return redirect(query.url())
    found = title_list(organisation, query, clock)
    context = {"list": found, "query": found.query, "row": row, "row_id": row_id(titles.key_of(title)), "said": said}
    return render(request, "alerts/titles.html#saved", context)


def _said(row: Row | None, title: str, *, withdrawn: bool) -> str:
    if withdrawn:
        return _("The rules decide on “%(title)s” again.") % {"title": row.title if row else title}
    assert row is not None
    if not row.level:
        return _("Saved: “%(title)s” has no level.") % {"title": row.title}
    return _("Saved: “%(title)s” has the level %(level)s.") % {"title": row.title, "level": row.level_name}


def _refused(request: MemberRequest, query: TitleQuery, sentence: str) -> HttpResponse:
    messages.error(request, sentence)
    if request.htmx:  # what the page shows is outdated
        return HttpResponseClientRefresh()
    return _page(request, query, status=422)


def _page(request: MemberRequest, query: TitleQuery, part: str = "", status: int = 200) -> HttpResponse:
    organisation = request.org
    found = title_list(organisation, query, Clock.of(organisation))
    context = {
        "section": "titles",
        "list": found,
        "query": found.query,
        "outdated": titles.is_outdated(organisation),
    }
    return render(request, f"alerts/titles.html{part}", context, status=status)
