from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.contrib.auth import views as auth
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django_htmx.http import HttpResponseClientRefresh

from accounts.forms import LoginForm

Args = ParamSpec("Args")
View = Callable[Concatenate[HttpRequest, Args], HttpResponse]


class LoginView(auth.LoginView):
    template_name = "accounts/login.html"
    authentication_form = LoginForm
    redirect_authenticated_user = True

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        # A part of a page was asked for after the session's end: the whole page is loaded anew, and leads here.
        return HttpResponseClientRefresh() if request.htmx else super().get(request, *args, **kwargs)  # type: ignore[attr-defined]


def member_required(view: View[Args]) -> View[Args]:
    """Only with an organisation; a user without one is told so."""

    @wraps(view)
    def wrapper(request: HttpRequest, *args: Args.args, **kwargs: Args.kwargs) -> HttpResponse:
        if request.org is None:  # type: ignore[attr-defined]
            return no_organisation(request)
        return view(request, *args, **kwargs)

    return wrapper


def admin_required_to_post(view: View[Args]) -> View[Args]:
    """Every member may read, only admins may change: others get 403 on POST."""

    @member_required
    @wraps(view)
    def wrapper(request: HttpRequest, *args: Args.args, **kwargs: Args.kwargs) -> HttpResponse:
        if request.method not in ("GET", "HEAD") and not request.membership.is_admin:  # type: ignore[attr-defined]
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return wrapper


def no_organisation(request: HttpRequest) -> HttpResponse:
    if request.org is not None:  # type: ignore[attr-defined]
        return redirect("alerts:deals")
    return render(request, "accounts/no_organisation.html", status=403)
