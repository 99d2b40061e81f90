"""Settings → Currencies: the organisation's currency and what others are worth in it. Others than admins read."""

from typing import Any

from babel.numbers import get_currency_name, is_currency
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_http_methods

from accounts.models import Organisation
from accounts.params import whole
from accounts.views import MemberRequest, admin_required_to_post
from alerts import formats
from alerts.tasks import convert_amounts
from deals import rate_files, rates
from deals.clock import Clock

PAGE_SIZE = 50


@require_http_methods(["GET", "HEAD", "POST"])
@admin_required_to_post
@gzip_page
def rates_page(request: MemberRequest) -> HttpResponse:
    """POST does what the pressed button says: enter a rate, import some, delete one, or change the own currency."""
    if request.method != "POST":
        return _page(request)
    for name, action in {"enter": _enter, "import": _import, "delete": _delete, "own": _change_currency}.items():
        if name in request.POST:
            return action(request)
    return _refused(request, _("Nothing was chosen, and nothing saved."))


def _enter(request: MemberRequest) -> HttpResponse:
    organisation, clock, sent = request.org, Clock.of(request.org), request.POST
    texts = {name: sent.get(name, "")[:100] for name in ("currency", "valid_on", "rate")}
    if sent.get("base") != organisation.currency:
        return _moved(request)
    try:
        used = rates.codes_in_use(organisation)
        given = rate_files.given(**texts, base=organisation.currency, today=clock.today, used=used)
        saved = rates.enter(organisation, given, request.user, clock, seen=sent.get("seen", ""))
    except rate_files.Unreadable as error:
        return _page(request, {"entered": texts, "wrong": str(error)}, 422)
    except rates.Conflict as conflict:
        return _page(request, {"entered": texts, "conflict": conflict.current}, 409)
    said = {"currency": given.currency, "day": formats.day(given.valid_on, clock.today)}
    if saved.same:
        messages.success(request, _("Nothing to save: this was the rate already."))
    else:
        messages.success(request, _("Saved: the rate of %(currency)s from %(day)s on.") % said)
    return _changed(request, organisation)


def _import(request: MemberRequest) -> HttpResponse:
    """All or nothing: a wrong line is told by its number, and nothing is saved."""
    organisation, clock = request.org, Clock.of(request.org)
    if request.POST.get("base") != organisation.currency:
        return _moved(request)
    raw, text = b"", request.POST.get("text", "")
    if file := request.FILES.get("file"):
        raw = file.read(rate_files.MOST_BYTES + 1)
    used = rates.codes_in_use(organisation)
    found = rate_files.read(raw or text.encode("utf-8", "replace"), organisation.currency, clock.today, used)
    if found.errors:
        return _page(request, {"importing": found, "text": text}, 422)
    saved = rates.save_all(organisation, found.rates, request.user, clock)
    counts = {name: formats.number(getattr(saved, name)) for name in saved._fields}
    sentence = _("Imported. New: %(new)s, replaced: %(replaced)s, unchanged: %(same)s.") % counts
    messages.success(request, sentence)
    return _changed(request, organisation)


def _delete(request: MemberRequest) -> HttpResponse:
    pk = whole(request.POST["delete"])
    rate = None if pk is None else rates.delete(request.org, pk)
    if rate is None:
        return _refused(request, _("This rate is not there any more; perhaps somebody else has deleted it."), 404)
    said = {"currency": rate.currency, "day": formats.day(rate.valid_on, Clock.of(request.org).today)}
    messages.success(request, _("Deleted: the rate of %(currency)s of %(day)s.") % said)
    return _changed(request, request.org)


def _change_currency(request: MemberRequest) -> HttpResponse:
    organisation, code = request.org, request.POST["own"]
    if request.POST.get("base") != organisation.currency:
        return _moved(request)
    if code not in choices(organisation):
        return _refused(request, _("Choose one of the currencies in the list. Nothing was saved."))
    if code != organisation.currency:
        rates.change_currency(organisation, code)
        sentence = _("Amounts are shown in %(currency)s from now on.") % {"currency": name_of(code)}
        messages.success(request, sentence)
    return _changed(request, organisation)


def _changed(request: HttpRequest, organisation: Organisation) -> HttpResponse:
    convert_amounts.delay_on_commit(organisation.pk)  # type: ignore[attr-defined]
    return redirect("workplace:rates")


def _moved(request: MemberRequest) -> HttpResponse:
    sentence = _("Somebody else has changed your organisation’s currency to %(currency)s meanwhile. Nothing was saved.")
    return _refused(request, sentence % {"currency": request.org.currency}, 409)


def _refused(request: MemberRequest, sentence: str, status: int = 422) -> HttpResponse:
    messages.error(request, sentence)
    return _page(request, status=status)


def _page(request: MemberRequest, context: dict[str, Any] | None = None, status: int = 200) -> HttpResponse:
    organisation, clock = request.org, Clock.of(request.org)
    listed = rates.currencies(organisation, clock)
    own = next(each for each in listed if each.is_own)
    others = [each for each in listed if not each.is_own]
    context = {
        "section": "rates",
        "own": own,
        "own_name": name_of(own.code),
        "used": [(each, name_of(each.code)) for each in others if each.deals],
        "unused": [each for each in others if not each.deals],
        "missing": [each for each in others if each.is_missing],
        "old": [each for each in others if each.is_old and each.deals],
        "seen": rates.newest(organisation),
        "entered": {"currency": request.GET.get("enter", "")[:3], "valid_on": clock.today.isoformat()},
        "outdated": rates.is_outdated(organisation, clock),
        "history": _history(request, organisation),
        "choices": choices(organisation) if request.membership.is_admin else {},
        # All deals in one other currency: that one was meant.
        "meant": others[0].code if not own.deals and sum(each.deals > 0 for each in others) == 1 else "",
        **(context or {}),
    }
    return render(request, "workplace/rates.html", context, status=status)


def _history(request: MemberRequest, organisation: Organisation) -> dict[str, Any] | None:
    """`?history=USD&page=2`; None of an unknown currency."""
    code, number = request.GET.get("history", ""), whole(request.GET.get("page", "1")) or 1
    if not rates.is_code(code):
        return None
    stored = rates.history(organisation, code)
    count = stored.count()
    pages = max(1, -(-count // PAGE_SIZE))
    number = max(1, min(number, pages))
    shown = stored[(number - 1) * PAGE_SIZE : number * PAGE_SIZE]
    return {"code": code, "rates": shown, "page": number, "pages": pages} if count else None


def choices(organisation: Organisation) -> dict[str, str]:
    """The currencies that an organisation may have: code → its name, those of its own deals too."""
    codes = {*rates.known_currencies(), organisation.currency, *rates.codes_in_use(organisation)}
    return dict(sorted(((code, name_of(code)) for code in codes), key=lambda item: item[1].casefold()))


def name_of(code: str) -> str:
    """ "US dollar" in the reader's language, the code when it has no name."""
    name: str = get_currency_name(code, locale=formats.active_locale()) if is_currency(code) else code
    return name[:1].upper() + name[1:]
