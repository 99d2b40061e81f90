"""`request.org` and `request.membership`: set once, for the whole request, inside that organisation's transaction.

And what a user chose for every page: the language (theme and time zone are asked by `config.context`).
"""

from collections.abc import Callable

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import translation

from accounts import sign_ins
from accounts.models import Membership, Organisation
from accounts.tenancy import tenant


class OrganisationMiddleware:
    """The organisation of the session, else the user's first. A page without a membership gets None, and no tenant row.

    The transaction is opened here and not by ATOMIC_REQUESTS, which would begin only inside the view.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        memberships: list[Membership] = []
        if request.user.is_authenticated:
            memberships = self.memberships_of(request)
            sign_ins.see(request)
            if language := request.user.language:
                translation.activate(language)
                request.LANGUAGE_CODE = language
        chosen = request.session.get("organisation") if memberships else None
        membership = next((m for m in memberships if m.organisation_id == chosen), next(iter(memberships), None))
        request.memberships = memberships  # type: ignore[attr-defined]
        request.membership = membership  # type: ignore[attr-defined]
        request.org = membership.organisation if membership else None  # type: ignore[attr-defined]
        if membership is None:
            return self.get_response(request)
        with tenant(membership.organisation):
            return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        # Django turns the exception into an answer below this middleware: without this, half a view would be committed.
        # 403 and 404 are answers, not accidents, and their pages still ask the database.
        if transaction.get_connection().in_atomic_block and not isinstance(exception, Http404 | PermissionDenied):
            transaction.set_rollback(True)

    @staticmethod
    def memberships_of(request: HttpRequest) -> list[Membership]:
        memberships = Membership.objects.filter(user=request.user.pk)
        return list(memberships.select_related("organisation").order_by("pk"))


def organisation_of(request: HttpRequest) -> Organisation:
    """The request's organisation, for views (which are reached only with one)."""
    organisation: Organisation = request.org  # type: ignore[attr-defined]
    return organisation
