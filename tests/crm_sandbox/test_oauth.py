"""The sandbox's OAuth servers, asked as the vendors' documentation says."""

import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from tests.crm_sandbox.conftest import Client
from tests.crm_sandbox.shapes import PAYLOADS

APP = ("sandbox-app", "sandbox-app-secret")
BACK = "http://127.0.0.1:1/back/"
TOKEN = {"pipedrive": "oauth/token", "hubspot": "oauth/2026-09/token"}
REVOKE = {"pipedrive": "oauth/revoke", "hubspot": "oauth/2026-09/token/revoke"}
ME = {"pipedrive": "api/v1/users/me", "hubspot": "account-info/2026-09/details"}
both = pytest.mark.parametrize("crm", ["pipedrive", "hubspot"])


@pytest.fixture
def crms(own_crms: Client) -> Client:
    for crm in TOKEN:
        own_crms.control("DELETE", f"{crm}/oauth")
        own_crms.control("POST", f"{crm}/oauth", {"page": False})
    return own_crms


def sign_in(crms: Client, crm: str, back: str = BACK, **query: str) -> dict[str, str]:
    """What the browser brings back."""
    asked = {
        "client_id": APP[0],
        "redirect_uri": back,
        "state": "s&1",
        "scope": "oauth crm.objects.deals.read",
        **query,
    }
    url = f"{crms.sandbox.url}/{crm}/oauth/authorize"
    answer = requests.get(url, params=asked, allow_redirects=False, timeout=10)
    assert answer.status_code == 302, answer.text
    assert answer.headers["Location"].startswith(f"{back}?")
    return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))


def ask(crms: Client, crm: str, path: str, app: tuple[str, str] = APP, **form: str) -> requests.Response:
    url = f"{crms.sandbox.url}/{crm}/{path}"
    if crm == "pipedrive":
        return requests.post(url, data=form, auth=app, timeout=10)
    return requests.post(url, data={**form, "client_id": app[0], "client_secret": app[1]}, timeout=10)


def tokens(crms: Client, crm: str, back: str = BACK) -> dict[str, Any]:
    code = sign_in(crms, crm, back)["code"]
    answer = ask(crms, crm, TOKEN[crm], grant_type="authorization_code", code=code, redirect_uri=back)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def refresh(crms: Client, crm: str, token: str) -> requests.Response:
    return ask(crms, crm, TOKEN[crm], grant_type="refresh_token", refresh_token=token)


def opens(crms: Client, crm: str, token: str) -> bool:
    return crms.call(crm, ME[crm], headers={"Authorization": f"Bearer {token}"}).status_code == 200


@both
def test_a_code_gives_the_published_answer_and_its_token_opens_the_account(crms: Client, crm: str) -> None:
    answer = tokens(crms, crm)
    published = json.loads((PAYLOADS / crm / "oauth_token_response.json").read_text())
    assert {name: type(value) for name, value in answer.items()} == {
        name: type(value) for name, value in published.items()
    }
    assert answer["expires_in"] == published["expires_in"]
    assert opens(crms, crm, answer["access_token"])
    assert not opens(crms, crm, answer["refresh_token"])


def test_a_token_of_pipedrive_that_came_by_signing_in_is_no_api_token(crms: Client) -> None:
    headers = {"x-api-token": tokens(crms, "pipedrive")["access_token"]}
    assert crms.call("pipedrive", ME["pipedrive"], headers=headers).status_code == 401


@both
def test_a_code_works_once_and_only_for_its_address(crms: Client, crm: str) -> None:
    for redirect_uri in (BACK, "http://127.0.0.1:1/elsewhere/"):
        code = sign_in(crms, crm)["code"]
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
        first, second = (ask(crms, crm, TOKEN[crm], **form) for _ in range(2))
        assert first.status_code == (200 if redirect_uri == BACK else 400)
        assert second.status_code == 400
        assert {"invalid_grant", "BAD_AUTH_CODE"} & set(second.json().values())


@both
def test_another_secret_is_refused(crms: Client, crm: str) -> None:
    answer = ask(crms, crm, TOKEN[crm], app=("sandbox-app", "wrong"), grant_type="refresh_token")
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


@both
def test_the_state_comes_back_and_a_refusal_says_so(crms: Client, crm: str) -> None:
    assert sign_in(crms, crm)["state"] == "s&1"
    crms.control("POST", f"{crm}/oauth", {"refuse": "access_denied"})
    assert sign_in(crms, crm) == {"error": "access_denied", "state": "s&1"}


@both
def test_people_are_asked_on_a_page_whose_links_answer(crms: Client, crm: str) -> None:
    crms.control("POST", f"{crm}/oauth", {"page": True})
    asked = {"client_id": APP[0], "redirect_uri": BACK, "state": '"><script>'}
    page = requests.get(f"{crms.sandbox.url}/{crm}/oauth/authorize", params=asked, timeout=10)
    assert page.status_code == 200
    assert "<script>" not in page.text
    assert "code" in sign_in(crms, crm, answer="allow")
    assert sign_in(crms, crm, answer="refuse")["error"] == "access_denied"


def test_an_unknown_app_is_not_sent_back(crms: Client) -> None:
    for wrong in ({"client_id": "x", "redirect_uri": BACK}, {"client_id": APP[0], "redirect_uri": "javascript:x"}):
        url = f"{crms.sandbox.url}/hubspot/oauth/authorize"
        assert requests.get(url, params=wrong, allow_redirects=False, timeout=10).status_code == 400


@both
def test_the_same_refresh_token_works_again_unless_it_is_for_one_use(crms: Client, crm: str) -> None:
    first = tokens(crms, crm)["refresh_token"]
    assert refresh(crms, crm, first).json()["refresh_token"] == first
    crms.control("POST", f"{crm}/oauth", {"single_use": True})
    second = refresh(crms, crm, first).json()["refresh_token"]
    assert second != first
    assert refresh(crms, crm, first).status_code == 400
    assert refresh(crms, crm, second).status_code == 200
    assert crms.control("GET", f"{crm}/oauth") | {"refreshes": 3, "refused": 1} == crms.control("GET", f"{crm}/oauth")


@both
def test_tokens_end_by_time_by_control_and_by_revocation(crms: Client, crm: str) -> None:
    crms.control("POST", f"{crm}/oauth", {"expires_in": 0})
    assert not opens(crms, crm, tokens(crms, crm)["access_token"])
    crms.control("POST", f"{crm}/oauth", {"expires_in": None})
    given = tokens(crms, crm)
    crms.control("POST", f"{crm}/oauth/expire")
    assert not opens(crms, crm, given["access_token"])
    again = refresh(crms, crm, given["refresh_token"]).json()
    assert opens(crms, crm, again["access_token"])
    for _ in range(2):
        assert ask(crms, crm, REVOKE[crm], token=given["refresh_token"]).ok
    assert not opens(crms, crm, again["access_token"])
    assert refresh(crms, crm, given["refresh_token"]).status_code == 400


def test_hubspot_tells_whose_token_it_is(crms: Client) -> None:
    given = tokens(crms, "hubspot")
    found = ask(crms, "hubspot", f"{TOKEN['hubspot']}/introspect", token=given["access_token"]).json()
    published = json.loads((PAYLOADS / "hubspot" / "oauth_introspect_access_response.json").read_text())
    assert set(found) <= set(published)
    assert (found["active"], found["hub_id"]) == (True, given["hub_id"])
    assert ask(crms, "hubspot", f"{TOKEN['hubspot']}/introspect", token="x").json() == {"active": False}


def test_pipedrive_tells_the_app_when_it_is_uninstalled_and_hubspot_does_not(crms: Client) -> None:
    heard: list[tuple[str, str, Any]] = []

    class Listener(BaseHTTPRequestHandler):
        def do_DELETE(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.append((self.path, self.headers["Authorization"], json.loads(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Listener) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        back = f"http://127.0.0.1:{server.server_port}/back/"
        given = {crm: tokens(crms, crm, back) for crm in TOKEN}
        assert crms.control("POST", "pipedrive/oauth/uninstall") == {"told": 200}
        assert crms.control("POST", "hubspot/oauth/uninstall") == {"told": None}
        server.shutdown()
    [(path, authorization, body)] = heard
    published = json.loads((PAYLOADS / "pipedrive" / "oauth_uninstall_delete_body.json").read_text())
    assert (path, set(body)) == ("/back/", set(published))
    assert authorization == "Basic c2FuZGJveC1hcHA6c2FuZGJveC1hcHAtc2VjcmV0"
    for crm, tokens_ in given.items():
        assert not opens(crms, crm, tokens_["access_token"])
        assert refresh(crms, crm, tokens_["refresh_token"]).status_code == 400
