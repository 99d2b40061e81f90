"""Who may ask and in what form: the defaults of every view (REST_FRAMEWORK in the settings)."""

import json
from typing import Any

from django.http import HttpRequest
from rest_framework import authentication, exceptions, negotiation, parsers, permissions, status
from rest_framework.request import Request

from accounts.models import Membership

MOST_BYTES = 1024 * 1024


class SessionAuthentication(authentication.SessionAuthentication):
    """The browser's login, with Django's CSRF token on every change."""

    def authenticate_header(self, request: Request) -> str:
        return "Session"  # so that a missing login is 401 and not 403

    def enforce_csrf(self, request: Request | HttpRequest) -> None:
        try:
            super().enforce_csrf(request)  # type: ignore[arg-type]
        except exceptions.PermissionDenied as error:
            raise exceptions.PermissionDenied(code="csrf") from error


class IsMember(permissions.BasePermission):
    """Logged in, and a member of an organisation."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if not request.user.is_authenticated:
            raise exceptions.NotAuthenticated
        if getattr(request, "org", None) is None:
            raise exceptions.PermissionDenied(code="no_organisation")
        return True


class AdminsChange(IsMember):
    """Every member reads, only admins change."""

    def has_permission(self, request: Request, view: Any) -> bool:
        super().has_permission(request, view)
        membership: Membership = request.membership  # type: ignore[attr-defined]
        return request.method in permissions.SAFE_METHODS or membership.is_admin


class OneRenderer(negotiation.DefaultContentNegotiation):
    """Answers are of one kind, whatever the client says it accepts."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class TooLarge(exceptions.APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"


class JSONParser(parsers.BaseParser):
    """JSON of limited size whose texts the database can store."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        try:
            data = json.loads(read_body(stream, MOST_BYTES), parse_constant=_refuse)
            json.dumps(data, ensure_ascii=False).encode()  # fails on half of a surrogate pair
        except (ValueError, RecursionError) as error:
            raise exceptions.ParseError from error
        return data


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def read_body(stream: Any, most: int) -> bytes:
    body: bytes = stream.read(most + 1)
    if len(body) > most:
        raise TooLarge
    return body
