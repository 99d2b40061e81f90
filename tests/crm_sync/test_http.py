"""What the transport makes of answers that no sandbox gives: each test scripts a server, byte by byte."""

import gzip
import pickle
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from crm_sync.providers import http
from crm_sync.providers.base import CrmDown, MissingPermission, RateLimited, TokenRefused, UnexpectedAnswer
from crm_sync.providers.http import Api, TokenHeader

TOKEN = "secret-0123456789"


class Script(ThreadingHTTPServer):
    """Gives each request the next answer (status, body, headers), the last one again and again."""

    def __init__(self, *answers):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.requests = list(answers), []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        answers = self.server.answers
        self.server.requests.append((self.path, self.headers))
        status, body, headers = answers.pop(0) if len(answers) > 1 else answers[0]
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body)), "Content-Type": "application/json"} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_):
        pass


@contextmanager
def scripted(*answers, max_wait=30.0):
    server = Script(*answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server, Api(server.url, TokenHeader("x-api-token", "", TOKEN), (1, 1), max_wait)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answer(status, body=b"{}", **headers):
    return status, body, {name.replace("_", "-"): value for name, value in headers.items()}


def failure(*answers, max_wait=30.0):
    """The error at the first request, and how many requests it took."""
    with scripted(*answers, max_wait=max_wait) as (server, api):
        with pytest.raises(Exception) as caught:
            api.get("/deals")
        return caught.value, len(server.requests)


def test_the_token_travels_in_its_header_only():
    with scripted(answer(200, b'{"a": 1}')) as (server, api):
        assert api.get("/deals", {"limit": 5}) == {"a": 1}
        [(path, headers)] = server.requests
        assert (path, headers["x-api-token"]) == ("/deals?limit=5", TOKEN)
        assert TOKEN not in repr(vars(api))


def test_a_netrc_of_the_machine_changes_nothing(tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with scripted(answer(200)) as (server, api):
        api.get("/deals")
        assert server.requests[0][1]["Authorization"] is None


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "é", "x" * 5000])
def test_what_cannot_be_a_token_is_refused_before_it_is_sent(token):
    with pytest.raises(TokenRefused) as caught:
        TokenHeader("x-api-token", "", token)
    assert not token or token not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://api.pipedrive.com", "ftp://127.0.0.1", "http://10.0.0.1", "api.pipedrive.com", ""]
)
def test_a_crm_is_reached_by_https_only(url):
    with pytest.raises(ValueError, match="https"):
        Api(url, TokenHeader("x-api-token", "", TOKEN), (1, 1))


def test_redirects_are_not_followed():
    with scripted(answer(200)) as (elsewhere, _):
        error, _ = failure(answer(302, Location=elsewhere.url))
        assert (error.code, error.status) == ("unexpected_answer", 302)
        assert elsewhere.requests == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Welcome</html>",
        b"[]",
        b"null",
        b'{"a": NaN}',
        b'{"a": "\xff"}',
        b"[" * 100_000,
        b'{"a":1e99999999999999999999}',
    ],
)
def test_anything_but_a_json_object_is_unexpected(body):
    error, requests = failure(answer(200, body))
    assert (type(error), error.status, requests) == (UnexpectedAnswer, 200, 1)


@pytest.mark.parametrize("status", [400, 404, 410, 422])
def test_a_refused_request_is_not_repeated(status):
    error, requests = failure(answer(status, b'{"category": "VALIDATION_ERROR"}'))
    assert (type(error), error.status, requests) == (UnexpectedAnswer, status, 1)


def test_an_answer_without_end_is_cut(monkeypatch):
    monkeypatch.setattr(http, "MAX_BYTES", 100_000)
    error, _ = failure(answer(200, gzip.compress(b" " * 1_000_000), Content_Encoding="gzip"))
    assert isinstance(error, UnexpectedAnswer)


def test_an_answer_that_drips_is_given_up(monkeypatch):
    monkeypatch.setattr(http, "MAX_SECONDS", -1)
    error, requests = failure(answer(200), max_wait=3)
    assert (error.code, requests) == ("crm_down", 3)


@pytest.mark.parametrize("status", [423, 500, 502, 503, 504, 522, 530])
def test_a_short_failure_is_waited_out(status):
    with scripted(answer(status, b"<html>"), answer(200, b'{"a": 1}')) as (server, api):
        assert api.get("/deals") == {"a": 1}
        assert len(server.requests) == 2


def test_a_lasting_failure_is_told_after_three_tries(monkeypatch):
    monkeypatch.setattr(http, "PAUSE", 0.5)
    began = time.monotonic()
    error, requests = failure(answer(503))
    assert (type(error), error.code, requests) == (CrmDown, "crm_down", 3)
    assert 1.5 <= time.monotonic() - began < 3


def test_a_truncated_answer_is_asked_again():
    with scripted(answer(200, b'{"a"', Content_Length="10"), answer(200, b'{"a": 1}')) as (_, api):
        assert api.get("/deals") == {"a": 1}


@pytest.mark.parametrize("cut", [b'{"a": "x', b'{"a": [1,'])
def test_an_answer_whose_end_was_lost_without_a_word_is_asked_again(cut):
    with scripted(answer(200, cut), answer(200, b'{"a": 1}')) as (_, api):
        assert api.get("/deals") == {"a": 1}


def test_a_closed_door_is_told():
    with scripted(answer(200)) as (_, api):
        pass
    with pytest.raises(CrmDown, match="ConnectionError"):
        api.get("/deals")


@pytest.mark.parametrize("name", ["Retry_After", "x_ratelimit_reset"])
def test_a_full_second_is_waited_when_the_crm_asks_for_it(name):
    with scripted(answer(429, **{name: "1"}), answer(200, b'{"a": 1}')) as (_, api):
        began = time.monotonic()
        assert api.get("/deals") == {"a": 1}
        assert time.monotonic() - began >= 1


def test_a_wait_beyond_patience_is_left_to_the_caller():
    error, requests = failure(answer(429, Retry_After="60"))
    assert (type(error), error.code, error.retry_after, error.daily, requests) == (
        RateLimited,
        "rate_limited",
        60,
        False,
        1,
    )


def test_waiting_is_bounded_in_total():
    began, most = time.monotonic(), 4 * http.PAUSE
    error, requests = failure(answer(429), max_wait=most)
    assert (error.code, requests) == ("rate_limited", 2)
    assert time.monotonic() - began < most + 0.5


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b'{"policyName": "DAILY", "errorType": "RATE_LIMIT"}', {}),
        (b"{}", {"x_daily_ratelimit_token_remaining": "0"}),
        (b"<html>", {"X_HubSpot_RateLimit_Daily_Remaining": "0"}),
    ],
)
def test_a_spent_day_is_not_waited_for(body, headers):
    error, requests = failure(answer(429, body, **headers))
    assert (error.code, error.daily, requests) == ("daily_limit", True, 1)


def test_an_html_403_is_a_closed_gate_and_no_missing_permission():
    error, requests = failure(answer(403, b"<html>Attention Required!</html>", Content_Type="text/html"))
    assert (error.code, requests) == ("rate_limited", 1)


@pytest.mark.parametrize(
    ("body", "scopes"),
    [
        (b'{"category": "MISSING_SCOPES", "context": {"missingScopes": ["sales-email-read"]}}', ("sales-email-read",)),
        (
            b'{"errors": [{"context": {"requiredGranularScopes": ["crm.objects.deals.read"]}}]}',
            ("crm.objects.deals.read",),
        ),
        (b'{"errors": "none", "context": ["x"]}', ()),
        (b'{"errors": [{"context": {"missingScopes": [1, "<b>"]}}]}', ()),
    ],
)
def test_a_json_403_tells_what_may_not_be_read(body, scopes):
    error, _ = failure(answer(403, body))
    assert (type(error), error.what, error.scopes) == (MissingPermission, "/deals", scopes)


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 500])
def test_no_error_repeats_the_token_even_when_the_crm_does(status):
    error, _ = failure(answer(status, f'"{TOKEN}"'.encode(), Location=f"/{TOKEN}"), max_wait=0)
    assert TOKEN not in f"{error!r} {vars(error)}"


def test_errors_survive_the_way_between_processes():
    for error in (RateLimited("x", retry_after=5, daily=True), MissingPermission("x", what="/d", scopes=("a",))):
        copy = pickle.loads(pickle.dumps(error))
        assert (copy.code, vars(copy), str(copy)) == (error.code, vars(error), "x")
