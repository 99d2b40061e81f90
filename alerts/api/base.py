"""What every address of the API shares: the organisation at hand, how refusals are told, pages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import Http404
from django.utils.translation import gettext as _
from rest_framework import exceptions, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView, exception_handler

from accounts.models import Organisation, User
from accounts.params import whole
from alerts.api.protocol import IsMember
from deals.clock import Clock

PAGE_SIZE, MOST_PER_PAGE = 50, 200


class OrganisationView(APIView):
    """`organisation`, `clock` and the JSON object sent are at hand."""

    request: Request

    @property
    def organisation(self) -> Organisation:
        organisation: Organisation = self.request.org  # type: ignore[attr-defined]
        return organisation

    @property
    def user(self) -> User:
        assert isinstance(self.request.user, User)
        return self.request.user

    @property
    def clock(self) -> Clock:
        return Clock.of(self.organisation)

    @property
    def sent(self) -> dict[str, Any]:
        """The body. Raises ParseError when it is not an object."""
        if not isinstance(self.request.data, dict):
            raise exceptions.ParseError
        return self.request.data


class NothingHere(OrganisationView):
    """Every address of the API that is none."""

    permission_classes = [IsMember]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise Http404


# ---- Refusals


def answer_refusal(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """{"code", "detail": a sentence, "errors": {path: [sentence]} of what is wrong}. Nothing stays written."""
    match error:
        case ValidationError():
            errors = error.message_dict if hasattr(error, "error_dict") else {"": error.messages}
            response = Response({"code": "invalid", "errors": errors}, status.HTTP_422_UNPROCESSABLE_ENTITY)
        case Http404():
            response = Response({"code": "not_found"}, status.HTTP_404_NOT_FOUND)
        case PermissionDenied():
            response = Response({"code": "permission_denied"}, status.HTTP_403_FORBIDDEN)
        case exceptions.APIException():
            answered = exception_handler(error, dict(context))
            assert answered is not None
            response = answered
            response.data = {"code": error.get_codes()}
        case _:
            return None
    response.data["detail"] = _sentence(response.data["code"])
    if getattr(context["request"], "org", None) is not None:  # then the middleware has opened a transaction
        transaction.set_rollback(True)
    return response


def _sentence(code: str) -> str:
    return {
        "not_authenticated": _("Log in first."),
        "csrf": _("Send the value of the cookie “csrftoken” in the header “X-CSRFToken”."),
        "no_organisation": _("No organisation has you as a member."),
        "permission_denied": _("Only an admin of your organisation may do this. Ask one of them to make the change."),
        "not_found": _("Nothing is here under this address, or it is not part of your organisation."),
        "method_not_allowed": _("This address does not answer to this method."),
        "parse_error": _("The body is no JSON object that can be read."),
        "unsupported_media_type": _("The body is not of a kind that this address reads."),
        "too_large": _("The body is too large."),
        "invalid": _("Something in it is not valid; nothing was saved."),
    }.get(code, _("This did not work."))


# ---- Lists


@dataclass(frozen=True)
class Page:
    """What `?page=` and `?page_size=` ask for; pages count from 1."""

    number: int
    size: int

    @classmethod
    def of(cls, request: Request) -> "Page":
        values = {}
        for name, default, most in (("page", 1, 10**6), ("page_size", PAGE_SIZE, MOST_PER_PAGE)):
            text = request.query_params.get(name) or str(default)
            if not (number := whole(text, most)):
                sentence = _("Enter a whole number from %(min)s to %(max)s.") % {"min": 1, "max": most}
                raise ValidationError({name: [sentence]})
            values[name] = number
        return cls(values["page"], values["page_size"])

    @property
    def start(self) -> int:
        return (self.number - 1) * self.size

    @property
    def rows(self) -> slice:
        return slice(self.start, self.start + self.size)

    def answer(self, request: Request, count: int, results: Sequence[Any]) -> Response:
        def address(number: int) -> str | None:
            if not 1 <= number <= max(1, -(-count // self.size)):
                return None
            query = request.query_params.copy()
            query["page"] = str(number)
            return f"{request.path}?{query.urlencode()}"

        links = {"next": address(self.number + 1), "previous": address(self.number - 1)}
        return Response({"count": count, **links, "results": results})
