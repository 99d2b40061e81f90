from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.contrib.auth import logout
from django.contrib.auth import views as auth
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse_lazy
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods
from django_htmx.http import HttpResponseClientRefresh
from django_htmx.middleware import HtmxDetails
from kombu.exceptions import OperationalError

from accounts import mail, passwords, sign_ins, tasks
from accounts.forms import ForgottenForm, LoginForm, NewPasswordForm
from accounts.models import Membership, Organisation, User

Args = ParamSpec("Args")


class MemberRequest(HttpRequest):
    """What views get behind `member_required`: the middlewares have put these there."""

    user: User
    org: Organisation
    membership: Membership
    memberships: list[Membership]
    htmx: HtmxDetails


View = Callable[Concatenate[MemberRequest, Args], HttpResponseBase]


class LoginView(auth.LoginView):
    template_name = "accounts/login.html"
    authentication_form = LoginForm
    redirect_authenticated_user = True

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        # A part of a page was asked for after the session's end: the whole page is loaded anew, and leads here.
        if request.htmx:  # type: ignore[attr-defined]
            return HttpResponseClientRefresh()
        return super().get(request, *args, **kwargs)

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        response = super().form_valid(form)
        sign_ins.note(self.request, form.get_user(), timezone.now())
        return response


@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
def forgotten(request: HttpRequest) -> HttpResponse:
    """Asks for an address, and answers the same whether or not somebody has it; the worker sends the mail."""
    form = ForgottenForm(request.POST or None)
    if request.method == "POST" and mail.can_send() and form.is_valid():
        try:
            tasks.send_password_link.delay(passwords.user_of(form.cleaned_data["email"]), get_language())
        except OperationalError:
            form.add_error(None, _("The link cannot be sent right now. Please try again in a few minutes."))
        else:
            return redirect("accounts:forgotten_sent")
    context = {"form": form, "can_send": mail.can_send()}
    return render(request, "accounts/forgotten.html", context, status=422 if form.errors else 200)


class NewPasswordView(auth.PasswordResetConfirmView):
    template_name = "accounts/new_password.html"
    form_class = NewPasswordForm
    success_url = reverse_lazy("accounts:new_password_done")

    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        logout(self.request)  # this browser's session is among those that end, and must not be saved after it
        passwords.end_sessions(form.user)
        return response


def member_required(view: View[Args]) -> Callable[..., HttpResponseBase]:
    """Only with an organisation; a user without one is told so."""

    @wraps(view)
    def wrapper(request: MemberRequest, *args: Args.args, **kwargs: Args.kwargs) -> HttpResponseBase:
        if request.org is None:
            return render(request, "accounts/no_organisation.html", status=403)
        return view(request, *args, **kwargs)

    return wrapper


def admin_required_to_post(view: View[Args]) -> Callable[..., HttpResponseBase]:
    """Every member may read, only admins may change: others get 403 on POST."""

    def checked(request: MemberRequest, /, *args: Args.args, **kwargs: Args.kwargs) -> HttpResponseBase:
        if request.method not in ("GET", "HEAD") and not request.membership.is_admin:
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return wraps(view)(member_required(checked))
