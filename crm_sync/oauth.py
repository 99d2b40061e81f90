"""Signing in at a CRM (OAuth 2.0, authorization code) and keeping the access fresh (docs/adr/0016).

Sources: Pipedrive "OAuth authorization" and "Handling user app uninstallation" (pipedrive.readme.io), HubSpot "Manage
OAuth tokens", version 2026-09 (developers.hubspot.com). Neither documents PKCE for an app with a secret.
"""

import hashlib
import hmac
import logging
import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from urllib.parse import urlencode

import requests
from django.conf import settings
from django.urls import reverse
from requests.auth import AuthBase, HTTPBasicAuth

from accounts.models import Organisation, User
from accounts.tenancy import tenant
from crm_sync import vault
from crm_sync.models import Connection, OAuthState
from crm_sync.providers.base import CrmDown, CrmError, RateLimited, TokenRefused, UnexpectedAnswer
from crm_sync.providers.http import DOWN, SLOW_DOWN, Answer, Api

logger = logging.getLogger(__name__)

STATE_LASTS = timedelta(minutes=10)
MARGIN = timedelta(minutes=3)  # before its end a token is renewed: longer than one request with its retries takes
LONGEST = timedelta(days=60)
# What a refusal of a code or refresh token is called (RFC 6749, 5.2); HubSpot's older name, seen in the field.
INVALID_GRANT = {"invalid_grant", "BAD_REFRESH_TOKEN", "BAD_AUTH_CODE"}
PIPEDRIVE_DOMAIN = re.compile(r"https://[a-z0-9-]{1,63}\.pipedrive\.com")


class CodeRefused(CrmError):
    """The code of a sign-in is unknown, used or too old."""

    code = "code_refused"


class AppRefused(CrmError):
    """The CRM does not accept our client id and secret: for whoever runs this server."""

    code = "app_refused"


class AccessWithdrawn(TokenRefused):
    """The CRM no longer renews the access: the app was uninstalled, or not used for too long."""

    code = "access_withdrawn"


class UnknownState(Exception):
    """The answer belongs to no sign-in of this session, user and organisation that is still open."""


@dataclass(frozen=True, slots=True)
class Login:
    """What opens an account: a token that lasts, or one that `refresh_token` renews when it ends at `expires_at`.

    `api_url`: the account's own address, "" for the usual one; `scopes` with spaces between them.
    """

    token: str = field(repr=False)
    refresh_token: str = field(default="", repr=False)
    expires_at: datetime | None = None
    scopes: str = ""
    api_url: str = ""

    @property
    def by_oauth(self) -> bool:
        return bool(self.refresh_token)

    @classmethod
    def of(cls, connection: Connection) -> Self:
        """Raises vault.Unreadable."""
        return cls(
            token=_unseal(connection, connection.token),
            refresh_token=_unseal(connection, connection.refresh_token) if connection.refresh_token else "",
            expires_at=connection.expires_at,
            scopes=connection.scopes,
            api_url=connection.api_url,
        )

    def sealed(self, organisation: int, source: int) -> dict[str, Any]:
        """The fields of the connection between these two."""
        return {
            "method": Connection.Method.OAUTH if self.by_oauth else Connection.Method.TOKEN,
            "token": vault.seal(self.token, organisation, source),
            "refresh_token": vault.seal(self.refresh_token, organisation, source) if self.by_oauth else "",
            "expires_at": self.expires_at,
            "scopes": self.scopes,
            "api_url": self.api_url,
        }


@dataclass(frozen=True, slots=True)
class App:
    """Our app at one CRM: what it is called there, where people sign in and where tokens are given.

    `scopes`: what it needs; `optional`: what it can do without.
    """

    provider: str
    client_id: str
    client_secret: str = field(repr=False)
    sign_in_url: str
    token_base: str
    token_path: str
    scopes: tuple[str, ...]
    optional: tuple[str, ...]

    @property
    def redirect_uri(self) -> str:
        """One address for sign-ins and, at Pipedrive, for uninstalls; it must be registered exactly so."""
        path = reverse("crm_sync:oauth_callback", args=[self.provider])
        return f"{settings.SITE_URL}{path}"

    def url(self, state: str) -> str:
        asked = {"client_id": self.client_id, "redirect_uri": self.redirect_uri, "state": state}
        if self.provider == "hubspot":  # Pipedrive's scopes are chosen where the app is registered
            asked |= {"scope": " ".join(self.scopes), "optional_scope": " ".join(self.optional)}
        return f"{self.sign_in_url}?{urlencode(asked)}"

    def missing(self, granted: str) -> list[str]:
        """The scopes that were not granted; `…:full` includes `…:read`."""
        have = set(granted.split())
        have |= {scope.removesuffix(":full") + ":read" for scope in have if scope.endswith(":full")}
        return [scope for scope in (*self.scopes, *self.optional) if scope not in have]

    def exchange(self, code: str) -> Login:
        """The login that a code stands for; a code works once. Raises CrmError."""
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": self.redirect_uri}
        return self._login(self._ask(form))

    def renew(self, login: Login) -> Login:
        """Raises AccessWithdrawn when the refresh token no longer counts, other CrmErrors when it may the next time."""
        try:
            answer = self._ask({"grant_type": "refresh_token", "refresh_token": login.refresh_token})
        except CodeRefused as error:
            raise AccessWithdrawn(str(error)) from None
        return self._login(answer, login)

    def revoke(self, refresh_token: str) -> None:
        """Give the access back (RFC 7009). Raises CrmError."""
        self._ask({"token": refresh_token, "token_type_hint": "refresh_token"}, "/revoke")

    def _ask(self, form: dict[str, str], verb: str = "") -> dict[str, Any]:
        """One attempt, whatever comes: who asks tries again later, as for any other trouble of a CRM."""
        path = self.token_path
        if verb:
            path = path + verb if self.provider == "hubspot" else path.replace("/token", verb)
        auth: AuthBase = HTTPBasicAuth(self.client_id, self.client_secret)
        if self.provider == "hubspot":
            auth = _InTheForm()
            form = form | {"client_id": self.client_id, "client_secret": self.client_secret}
        answer = Api(self.token_base, auth, settings.CRM_TIMEOUT).post_form(path, form)
        return _read(answer, f"POST {path}", empty=bool(verb))

    def _login(self, answer: dict[str, Any], before: Login | None = None) -> Login:
        """What a token answer says; what it leaves out on renewal stays as it was."""
        token, seconds = answer.get("access_token"), answer.get("expires_in")
        refresh = answer.get("refresh_token") or (before.refresh_token if before else None)
        scopes = answer.get("scopes", answer.get("scope"))
        if isinstance(scopes, list):
            scopes = " ".join(map(str, scopes))
        if scopes is None and before:
            scopes = before.scopes
        if not (isinstance(token, str) and isinstance(refresh, str) and isinstance(scopes, str)):
            raise UnexpectedAnswer("the token answer is not complete")
        if not isinstance(seconds, int) or not 0 < seconds <= LONGEST.total_seconds():
            raise UnexpectedAnswer("the token answer says no sensible expires_in")
        return Login(
            token=token,
            refresh_token=refresh,
            expires_at=datetime.now(UTC) + timedelta(seconds=seconds),
            scopes=" ".join(re.split(r"[\s,]+", scopes.strip()))[:5000],
            api_url=self._api_url(answer, before),
        )

    def _api_url(self, answer: dict[str, Any], before: Login | None) -> str:
        """Pipedrive's own address of the account: below pipedrive.com, or the one of the settings (the sandbox)."""
        if self.provider != "pipedrive":
            return ""
        told = answer.get("api_domain") or (before.api_url if before else None)
        if not isinstance(told, str) or not (PIPEDRIVE_DOMAIN.fullmatch(told) or told == settings.PIPEDRIVE_API_URL):
            raise UnexpectedAnswer("the token answer leads to a foreign address")
        return told


class _InTheForm(AuthBase):
    """The app's secret is in the body; an auth object keeps requests from adding what ~/.netrc says."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


def _read(answer: Answer, request: str, *, empty: bool) -> dict[str, Any]:
    if answer.status in SLOW_DOWN:
        raise RateLimited(f"{request}: {answer.status}")
    if answer.status in DOWN:
        raise CrmDown(f"{request}: {answer.status}")
    if empty and 200 <= answer.status < 300:
        return {}
    try:
        body = answer.json()
    except ValueError:
        if answer.status == 403:  # Cloudflare's page
            raise RateLimited(f"{request}: 403 without JSON") from None
        raise UnexpectedAnswer(f"{request}: {answer.status} without JSON", status=answer.status) from None
    said = {str(body.get(name)) for name in ("error", "status", "category")}
    if 200 <= answer.status < 300:
        return body
    if said & INVALID_GRANT:
        raise CodeRefused(f"{request}: {answer.status} invalid_grant")
    if answer.status == 401 or said & {"invalid_client", "BAD_CLIENT_ID", "BAD_CLIENT_SECRET"}:
        raise AppRefused(f"{request}: {answer.status} invalid_client")
    raise UnexpectedAnswer(f"{request}: {answer.status}", status=answer.status)


def app(provider: str) -> App | None:
    """Our app at a CRM; None when this server has none."""
    name = provider.upper()
    client_id, secret = getattr(settings, f"{name}_CLIENT_ID", ""), getattr(settings, f"{name}_CLIENT_SECRET", "")
    if not client_id or not secret:
        return None
    if provider == "pipedrive":
        base: str = settings.PIPEDRIVE_OAUTH_URL
        return App(
            provider,
            client_id,
            secret,
            sign_in_url=f"{base}/oauth/authorize",
            token_base=base,
            token_path="/oauth/token",  # noqa: S106 - an address
            scopes=("base", "deals:read", "contacts:read", "activities:read", "users:read"),
            optional=("admin",),
        )
    return App(
        provider,
        client_id,
        secret,
        sign_in_url=f"{settings.HUBSPOT_OAUTH_URL}/oauth/authorize",
        token_base=settings.HUBSPOT_API_URL,
        token_path="/oauth/2026-09/token",  # noqa: S106 - an address
        scopes=(
            "oauth",
            "crm.objects.deals.read",
            "crm.objects.contacts.read",
            "crm.objects.companies.read",
            "crm.objects.owners.read",
            "crm.schemas.deals.read",
        ),
        optional=("sales-email-read",),
    )


# ---- One sign-in


def begin(app: App, organisation: Organisation, user: User, session: str, came_from: str = "") -> str:
    """Where to send the user. The answer counts once, within ten minutes, in this session and organisation only."""
    now = datetime.now(UTC)
    OAuthState.objects.filter(organisation=organisation, began_at__lt=now - STATE_LASTS).delete()
    state = secrets.token_urlsafe(32)
    OAuthState.objects.create(
        organisation=organisation,
        user=user,
        provider=app.provider,
        state=_digest(state),
        session=_digest(session),
        came_from=came_from[:200],
        began_at=now,
    )
    return app.url(state)


def end(app: App, organisation: Organisation, user: User, session: str, state: str) -> str:
    """Use `state` up, and tell which page the sign-in began on. Raises UnknownState."""
    known = OAuthState.objects.select_for_update().filter(
        organisation=organisation,
        user=user,
        provider=app.provider,
        state=_digest(state),
        session=_digest(session),
        began_at__gt=datetime.now(UTC) - STATE_LASTS,
    )
    found = known.first()
    if found is None:
        raise UnknownState
    found.delete()
    return found.came_from


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def is_from_crm(app: App, authorization: str) -> bool:
    """Whether an Authorization header carries our client id and secret: how Pipedrive shows that it is Pipedrive."""
    request = HTTPBasicAuth(app.client_id, app.client_secret)(requests.Request("DELETE", "https://x").prepare())
    return hmac.compare_digest(request.headers["Authorization"].encode(), authorization.encode())


# ---- Renewing


def freshen(connection: Connection, refused: str = "") -> None:
    """Bring `connection` a token that lasts for a while; exactly one of many callers asks the CRM for it.

    `refused`: this token (as it is stored) was not accepted and counts as ended. Raises AccessWithdrawn when the CRM
    renews no more, CrmDown and RateLimited when it cannot now and the token has ended, vault.Unreadable.
    """
    if not _is_due(connection, refused):
        return
    row: Connection | None = None
    try:
        with tenant(connection.organisation_id):
            # Keys that point here (new runs) need not wait.
            row = Connection.objects.select_for_update(no_key=True).filter(pk=connection.pk).first()
            if row is not None and _is_due(row, refused):
                _renew(row)
    except AccessWithdrawn:
        # Somebody may have signed in anew while we asked, and wait for the row: what they bring counts.
        tried = row.token if row else ""
        with tenant(connection.organisation_id):
            row = Connection.objects.select_for_update(no_key=True).filter(pk=connection.pk).first()
        if row is None or row.token == tried:
            raise
    except (CrmDown, RateLimited):
        if refused or (connection.expires_at and connection.expires_at <= datetime.now(UTC)):
            raise
        return  # it still lasts for some minutes
    if row is not None:
        for name in ("state", "method", "token", "refresh_token", "expires_at", "scopes", "api_url"):
            setattr(connection, name, getattr(row, name))


def _is_due(connection: Connection, refused: str) -> bool:
    if connection.method != Connection.Method.OAUTH or not connection.refresh_token or not connection.expires_at:
        return False
    return connection.token == refused or connection.expires_at - MARGIN <= datetime.now(UTC)


def _renew(row: Connection) -> None:
    mine = app(row.provider)
    if mine is None:
        raise AppRefused("this server no longer has an app at the CRM")
    login = mine.renew(Login.of(row))
    for name, value in login.sealed(row.organisation_id, row.source_id).items():
        setattr(row, name, value)
    row.save(update_fields=["method", "token", "refresh_token", "expires_at", "scopes", "api_url"])
    logger.info("access of connection %s renewed", row.pk)


def _unseal(connection: Connection, sealed: str) -> str:
    return vault.unseal(sealed, connection.organisation_id, connection.source_id)
