"""`request.org` and `request.membership`: set once, for the whole request, inside that organisation's transaction."""

from collections.abc import Callable

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse

from accounts.models import Membership, Organisation
from accounts.tenancy import tenant


class OrganisationMiddleware:
    """The organisation of the session, else the user's first. A page without a membership gets None, and no tenant row.

    The transaction is opened here and not by ATOMIC_REQUESTS, which would begin only inside the view.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        membership = self.membership_of(request)
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
    def membership_of(request: HttpRequest) -> Membership | None:
        if not request.user.is_authenticated:
            return None
        memberships = Membership.objects.filter(user=request.user).select_related("organisation").order_by("pk")
        chosen = request.session.get("organisation")
        return (memberships.filter(organisation=chosen).first() if chosen else None) or memberships.first()


def organisation_of(request: HttpRequest) -> Organisation:
    """The request's organisation, for views (which are reached only with one)."""
    organisation: Organisation = request.org  # type: ignore[attr-defined]
    return organisation
