"""Access that ends after half an hour or an hour: renewed in time, by one caller alone, and honest when it is not."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Barrier, Thread
from typing import Any

import pytest
from django.db import connection as database
from django.test import Client, override_settings

from accounts.tenancy import tenant
from crm_sync import oauth, sync
from crm_sync.models import Connection, SyncRun
from tests.crm_sync.signing_in import PAGE, TOKENS, Company, sign_in, text
from tests.pages import log_in
from tests.sandbox import Sandbox

CRMS = ["pipedrive", "hubspot"]
SECOND = timedelta(seconds=1)
several_sessions = pytest.mark.django_db(transaction=True)


@pytest.fixture
def company(request: pytest.FixtureRequest) -> Company:
    request.getfixturevalue("transactional_db" if request.node.get_closest_marker("django_db") else "db")
    return Company()


@pytest.fixture
def admin(company: Company) -> Client:
    return log_in(company)


def renewals(crms: Sandbox, crm: str) -> int:
    return int(crms.oauth(crm)["refreshes"])


def ends(company: Company, after: timedelta) -> Connection:
    company.change(expires_at=datetime.now(UTC) + after)
    return company.only()


@several_sessions
@pytest.mark.parametrize("crm", CRMS)
def test_twenty_callers_at_its_end_ask_the_crm_once(admin: Client, company: Company, crms: Sandbox, crm: str) -> None:
    sign_in(admin, crm)
    crms.oauth(crm, single_use=True, slow=0.2)  # a second renewal would end the connection
    stale = [ends(company, -SECOND) for _ in range(20)]
    barrier, trouble = Barrier(20), []

    def call(connection: Connection) -> None:
        try:
            database.ensure_connection()
            barrier.wait()
            assert sync.provider_of(connection).identify().account_id
        except Exception as error:
            trouble.append(error)
        finally:
            database.close()

    threads = [Thread(target=call, args=[each]) for each in stale]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert trouble == []
    counts = crms.oauth(crm)
    assert (counts["refreshes"], counts["refused"]) == (1, 0)
    assert len({each.token for each in stale}) == 1
    assert company.only().state == Connection.State.CONNECTED


@pytest.mark.parametrize(
    ("left", "renewed"), [(oauth.MARGIN + 20 * SECOND, 0), (oauth.MARGIN - SECOND, 1), (SECOND, 1), (-SECOND, 1)]
)
def test_it_is_renewed_a_little_before_its_end(
    admin: Client, company: Company, crms: Sandbox, left: timedelta, renewed: int
) -> None:
    sign_in(admin, "hubspot")
    connection = ends(company, left)
    for _ in range(2):
        oauth.freshen(connection)
        assert renewals(crms, "hubspot") == renewed
    assert connection.expires_at is not None
    assert connection.expires_at > datetime.now(UTC) + oauth.MARGIN


@pytest.mark.parametrize("crm", CRMS)
def test_a_run_renews_its_access_on_the_way_whatever_the_crm_does_with_refresh_tokens(
    admin: Client, company: Company, crms: Sandbox, crm: str
) -> None:
    crms.oauth(crm, single_use=True)
    sign_in(admin, crm)
    for _ in range(3):
        ends(company, -SECOND)
        company.read(1)
    assert company.read(2).problem == ""
    assert renewals(crms, crm) == 3


def test_a_token_is_never_renewed(admin: Client, company: Company, crms: Sandbox) -> None:
    admin.post(PAGE, {"provider": "hubspot", "token": TOKENS["hubspot"]})
    connection = ends(company, -SECOND)
    oauth.freshen(connection)
    oauth.freshen(connection, refused=connection.token)
    assert renewals(crms, "hubspot") == 0


# ---- Trouble


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": "down"}, {"status": 429}])
def test_while_the_crm_is_down_the_connection_stays_and_the_run_tries_again(
    admin: Client, company: Company, crms: Sandbox, fault: dict[str, Any]
) -> None:
    sign_in(admin, "pipedrive")
    before = ends(company, -SECOND)
    crms.fail("pipedrive", count=1, path="oauth/token", **fault)
    run = company.read()
    assert run.finished_at is None
    assert run.retry_at is not None
    assert run.problem in ("crm_down", "rate_limited")
    assert company.only().state == Connection.State.CONNECTED
    assert company.only().refresh_token == before.refresh_token
    assert company.read(2).problem == ""
    assert renewals(crms, "pipedrive") == 1


def test_while_renewing_fails_what_still_lasts_is_used(admin: Client, company: Company, crms: Sandbox) -> None:
    sign_in(admin, "hubspot")
    ends(company, timedelta(minutes=1))
    crms.fail("hubspot", 503, count=1000, path="oauth")
    assert company.read(3).problem == ""


@pytest.mark.parametrize(("crm", "name"), [("pipedrive", "Pipedrive"), ("hubspot", "HubSpot")])
def test_an_access_that_is_renewed_no_more_is_told_and_signing_in_again_goes_on(
    admin: Client, company: Company, crms: Sandbox, crm: str, name: str
) -> None:
    sign_in(admin, crm)
    company.read(4)
    before = ends(company, -SECOND)
    crms.oauth(crm, "uninstall")  # HubSpot tells nobody; nobody listens to Pipedrive here
    run = company.read()
    assert (run.problem, run.retry_at) == ("access_withdrawn", None)
    assert crms.oauth(crm)["refused"] == 1
    assert company.only().state == Connection.State.REFUSED
    for address in (PAGE, "/deals/"):
        assert f"{name} no longer lets Vigie in." in text(admin.get(address))
    assert "Connect again" in text(admin.get(PAGE))
    sign_in(admin, crm)
    assert company.read(2).problem == ""
    after = company.only()
    assert (after.pk, after.source_id, after.state) == (before.pk, before.source_id, Connection.State.CONNECTED)
    assert "no longer lets Vigie in" not in text(admin.get(PAGE))


def test_a_token_refused_before_its_end_is_renewed_once(admin: Client, company: Company, crms: Sandbox) -> None:
    sign_in(admin, "pipedrive")
    company.read(2)
    crms.oauth("pipedrive", "expire")
    assert company.read(2).problem == ""
    assert renewals(crms, "pipedrive") == 1


def test_a_crm_that_refuses_the_renewed_token_too_is_asked_no_more(
    admin: Client, company: Company, crms: Sandbox
) -> None:
    sign_in(admin, "pipedrive")
    company.read(2)
    crms.fail("pipedrive", 401, count=100, path="api/")
    crms.forget_requests()
    assert company.read().problem == "access_withdrawn"
    assert [entry["status"] for entry in crms.requests()] == [401, 200, 401]
    assert company.only().state == Connection.State.REFUSED


def test_a_token_refused_before_its_end_while_renewing_fails_is_no_reason_to_give_up(
    admin: Client, company: Company, crms: Sandbox
) -> None:
    sign_in(admin, "pipedrive")
    company.read(2)
    crms.oauth("pipedrive", "expire")
    crms.fail("pipedrive", 503, count=1, path="oauth/token")
    assert company.read().problem == "crm_down"
    assert company.read(2).problem == ""


@override_settings(HUBSPOT_CLIENT_ID="sandbox-app")
def test_without_its_app_the_server_says_who_can_help(admin: Client, company: Company, crms: Sandbox) -> None:
    sign_in(admin, "hubspot")
    ends(company, -SECOND)
    with override_settings(HUBSPOT_CLIENT_ID=""):
        assert company.read().problem == "app_refused"
        assert "does not know this server's app" in text(admin.get(PAGE))
    assert company.only().state == Connection.State.CONNECTED
    assert company.read(2).problem == ""


@contextmanager
def refusing(meanwhile: Any) -> Iterator[str]:
    """A token server that does something else before it refuses."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            meanwhile()
            body = json.dumps({"error": "invalid_grant"}).encode()
            self.send_response(400)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@several_sessions
def test_a_refusal_does_not_outlive_a_new_sign_in_that_came_meanwhile(
    admin: Client, company: Company, crms: Sandbox
) -> None:
    sign_in(admin, "pipedrive")
    stale, newcomers = ends(company, -SECOND), []

    def connect_anew() -> None:
        try:
            with tenant(company.organisation):
                sync.connect(company.organisation, "pipedrive", TOKENS["pipedrive"])
        finally:
            database.close()

    def meanwhile() -> None:
        thread = Thread(target=connect_anew)
        thread.start()
        newcomers.append(thread)
        until = time.monotonic() + 20
        while time.monotonic() < until:  # until it waits for the row that is being renewed
            with database.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
                if cursor.fetchone()[0]:
                    break
        database.close()

    with refusing(meanwhile) as url, override_settings(PIPEDRIVE_OAUTH_URL=url):
        oauth.freshen(stale)
    for thread in newcomers:
        thread.join(20)
    assert (stale.method, len(newcomers)) == ("token", 1)
    assert stale.token == company.only().token
    assert sync.provider_of(stale).identify().account_id
    with tenant(company.organisation):
        assert SyncRun.objects.get().problem == ""
