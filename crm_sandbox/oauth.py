"""Where people sign in, and where tokens are given: the OAuth 2.0 servers of both CRMs.

GET  oauth/authorize            a page with two buttons; with {"page": false} the answer at once
POST oauth/token                Pipedrive: code or refresh token for an access token, Basic client_id:client_secret
POST oauth/revoke               Pipedrive: RFC 7009
POST oauth/2026-09/token        HubSpot: the same, client_id and client_secret in the form
POST oauth/2026-09/token/introspect, …/revoke
"""

import base64
import hmac
import json
import secrets
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from crm_sandbox.messages import Answer, Refused, Request, answer
from crm_sandbox.store import Crm, Fields

CLIENT_ID, CLIENT_SECRET = "sandbox-app", "sandbox-app-secret"
LIFETIME = {"pipedrive": 3599, "hubspot": 1800}
CODE_LASTS = 300  # seconds
PAGE = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{crm} sandbox</title></head>
<body><h1>{crm} sandbox</h1><p>The app <strong>{app}</strong> asks to read your account.</p>
<p><a href="{allow}">Allow</a> · <a href="{refuse}">Cancel</a></p></body></html>"""


@dataclass
class Manners:
    """What the next answers are like, until they are changed."""

    page: bool = True  # people are asked; else the answer comes at once
    refuse: str = ""  # the error of every sign-in: access_denied, …
    scopes: str | None = None  # granted, instead of what was asked for
    expires_in: int | None = None
    single_use: bool = False  # each refresh token works once
    invalid_grant: bool = False  # no refresh token works
    slow: float = 0  # seconds until a token is given
    api_domain: str = ""  # Pipedrive: instead of this server's


@dataclass
class Grant:
    """That one account lets the app in. It ends with its refresh token, or with the app."""

    redirect_uri: str
    scopes: str
    refresh_token: str = field(default_factory=lambda: secrets.token_urlsafe(24))


class OAuth:
    """The server of one CRM, pipedrive or hubspot."""

    def __init__(self, name: str, crm: Crm) -> None:
        self.name, self.crm = name, crm
        self.manners = Manners()
        self.codes: dict[str, tuple[Grant, float]] = {}  # until when
        self.access: dict[str, tuple[Grant, float]] = {}
        self.grants: dict[str, Grant] = {}  # by refresh token
        self.counts = {"exchanges": 0, "refreshes": 0, "refused": 0, "revoked": 0}
        self.callback = ""

    def accepts(self, token: str) -> bool:
        grant, until = self.access.get(token, (None, 0.0))
        return grant is not None and time.time() < until

    def handle(self, request: Request) -> Answer:
        match [request.method, request.path]:
            case ["GET", "oauth/authorize"]:
                return self.authorize(request)
            case ["POST", "oauth/token"] if self.name == "pipedrive":
                return self.token(request)
            case ["POST", "oauth/revoke"] if self.name == "pipedrive":
                return self.revoke(request)
            case ["POST", "oauth/2026-09/token"] if self.name == "hubspot":
                return self.token(request)
            case ["POST", "oauth/2026-09/token/revoke"] if self.name == "hubspot":
                return self.revoke(request)
            case ["POST", "oauth/2026-09/token/introspect"] if self.name == "hubspot":
                return self.introspect(request)
        return answer(404, {"error": "not_found"})

    # Signing in

    def authorize(self, request: Request) -> Answer:
        query = request.query
        uri = query.get("redirect_uri", "")
        if query.get("client_id") != CLIENT_ID or urlsplit(uri).scheme not in ("http", "https"):
            return Answer(400, b"<h1>Unknown app or address</h1>", {}, "text/html; charset=utf-8")
        if self.manners.page and "answer" not in query:
            here = f"{request.origin}/{self.name}/{request.path}?"
            page = PAGE.format(
                crm={"pipedrive": "Pipedrive", "hubspot": "HubSpot"}[self.name],
                app=CLIENT_ID,
                allow=escape(here + urlencode(query | {"answer": "allow"})),
                refuse=escape(here + urlencode(query | {"answer": "refuse"})),
            )
            return Answer(200, page.encode(), {}, "text/html; charset=utf-8")
        error = self.manners.refuse or ("access_denied" if query.get("answer") == "refuse" else "")
        if error:
            result = {"error": error}
        else:
            code = secrets.token_urlsafe(16)
            scopes = self.manners.scopes if self.manners.scopes is not None else self.asked(query)
            self.codes[code] = Grant(uri, scopes), time.time() + CODE_LASTS
            result = {"code": code}
        if "state" in query:
            result["state"] = query["state"]
        return Answer(302, b"", {"Location": f"{uri}{'&' if '?' in uri else '?'}{urlencode(result)}"})

    def asked(self, query: dict[str, str]) -> str:
        if self.name == "pipedrive":  # as the app is registered
            return "base deals:read contacts:read activities:read users:read admin"
        return " ".join(filter(None, (query.get("scope"), query.get("optional_scope"))))

    # Tokens

    def token(self, request: Request) -> Answer:
        try:
            form = self.form(request)
        except Refused as refusal:
            return refusal.answer
        time.sleep(self.manners.slow)
        if form.get("grant_type") == "authorization_code":
            grant, until = self.codes.pop(form.get("code", ""), (None, 0.0))
            if grant is None or time.time() > until or grant.redirect_uri != form.get("redirect_uri"):
                return self.invalid_grant("BAD_AUTH_CODE", "missing or unknown auth code")
            self.counts["exchanges"] += 1
            self.callback = grant.redirect_uri
            self.grants[grant.refresh_token] = grant
            return self.give(request, grant)
        if form.get("grant_type") == "refresh_token":
            grant = self.grants.get(form.get("refresh_token", ""))
            if grant is None or self.manners.invalid_grant:
                self.counts["refused"] += 1
                return self.invalid_grant("BAD_REFRESH_TOKEN", "missing or invalid refresh token")
            self.counts["refreshes"] += 1
            if self.manners.single_use:
                del self.grants[grant.refresh_token]
                grant.refresh_token = secrets.token_urlsafe(24)
                self.grants[grant.refresh_token] = grant
            return self.give(request, grant)
        return answer(400, {"error": "unsupported_grant_type"})

    def form(self, request: Request) -> dict[str, str]:
        form = dict(parse_qsl(request.body.decode()))
        if self.name == "pipedrive":
            wanted = "Basic " + base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
            known = hmac.compare_digest(request.headers.get("authorization", "").encode(), wanted.encode())
        else:
            known = (form.get("client_id"), form.get("client_secret")) == (CLIENT_ID, CLIENT_SECRET)
        if not known:
            raise Refused(answer(401, {"error": "invalid_client"}))
        return form

    def invalid_grant(self, hubspot: str, message: str) -> Answer:
        if self.name == "hubspot":
            return answer(400, {"status": hubspot, "message": message})
        return answer(400, {"success": False, "message": message, "error": "invalid_grant"})

    def give(self, request: Request, grant: Grant) -> Answer:
        lifetime = LIFETIME[self.name] if self.manners.expires_in is None else self.manners.expires_in
        token = f"{'v1u' if self.name == 'pipedrive' else 'na1'}-{secrets.token_urlsafe(48)}"
        self.access[token] = grant, time.time() + lifetime
        body: Fields = {"access_token": token, "refresh_token": grant.refresh_token, "expires_in": lifetime}
        if self.name == "pipedrive":
            domain = self.manners.api_domain or f"{request.origin}/pipedrive"
            return answer(200, body | {"token_type": "Bearer", "scope": grant.scopes, "api_domain": domain})
        return answer(200, body | {"token_type": "bearer", "hub_id": self.portal, "scopes": grant.scopes.split()})

    @property
    def portal(self) -> Any:
        return self.crm.fixed["account"]["portalId"]

    def introspect(self, request: Request) -> Answer:
        try:
            token = self.form(request).get("token", "")
        except Refused as refusal:
            return refusal.answer
        if not self.accepts(token):
            return answer(200, {"active": False})
        grant, until = self.access[token]
        left = int(until - time.time())
        return answer(
            200,
            {
                "active": True,
                "token": token,
                "hub_id": self.portal,
                "client_id": CLIENT_ID,
                "scopes": grant.scopes.split(),
                "expires_in": left,
                "token_use": "access_token",
                "token_type": "Bearer",
            },
        )

    def revoke(self, request: Request) -> Answer:
        """200 whatever the token was (RFC 7009, 2.2)."""
        try:
            token = self.form(request).get("token", "")
        except Refused as refusal:
            return refusal.answer
        if grant := self.grants.pop(token, None):
            self.counts["revoked"] += 1
            self.access = {name: held for name, held in self.access.items() if held[0] is not grant}
        return Answer(200 if self.name == "pipedrive" else 204, b"")

    # The control path

    def control(self, method: str, verb: str, change: Fields) -> Answer:
        """GET: counts. POST: manners (by their names above), `expire` (every access token, now) or `uninstall`."""
        match method, verb:
            case "POST", "":
                for name, value in change.items():
                    if name not in Manners.__dataclass_fields__:
                        raise ValueError(f"unknown: {name}")
                    setattr(self.manners, name, value)
            case "DELETE", "":
                self.manners = Manners()
                self.counts = dict.fromkeys(self.counts, 0)
            case "POST", "expire":
                self.access.clear()
            case "POST", "uninstall":
                return answer(200, self.uninstall())
            case "GET", "":
                pass
            case _:
                raise KeyError(verb)
        return answer(200, self.counts | {"grants": len(self.grants)})

    def uninstall(self) -> Fields:
        """Every grant ends. Pipedrive tells the app, at the address where it was installed; HubSpot tells nobody."""
        self.grants.clear()
        self.access.clear()
        if self.name == "hubspot" or not self.callback:
            return {"told": None}
        me = self.crm.fixed["me"]
        body = {
            "client_id": CLIENT_ID,
            "company_id": me["company_id"],
            "user_id": me["id"],
            "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        basic = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/json"}
        request = urllib.request.Request(  # noqa: S310 - http or https, checked when the user signed in
            self.callback, json.dumps(body).encode(), headers, method="DELETE"
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310 - as above
                return {"told": response.status}
        except urllib.error.HTTPError as error:
            return {"told": error.code}
        except OSError:
            return {"told": None}
