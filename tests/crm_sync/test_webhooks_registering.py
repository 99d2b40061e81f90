"""How webhooks are registered, watched and repaired."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import requests
from django.test import override_settings

from accounts.models import Organisation
from accounts.tenancy import tenant
from crm_sync import sync, vault, webhook_tasks, webhooks, wording
from crm_sync.models import Connection, SyncRun, WebhookFeed, WebhookRoute
from deals.models import Source
from tests.crm_sync.webhook_posts import SECRET, SITE
from tests.sandbox import Sandbox

TOKENS = {"pipedrive": "sandbox-pipedrive-token", "hubspot": "sandbox-hubspot-token"}
HERE = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox.run(tmp_path_factory.mktemp("registering"), deals=10) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(server: Sandbox) -> Iterator[Sandbox]:
    server.reset()
    addresses = {"PIPEDRIVE_API_URL": f"{server.url}/pipedrive", "HUBSPOT_API_URL": f"{server.url}/hubspot"}
    with override_settings(**addresses, SITE_URL=HERE, HUBSPOT_CLIENT_SECRET=SECRET):
        yield server
    for crm in TOKENS:
        server._control("DELETE", f"{crm}/webhooks")
    server.heal()


@pytest.fixture
def organisation(db: None) -> Organisation:
    return Organisation.objects.create(name="Test", time_zone="Europe/Paris")


def connected(organisation: Organisation, provider: str, token: str = "") -> Connection:
    """The first synchronisation is over."""
    with tenant(organisation):
        connection = sync.connect(organisation, provider, token or TOKENS[provider])
        SyncRun.objects.update(finished_at=sync.now())
        Connection.objects.update(synced_until=sync.now())
        Source.objects.update(first_synced_at=sync.now())
    return connection


def feed_of(connection: Connection) -> WebhookFeed:
    with tenant(connection.organisation_id):
        return WebhookFeed.objects.get(connection=connection)


def hooks(sandbox: Sandbox) -> list[Any]:
    return list(sandbox._control("GET", "pipedrive/webhooks")["hooks"])


def runs(connection: Connection) -> int:
    with tenant(connection.organisation_id):
        return SyncRun.objects.filter(connection=connection, finished_at=None).count()


def register(connection: Connection) -> None:
    webhooks.register(connection.organisation_id, connection.pk)


def test_a_connection_to_pipedrive_registers_one_webhook_for_each_object(
    sandbox: Sandbox, organisation: Organisation
) -> None:
    connection = connected(organisation, "pipedrive")
    register(connection)
    made = hooks(sandbox)
    assert {hook["event_object"] for hook in made} == {"deal", "person", "organization", "activity"}
    assert {hook["event_action"] for hook in made} == {"*"}
    [url] = {hook["subscription_url"] for hook in made}
    assert url.startswith(f"{HERE}/webhooks/pipedrive/")
    assert all(len(hook["http_auth_password"]) >= 43 for hook in made)
    feed = feed_of(connection)
    assert (feed.polled, feed.checked_at is not None) == ("", True)
    assert runs(connection) == 0  # nobody had relied on them


def test_webhooks_that_are_there_are_left_alone(sandbox: Sandbox, organisation: Organisation) -> None:
    connection = connected(organisation, "pipedrive")
    register(connection)
    before = hooks(sandbox)
    sandbox.forget_requests()
    register(connection)
    assert hooks(sandbox) == before
    assert [request["method"] for request in sandbox.requests()] == ["GET"]
    assert runs(connection) == 0


def test_a_missing_webhook_is_made_again_and_a_catch_up_follows(sandbox: Sandbox, organisation: Organisation) -> None:
    connection = connected(organisation, "pipedrive")
    register(connection)
    before = hooks(sandbox)
    headers = {"x-api-token": TOKENS["pipedrive"]}
    requests.delete(f"{sandbox.url}/pipedrive/api/v1/webhooks/{before[0]['id']}", headers=headers, timeout=5)
    register(connection)
    after = hooks(sandbox)
    assert sorted(hook["event_object"] for hook in after) == sorted(hook["event_object"] for hook in before)
    assert {hook["subscription_url"] for hook in after} == {before[0]["subscription_url"]}
    assert runs(connection) == 1


def test_a_webhook_too_many_is_taken_away_and_somebody_elses_stays(
    sandbox: Sandbox, organisation: Organisation
) -> None:
    connection = connected(organisation, "pipedrive")
    register(connection)
    mine = hooks(sandbox)
    url = f"{sandbox.url}/pipedrive/api/v1/webhooks"
    headers = {"x-api-token": TOKENS["pipedrive"]}
    for address in (mine[0]["subscription_url"], "https://elsewhere.example/hook"):
        body = {"subscription_url": address, "event_action": "*", "event_object": "deal", "name": "x"}
        assert requests.post(url, json=body, headers=headers, timeout=5).status_code == 201
    register(connection)
    assert [hook["id"] for hook in hooks(sandbox) if hook["subscription_url"] == mine[0]["subscription_url"]] == [
        hook["id"] for hook in mine
    ]
    assert len(hooks(sandbox)) == 5


def test_disconnecting_closes_the_address_and_takes_our_webhooks_away(
    sandbox: Sandbox, organisation: Organisation
) -> None:
    connection = connected(organisation, "pipedrive")
    register(connection)
    assert len(hooks(sandbox)) == 4
    with tenant(organisation):
        connection.refresh_from_db()
        secret = WebhookFeed.objects.get().secret
        sync.disconnect(connection)
        assert WebhookFeed.objects.get().secret == ""
    assert not WebhookRoute.objects.exists()
    place = (organisation.pk, connection.source_id)
    sealed = vault.seal(TOKENS["pipedrive"], *place)
    webhook_tasks.unregister("pipedrive", *place, sealed, False, "", secret)
    assert hooks(sandbox) == []
    webhook_tasks.unregister("pipedrive", *place, vault.seal("revoked", *place), False, "", secret)  # no failure


def test_a_new_login_is_looked_at_before_the_hour_is_over(sandbox: Sandbox, organisation: Organisation) -> None:
    connection = connected(organisation, "hubspot")
    register(connection)
    with tenant(organisation):
        assert webhooks.unchecked(organisation, sync.now()) == []
        Connection.objects.update(connected_at=sync.now())
        assert webhooks.unchecked(organisation, sync.now()) == [connection.pk]


def test_every_way_of_learning_of_changes_is_told_in_words(db: None) -> None:
    for provider in TOKENS:
        said = {wording.told(provider, polled) for polled in ("", *WebhookFeed.Polled)}
        assert len(said) == 1 + len(WebhookFeed.Polled)
        assert all("five minutes" in sentence for sentence in said)


@pytest.mark.parametrize(
    ("provider", "site", "token", "polled"),
    [
        ("pipedrive", HERE, "", ""),
        ("pipedrive", "http://vigie.example.com", "", "address"),
        ("pipedrive", HERE, "sandbox-pipedrive-token-limited", "permission"),
        ("hubspot", HERE, "", "token"),
        ("hubspot", "http://vigie.example.com", "", "address"),
    ],
)
def test_where_webhooks_cannot_be_the_connection_is_polled_and_it_is_said_why(
    sandbox: Sandbox, organisation: Organisation, provider: str, site: str, token: str, polled: str
) -> None:
    connection = connected(organisation, provider, token)
    with override_settings(SITE_URL=site):
        register(connection)
    assert feed_of(connection).polled == polled


def test_a_hubspot_app_has_nothing_to_register(sandbox: Sandbox, organisation: Organisation) -> None:
    connection = connected(organisation, "hubspot")
    with tenant(organisation):
        Connection.objects.update(method=Connection.Method.OAUTH)
    sandbox.forget_requests()
    register(connection)
    assert feed_of(connection).polled == ""
    assert sandbox.requests() == []
    with override_settings(HUBSPOT_CLIENT_SECRET=""):
        register(connection)
    assert feed_of(connection).polled == "token"


def test_a_crm_that_is_down_leaves_the_state_as_it_was(sandbox: Sandbox, organisation: Organisation) -> None:
    connection = connected(organisation, "pipedrive")
    register(connection)
    sandbox.fail("pipedrive", 401, count=50)
    register(connection)
    assert feed_of(connection).polled == ""


@pytest.mark.parametrize(
    ("status", "again"), [(429, True), ("html403", True), ("truncated", True), (400, False), (403, False)]
)
def test_while_the_crm_cannot_be_asked_webhooks_are_looked_at_by_every_sweep(
    sandbox: Sandbox, organisation: Organisation, status: object, again: bool
) -> None:
    """What it refuses is asked again after an hour."""
    connection = connected(organisation, "pipedrive")
    sandbox.fail("pipedrive", status, count=50, retry_after=300)
    register(connection)
    with tenant(organisation):
        assert webhooks.unchecked(organisation, sync.now()) == ([connection.pk] if again else [])


@pytest.mark.parametrize(("age", "looked_at"), [(0, False), (59, False), (61, True), (None, True)])
def test_webhooks_are_looked_at_every_hour(
    sandbox: Sandbox, organisation: Organisation, age: int | None, looked_at: bool
) -> None:
    connection = connected(organisation, "pipedrive")
    now = sync.now()
    with tenant(organisation):
        Connection.objects.update(connected_at=now - timedelta(hours=2))
        if age is not None:
            mine = {"organisation": organisation, "connection": connection}
            WebhookFeed.objects.create(**mine, checked_at=now - timedelta(minutes=age))
        assert bool(webhooks.unchecked(organisation, now)) == looked_at


@pytest.mark.parametrize(
    ("site", "crm", "reachable"),
    [
        ("https://vigie.acme.fr", "https://api.pipedrive.com", True),
        ("https://vigie.acme.fr:8443", "https://api.pipedrive.com", True),
        ("https://93.184.216.34", "https://api.pipedrive.com", True),
        ("http://vigie.acme.fr", "https://api.pipedrive.com", False),
        ("https://localhost", "https://api.pipedrive.com", False),
        ("https://vigie", "https://api.pipedrive.com", False),
        ("https://vigie.local", "https://api.pipedrive.com", False),
        ("https://10.0.0.7", "https://api.pipedrive.com", False),
        ("https://192.168.1.7", "https://api.pipedrive.com", False),
        ("https://127.0.0.1", "https://api.pipedrive.com", False),
        ("http://localhost:8000", "http://127.0.0.1:8010/pipedrive", True),
        (SITE, "http://127.0.0.1:8010/pipedrive", False),
    ],
)
def test_whether_the_crm_can_reach_us(site: str, crm: str, reachable: bool) -> None:
    with override_settings(SITE_URL=site, PIPEDRIVE_API_URL=crm):
        assert webhooks.is_reachable("pipedrive") == reachable
