"""The profile: what a person chose for every page, their password, and where they are logged in."""

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.decorators import login_not_required
from django.contrib.sessions.models import Session
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import override
from django.views import i18n
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_http_methods, require_POST

from accounts import mail, sign_ins
from accounts.forms import PasswordForm, ProfileForm
from accounts.models import SignIn, User
from accounts.views import MemberRequest, member_required

SESSIONS_SHOWN = 20
YEAR = 31_536_000  # seconds
THEMES = ("", "light", "dark")


@require_http_methods(["GET", "HEAD", "POST"])
@member_required
@gzip_page
def profile_page(request: MemberRequest) -> HttpResponse:
    form = ProfileForm(request.membership, request.POST if request.method == "POST" else None)
    if not form.is_valid():
        return _page(request, form, PasswordForm(request.user), status=422 if form.is_bound else 200)
    user = form.save()
    with override(user.language or None):  # the next page is in the language that was chosen just now
        messages.success(request, _("Your profile is saved."))
    return _remember(redirect("workplace:profile"), user)


@sensitive_post_parameters()
@require_POST
@member_required
def password_change(request: MemberRequest) -> HttpResponse:
    """The other sessions end: whoever knew the old password is out."""
    form = PasswordForm(request.user, request.POST)
    if not form.is_valid():
        return _page(request, ProfileForm(request.membership), form, status=422)
    user = form.save()
    update_session_auth_hash(request, user)
    sign_ins.note(request, user, timezone.now())
    _end(_others(request))
    messages.success(request, _("Your password is changed. All other sessions have ended."))
    return redirect("workplace:profile")


def _page(request: MemberRequest, form: ProfileForm, password: PasswordForm, status: int = 200) -> HttpResponse:
    now = timezone.now()
    mine = request.user.sign_ins.filter(session__expire_date__gt=now).order_by("-seen_at")
    sessions = [
        (each, sign_ins.device_in_words(each.device), each.session_id == request.session.session_key)
        for each in mine[:SESSIONS_SHOWN]
    ]
    context = {
        "section": "profile",
        "form": form,
        "password": password,
        "sessions": sessions,
        "can_send": mail.can_send(),
    }
    return render(request, "workplace/profile.html", context, status=status)


# ---- Sessions


def _others(request: MemberRequest) -> QuerySet[SignIn]:
    return request.user.sign_ins.exclude(session=request.session.session_key)


def _end(sessions: QuerySet[SignIn]) -> int:
    """How many ended."""
    keys = list(sessions.values_list("session_id", flat=True))
    Session.objects.filter(pk__in=keys).delete()
    return len(keys)


@require_POST
@member_required
def session_end(request: MemberRequest, pk: int) -> HttpResponse:
    """One of one's own, but not this one: that is logging out."""
    session = get_object_or_404(_others(request), pk=pk)
    _end(_others(request).filter(pk=session.pk))
    messages.success(request, _("The session has ended."))
    return redirect("workplace:profile")


@require_POST
@member_required
def sessions_end(request: MemberRequest) -> HttpResponse:
    _end(_others(request))
    messages.success(request, _("All other sessions have ended."))
    return redirect("workplace:profile")


# ---- The switches of the side bar


@login_not_required
def language_choice(request: HttpRequest) -> HttpResponse:
    """Django's switch, which also writes the profile of whoever is logged in."""
    response = i18n.set_language(request)
    language = request.POST.get("language", "")
    if isinstance(request.user, User) and language in dict(settings.LANGUAGES):
        request.user.language = language
        request.user.save(update_fields=["language"])
    return response


@require_POST
def theme_choice(request: HttpRequest) -> HttpResponse:
    theme, there = request.POST.get("theme", ""), request.POST.get("next", "")
    assert isinstance(request.user, User)
    if theme in THEMES:
        request.user.theme = theme
        request.user.save(update_fields=["theme"])
    if request.htmx:  # type: ignore[attr-defined]
        return _remember(HttpResponse(status=204), request.user)
    safe = url_has_allowed_host_and_scheme(there, {request.get_host()}, require_https=request.is_secure())
    return _remember(redirect(there if safe else "alerts:deals"), request.user)


@require_POST
@member_required
def organisation_choice(request: MemberRequest) -> HttpResponse:
    """Which of the organisations of a user the pages are about. Http404 for one that they are no member of."""
    asked = request.POST.get("organisation", "")
    membership = next((m for m in request.memberships if str(m.organisation_id) == asked), None)
    membership = membership or get_object_or_404(request.user.memberships.none())
    request.session["organisation"] = membership.organisation_id
    return redirect("alerts:deals")


def _remember(response: HttpResponse, user: User) -> HttpResponse:
    """For the pages before the login, on this device."""
    for name, value in ((settings.LANGUAGE_COOKIE_NAME, user.language), ("theme", user.theme)):
        if value:
            response.set_cookie(name, value, max_age=YEAR, samesite="Lax", secure=settings.SECURE)
        else:
            response.delete_cookie(name, samesite="Lax")
    return response
