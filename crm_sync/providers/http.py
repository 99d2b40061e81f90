"""Talks JSON to one host: time limits, retries and rate limits, and every failure as a `CrmError`.

The token travels in a header only; it is part of no address, exception, log line or repr.
"""

import ipaddress
import json
import logging
import random
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from itertools import count
from typing import Any, NoReturn
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

from crm_sync.providers.base import (
    Budget,
    CrmDown,
    CrmError,
    MissingPermission,
    RateLimited,
    TokenRefused,
    UnexpectedAnswer,
)

logger = logging.getLogger(__name__)

MAX_BYTES = 32 * 1024 * 1024  # decompressed; a full page of either CRM is below a tenth of it
MAX_SECONDS = 120  # for one whole answer, however slowly it drips
TRIES = 3  # when the CRM is down; when it asks to wait, `Api.max_wait` is the limit
PAUSE = 0.5  # seconds before the second try; twice as long before each further one
DOWN = {
    423,
    500,
    502,
    503,
    504,
    *range(520, 531),
}  # 423: locked for a moment; 52x, 530: Cloudflare cannot reach the CRM
SLOW_DOWN = {429, 477}  # 477: HubSpot is moving the account
# Pipedrive (two of them, seen rather than documented), HubSpot: what is left of the day.
DAILY_LEFT = (
    "x-daily-ratelimit-token-remaining",
    "x-daily-requests-left",
    "x-hubspot-ratelimit-daily-remaining",
)
ALONE = 300  # seconds after the gateway has shut out a client that went on after a 429
BROKEN = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)


class TokenHeader(AuthBase):
    """As an auth object it also keeps requests from replacing the header by what ~/.netrc says."""

    def __init__(self, header: str, prefix: str, token: str) -> None:
        # requests quotes an impossible header in its exception, so such a token must not get that far.
        if not re.fullmatch(r"[!-~]{1,4096}", token):
            raise TokenRefused("the token is empty or holds characters that no token has")
        self._header, self._value = header, prefix + token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers[self._header] = self._value
        return request


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """The JSON object of the body, numbers with a point as Decimal. ValueError when it is anything else."""
        try:
            value = json.loads(self.body, parse_float=Decimal, parse_constant=_refuse)
        except (ValueError, ArithmeticError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise ValueError("no JSON object")
        return value


class NoBudget:
    """For what is asked once, before there is a connection: only the CRM's own refusals are obeyed."""

    def take(self, *, search: bool = False) -> float:
        return 0

    def learn(self, headers: Mapping[str, str]) -> None:
        pass

    def hold(self, seconds: float) -> None:
        pass

    def end_day(self) -> None:
        pass


class Api:
    """`base_url` is https, or http on this machine (the sandbox). `max_wait`: seconds one request may spend waiting."""

    def __init__(
        self,
        base_url: str,
        auth: AuthBase,
        timeout: tuple[float, float],
        max_wait: float = 30,
        budget: Budget | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._timeout = timeout
        self.max_wait = max_wait
        self.budget: Budget = budget or NoBudget()
        self.clock_ahead = timedelta(0)  # the host's clock, by its last answer
        self._session = requests.Session()
        self._session.auth = auth
        self._session.headers.update({"Accept": "application/json", "User-Agent": "Vigie"})
        parts = urlsplit(base_url)
        loopback = _is_loopback(parts.hostname or "")
        if parts.scheme != "https" and not (parts.scheme == "http" and loopback):
            raise ValueError("The address of a CRM must begin with https:// (http:// only on this machine).")
        self._session.trust_env = not loopback  # a proxy of the environment never leads back to this machine

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return self._request("GET", path, params=params)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """For reads that the CRM wants as POST; they are repeated like any other read."""
        return self._request("POST", path, json=body)

    def delete(self, path: str) -> None:
        """What is gone already is no failure."""
        try:
            self._request("DELETE", path)
        except UnexpectedAnswer as error:
            if error.status not in (404, 410):
                raise

    def post_form(self, path: str, form: Mapping[str, str]) -> Answer:
        """One attempt, whatever its answer: for token endpoints, which say in the body of a refusal what is refused."""
        try:
            return self._send("POST", path, data=form)
        except BROKEN as error:
            raise CrmDown(f"POST {path}: {type(error).__name__}") from None
        except requests.RequestException as error:
            raise UnexpectedAnswer(f"POST {path}: {type(error).__name__}") from None

    def _request(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        patience = self.max_wait
        for attempt in count(1):
            patience = self._wait_for_turn(method, path, patience)
            problem: CrmError
            wait = PAUSE * 2 ** (attempt - 1)
            try:
                answer = self._send(method, path, **content)
            except BROKEN as error:
                problem = CrmDown(f"{method} {path}: {type(error).__name__}")
            except requests.RequestException as error:
                raise UnexpectedAnswer(f"{method} {path}: {type(error).__name__}") from None
            else:
                self.budget.learn(answer.headers)
                if answer.status in SLOW_DOWN:
                    told = _retry_after(answer.headers)
                    problem = RateLimited(
                        f"{method} {path}: {answer.status}", retry_after=told, daily=_is_daily(answer)
                    )
                    wait = max(told or 0, 2 * wait)
                    if problem.daily:
                        self.budget.end_day()
                    else:
                        self.budget.hold(wait)
                elif answer.status in DOWN:
                    problem = CrmDown(f"{method} {path}: {answer.status}")
                else:
                    try:
                        return self._read(answer, f"{method} {path}", path)
                    except CrmDown as cut:
                        problem = cut
            wait *= random.uniform(1, 1.25)
            if wait > patience or getattr(problem, "daily", False):
                raise problem from None
            if isinstance(problem, CrmDown) and attempt >= TRIES:
                raise problem from None
            logger.info("%s; again in %.1f s", problem, wait)
            time.sleep(wait)
            patience -= wait
        raise AssertionError("unreachable")

    def _wait_for_turn(self, method: str, path: str, patience: float) -> float:
        """What is left of `patience` when the request may go. HubSpot's search has a limit of its own."""
        while wait := self.budget.take(search=path.endswith("/search")):
            if wait > patience:
                raise RateLimited(f"{method} {path}: it is not our turn", retry_after=wait)
            time.sleep(wait)
            patience -= wait
        return patience

    def _read(self, answer: Answer, request: str, path: str) -> dict[str, Any]:
        try:
            return _read(answer, request, path)
        except RateLimited as shut_out:
            self.budget.hold(shut_out.retry_after or ALONE)
            raise

    def _send(self, method: str, path: str, **content: Any) -> Answer:
        with self._session.request(
            method, self._base_url + path, timeout=self._timeout, allow_redirects=False, stream=True, **content
        ) as response:
            answered = _date(response.headers)
            self.clock_ahead = answered - datetime.now(UTC) if answered else timedelta(0)
            return Answer(response.status_code, response.headers, b"".join(_limited(response, path)))


def _limited(response: requests.Response, path: str) -> Iterator[bytes]:
    size, deadline = 0, time.monotonic() + MAX_SECONDS
    for chunk in response.iter_content(65536):
        size += len(chunk)
        if size > MAX_BYTES:
            raise UnexpectedAnswer(f"{path}: more than {MAX_BYTES} bytes", status=response.status_code)
        if time.monotonic() > deadline:
            raise requests.Timeout
        yield chunk


def _read(answer: Answer, request: str, path: str) -> dict[str, Any]:
    if answer.status == 401:
        raise TokenRefused(f"{request}: 401")
    try:
        body = answer.json()
    except ValueError:
        if answer.status == 403:  # Cloudflare's page: the host shuts out a client that went on after 429
            raise RateLimited(f"{request}: 403 without JSON", retry_after=_retry_after(answer.headers)) from None
        if answer.status == 200 and _is_cut(answer.body):
            raise CrmDown(f"{request}: a part of an answer") from None
        raise UnexpectedAnswer(f"{request}: {answer.status} without JSON", status=answer.status) from None
    if answer.status == 403:
        raise MissingPermission(f"{request}: 403", what=path, scopes=_missing_scopes(body))
    if not 200 <= answer.status < 300:
        code = body.get("category") or body.get("code") or ""
        raise UnexpectedAnswer(f"{request}: {answer.status} {str(code)[:80]}".strip(), status=answer.status)
    return body


def _is_cut(body: bytes) -> bool:
    """Whether it is JSON up to its end, and goes on: somebody on the way has lost the rest."""
    try:
        json.loads(body)
    except json.JSONDecodeError as error:
        return body[:1] == b"{" and (error.pos >= len(error.doc) or error.msg.startswith("Unterminated string"))
    except (ValueError, RecursionError):
        pass
    return False


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _date(headers: Mapping[str, str]) -> datetime | None:
    """When the host says that it answered (RFC 9110, Date)."""
    try:
        date = parsedate_to_datetime(headers.get("date", ""))
    except ValueError:
        return None
    # It is cut to whole seconds; the next one is never too early.
    return (date if date.tzinfo else date.replace(tzinfo=UTC)) + timedelta(seconds=1)


def number_in(headers: Mapping[str, str], *names: str) -> float | None:
    """The number in the first of these headers that holds one."""
    for name in names:
        if re.fullmatch(r"\d{1,9}(\.\d{1,6})?", headers.get(name, "")):
            return float(headers[name])
    return None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds; an HTTP date, which neither CRM sends, counts as untold."""
    return number_in(headers, "retry-after", "x-ratelimit-reset")


def _is_daily(answer: Answer) -> bool:
    if any(answer.headers.get(name) == "0" for name in DAILY_LEFT):
        return True
    try:
        return bool(answer.json().get("policyName") == "DAILY")
    except ValueError:
        return False


def _missing_scopes(body: Mapping[str, Any]) -> tuple[str, ...]:
    """HubSpot names them in `context`, its own or that of an error."""
    errors = body.get("errors")
    found: dict[str, None] = {}
    for part in (body, *(errors if isinstance(errors, list) else ())):
        context = part.get("context") if isinstance(part, dict) else None
        for name in ("missingScopes", "requiredGranularScopes", "requiredScopes"):
            scopes = context.get(name) if isinstance(context, dict) else None
            for scope in scopes if isinstance(scopes, list) else ():
                if isinstance(scope, str) and re.fullmatch(r"[\w.:-]{1,80}", scope):
                    found[scope] = None
    return tuple(found)
