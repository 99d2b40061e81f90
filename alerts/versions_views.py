"""The history of the alert settings: what each version changed, any two compared, any restored; export and import."""

from typing import Any

from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_http_methods, require_safe

from accounts.models import Organisation
from accounts.params import whole
from accounts.views import MemberRequest, admin_required_to_post, member_required
from alerts import exchange
from alerts import settings as alert_settings
from alerts.settings import Draft
from alerts.settings_views import based_on, effect_of, save
from alerts.versions import Vocabulary, changes_since, differences, draft_at, history, vanished
from deals.clock import Clock

PAGE_SIZE = 20


@require_safe
@member_required
@gzip_page
def versions_page(request: MemberRequest) -> HttpResponse:
    """Newest first; the last of all is version 0, the settings that Vigie comes with."""
    organisation = request.org
    count = organisation.configurations.count() + 1
    pages = -(-count // PAGE_SIZE)
    page = min(whole(request.GET.get("page", "")) or 1, pages)
    rows = history(organisation, slice((page - 1) * PAGE_SIZE, page * PAGE_SIZE))
    context = {
        "section": "settings",
        "versions": [{"configuration": stored, "changes": changes} for stored, _draft, changes in rows],
        "newest": count - 1,
        "last": page == pages,
        "page": page,
        "pages": pages,
        "compared": _compared(organisation, request.GET),
    }
    return render(request, "alerts/versions.html", context)


def _compared(organisation: Organisation, asked: QueryDict) -> dict[str, Any] | None:
    """`?from=3&to=7`: the differences of any two versions."""
    if "from" not in asked and "to" not in asked:
        return None
    old, new = whole(asked.get("from", "")), whole(asked.get("to", ""))
    drafts = [None if n is None else draft_at(organisation, n) for n in (old, new)]
    if drafts[0] is None or drafts[1] is None:
        return {"missing": True}
    return {"old": old, "new": new, "changes": differences(drafts[0], drafts[1], Vocabulary.of(organisation))}


@require_http_methods(["GET", "HEAD", "POST"])
@admin_required_to_post
@gzip_page
def version_page(request: MemberRequest, version: int) -> HttpResponse:
    """What restoring a version would change, with its effect; a POST restores it."""
    organisation = request.org
    draft = draft_at(organisation, version)
    if draft is None:
        raise Http404
    context: dict[str, Any] = {}
    if request.method == "POST":
        try:
            return save(request, draft, based_on(request))
        except alert_settings.Conflict as conflict:
            context = _conflict(request, conflict)
        except ValidationError as error:
            context = {"errors": [sentence for each in error.message_dict.values() for sentence in each]}
    stored = organisation.configurations.select_related("saved_by").filter(version=version).first()
    before = draft_at(organisation, version - 1) if version else None
    names = Vocabulary.of(organisation)
    context |= {
        "version": version,
        "stored": stored,
        "changes": differences(before, draft, names) if before else [],
        **_effect(request, draft, names, request.GET.get("show", "")),
    }
    return _page(request, "alerts/version.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@admin_required_to_post
@gzip_page
def import_page(request: MemberRequest) -> HttpResponse:
    """A file, or text, is checked first; what is saved is what was checked."""
    if request.method != "POST":
        return _page(request, "alerts/settings_import.html", {})
    organisation = request.org
    try:
        text = _text(request)
        draft = exchange.load(organisation, text)
    except ValidationError as error:
        errors = error.message_dict if hasattr(error, "error_dict") else {"": error.messages}
        context: dict[str, Any] = {"errors": list(errors.items()), "text": request.POST.get("text", "")}
        if file := request.FILES.get("file"):
            file.seek(0)
            context["text"] = file.read(exchange.MOST_BYTES).decode("utf-8-sig", "replace").replace("\x00", "")
        return _page(request, "alerts/settings_import.html", context)
    context = {"text": text.decode("utf-8-sig")}
    if "save" in request.POST:
        try:
            return save(request, draft, based_on(request))
        except alert_settings.Conflict as conflict:
            context |= _conflict(request, conflict)
    names = Vocabulary.of(organisation)
    context |= {"checked": True, **_effect(request, draft, names, request.POST.get("show", ""))}
    return _page(request, "alerts/settings_import.html", context)


def _text(request: MemberRequest) -> bytes:
    if file := request.FILES.get("file"):
        found: bytes = file.read(exchange.MOST_BYTES + 1)
        return found
    text = request.POST.get("text", "")
    if not text.strip():
        raise ValidationError(_("Choose a file, or paste its text."))
    return text.encode("utf-8", "replace")


def _effect(request: MemberRequest, draft: Draft, names: Vocabulary, show: str) -> dict[str, Any]:
    """What a draft would change in the settings in force, in words and in deals."""
    organisation = request.org
    current = alert_settings.current(organisation)
    changes = differences(alert_settings.draft_of(current), draft, names)
    effect = effect_of(organisation, draft, Clock.of(organisation), show) if changes else {}
    return {"current": current, "would_change": changes, "vanished": vanished(organisation, draft), **effect}


def _conflict(request: MemberRequest, conflict: alert_settings.Conflict) -> dict[str, Any]:
    changes = changes_since(request.org, based_on(request), conflict.current)
    return {"conflict": conflict.current, "conflict_changes": changes}


def _page(request: MemberRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    status = 409 if "conflict" in context else 422 if "errors" in context else 200
    return render(request, template, {"section": "settings", **context}, status=status)
