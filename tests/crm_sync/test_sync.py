"""The synchronisation against the sandbox over HTTP: complete, resumable, counted, honest about trouble."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
import requests
from django.conf import settings
from django.test import override_settings

from accounts.models import Organisation
from accounts.tenancy import tenant
from alerts.models import Alert, Pending, Run
from alerts.tasks import evaluate_all, evaluate_changed, start_daily, sweep
from crm_sync import sync, vault
from crm_sync.models import Connection, StreamProgress, SyncRun
from crm_sync.providers.base import MissingPermission, TokenRefused
from deals.models import Activity, Company, Contact, Deal, Source
from tests.sandbox import Sandbox

TOKENS = {"pipedrive": "sandbox-pipedrive-token", "hubspot": "sandbox-hubspot-token"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox.run(tmp_path_factory.mktemp("sandbox"), deals=60) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(server: Sandbox) -> Iterator[Sandbox]:
    server.reset()
    with override_settings(PIPEDRIVE_API_URL=f"{server.url}/pipedrive", HUBSPOT_API_URL=f"{server.url}/hubspot"):
        yield server


@pytest.fixture
def organisation(transactional_db: None) -> Organisation:
    return Organisation.objects.create(name="Test", time_zone="Europe/Paris")


def connect(organisation: Organisation, provider: str) -> Connection:
    with tenant(organisation):
        return sync.connect(organisation, provider, TOKENS[provider])


def run_of(connection: Connection) -> SyncRun:
    with tenant(connection.organisation_id):
        return SyncRun.objects.filter(connection=connection).latest("pk")


def reader_of(connection: Connection) -> sync.Reader:
    return sync.Reader(connection.organisation_id, run_of(connection).pk)


def living(raw: dict[str, Any], table: str) -> set[str]:
    """At Pipedrive an archived deal is one too; what is archived at HubSpot is in its bin."""
    gone = {"deleted"} if "persons" in raw["tables"] else {"deleted", "archived"}
    return {str(row["id"]) for row in raw["tables"][table] if not any(row[flag] for flag in gone)}


def retry_now(run: SyncRun) -> None:
    """As if the time had passed that the CRM wants to be left alone."""
    redis.Redis.from_url(settings.REDIS_URL).delete(f"vigie:budget:{run.organisation_id}:{run.connection_id}")
    with tenant(run.organisation_id):
        SyncRun.objects.filter(pk=run.pk).update(retry_at=None)


@pytest.mark.parametrize("provider", TOKENS)
def test_first_sync_is_complete(sandbox: Sandbox, organisation: Organisation, provider: str) -> None:
    connection = connect(organisation, provider)
    sync.pull(connection)
    raw = sandbox.raw(provider)
    with tenant(organisation):
        source = Source.objects.get()
        assert source.first_synced_at is not None
        assert source.synced_at is not None
        deals = set(Deal.objects.values_list("external_id", flat=True))
        assert deals == living(raw, "deals")
        company, contact = ("organizations", "persons") if provider == "pipedrive" else ("companies", "contacts")
        assert set(Company.objects.values_list("external_id", flat=True)) == living(raw, company)
        assert set(Contact.objects.values_list("external_id", flat=True)) == living(raw, contact)
        assert Activity.objects.exists()
        assert set(Pending.objects.values_list("deal__external_id", flat=True)) <= deals
    evaluate_changed(organisation.pk)
    with tenant(organisation):
        assert not Pending.objects.exists()
        assert Alert.objects.values("kind").distinct().count() >= 7


@pytest.mark.parametrize("provider", TOKENS)
def test_a_sync_stopped_after_any_page_asks_no_finished_page_again(
    sandbox: Sandbox, organisation: Organisation, provider: str
) -> None:
    connection = connect(organisation, provider)
    sandbox.forget_requests()
    pages = 0
    while reader_of(connection).step():  # each page by a process that knows nothing of the one before
        pages += 1
    asked = Counter(
        str((r["method"], r["path"], r["query"], r.get("body")))
        for r in sandbox.requests()
        if not any(
            small in r["path"] for small in ("/properties/", "/labels", "personFields", "/pipelines/", "/stages")
        )
    )
    assert len(asked) >= pages - 5
    assert [request for request, times in asked.items() if times > 1] == []


@pytest.mark.parametrize("provider", TOKENS)
@pytest.mark.parametrize(("status", "problem"), [(500, "crm_down"), (429, "rate_limited"), ("down", "crm_down")])
def test_trouble_in_the_middle_loses_nothing_and_the_next_attempt_goes_on(
    sandbox: Sandbox, organisation: Organisation, provider: str, status: object, problem: str
) -> None:
    connection = connect(organisation, provider)
    reader = reader_of(connection)
    for _ in range(4):
        assert reader.step()
    sandbox.fail(provider, status, count=50, retry_after=120)
    assert not reader.step()
    run = run_of(connection)
    assert run.problem == problem
    assert run.attempts == 1
    assert run.retry_at is not None
    with tenant(organisation):
        before = list(StreamProgress.objects.filter(run=run).values_list("stream", "records", "finished"))
    sandbox.heal()
    retry_now(run)
    while reader.step():
        pass
    run = run_of(connection)
    assert run.finished_at is not None
    assert run.problem == ""
    with tenant(organisation):
        after = {s.stream: s for s in StreamProgress.objects.filter(run=run)}
        assert all(after[stream].records >= records for stream, records, _ in before)


def test_a_wrong_token_is_refused_and_nothing_is_kept(sandbox: Sandbox, organisation: Organisation) -> None:
    for provider in TOKENS:
        with pytest.raises(TokenRefused), tenant(organisation):
            sync.connect(organisation, provider, "wrong-token")
    with tenant(organisation):
        assert not Connection.objects.exists()
        assert not Source.objects.exists()


def test_an_under_privileged_token_names_what_is_missing(sandbox: Sandbox, organisation: Organisation) -> None:
    with pytest.raises(MissingPermission), tenant(organisation):
        sync.connect(organisation, "hubspot", "sandbox-hubspot-token-limited")


def test_a_token_is_kept_while_the_crm_is_down(sandbox: Sandbox, organisation: Organisation) -> None:
    sandbox.fail("pipedrive", "down", count=50)
    with tenant(organisation):
        connection = sync.connect(organisation, "pipedrive", TOKENS["pipedrive"])
        run = SyncRun.objects.get(connection=connection)
        assert not connection.source.account_id
    assert (run.problem, run.attempts, run.finished_at) == ("crm_down", 1, None)
    assert run.retry_at is not None


def test_a_revoked_token_stops_the_run_until_a_new_one_comes(sandbox: Sandbox, organisation: Organisation) -> None:
    connection = connect(organisation, "pipedrive")
    reader = reader_of(connection)
    assert reader.step()
    sandbox.fail("pipedrive", 401, count=50)
    assert not reader.step()
    with tenant(organisation):
        assert Connection.objects.get().state == Connection.State.REFUSED
    sandbox.heal()
    connect(organisation, "pipedrive")
    while reader.step():
        pass
    with tenant(organisation):
        assert Connection.objects.get().state == Connection.State.CONNECTED
        assert Source.objects.count() == 1
    assert run_of(connection).finished_at is not None


def test_nothing_is_judged_before_everything_has_been_read(sandbox: Sandbox, organisation: Organisation) -> None:
    connection = connect(organisation, "hubspot")
    reader = reader_of(connection)
    while reader.step():
        with tenant(organisation):
            if run_of(connection).streams.filter(stream="deals", finished=True).exists():
                break
    start_daily()
    sweep()
    with tenant(organisation):
        assert Deal.objects.exists()
        run = Run.objects.get()
    evaluate_all(organisation.pk, run.pk)
    evaluate_changed(organisation.pk)
    with tenant(organisation):
        assert not Alert.objects.exists()
    while reader.step():
        pass
    evaluate_changed(organisation.pk)
    with tenant(organisation):
        assert Alert.objects.exists()
        assert not Alert.objects.exclude(resolved_at=None).exists()


@pytest.mark.parametrize("provider", TOKENS)
def test_a_change_at_the_crm_arrives_with_the_next_pull(
    sandbox: Sandbox, organisation: Organisation, provider: str
) -> None:
    connection = connect(organisation, provider)
    sync.pull(connection)
    with tenant(organisation):
        deal = Deal.objects.open().order_by("pk").first()
        assert deal is not None
    sandbox.change(provider, "deals", deal.external_id, {"status": "lost"})
    sandbox.forget_requests()
    sync.pull(connection)
    with tenant(organisation):
        deal.refresh_from_db()
        assert deal.status == Deal.Status.LOST
        assert run_of(connection).kind == SyncRun.Kind.CHANGES


def test_nothing_changed_touches_no_deal(sandbox: Sandbox, organisation: Organisation) -> None:
    connection = connect(organisation, "hubspot")
    sync.pull(connection)
    evaluate_changed(organisation.pk)
    sync.pull(connection)
    with tenant(organisation):
        assert not Pending.objects.exists()


def test_the_token_is_encrypted_and_bound(sandbox: Sandbox, organisation: Organisation) -> None:
    connection = connect(organisation, "pipedrive")
    assert TOKENS["pipedrive"] not in connection.token
    assert vault.unseal(connection.token, organisation.pk, connection.source_id) == TOKENS["pipedrive"]
    with pytest.raises(vault.Unreadable):
        vault.unseal(connection.token, organisation.pk + 1, connection.source_id)


def test_the_mapped_fields_bring_roles_and_titles(sandbox: Sandbox, organisation: Organisation) -> None:
    connection = connect(organisation, "pipedrive")
    sync.pull(connection)
    with tenant(organisation):
        provider = sync.provider_of(connection)
        fields = {f.label: f for f in provider.fields()}
        sync.save_fields(connection, fields["Buying role"].key, fields["Job title"].key)
        run = run_of(connection)
        assert run.kind == SyncRun.Kind.FIELDS
    reader = reader_of(connection)
    while reader.step():
        pass
    with tenant(organisation):
        assert Contact.objects.exclude(roles=[]).exists()
        assert Contact.objects.exclude(job_title="").exists()


def test_disconnecting_forgets_the_token_and_keeps_the_rows(sandbox: Sandbox, organisation: Organisation) -> None:
    connection = connect(organisation, "pipedrive")
    sync.pull(connection)
    with tenant(organisation):
        sync.disconnect(connection)
        connection.refresh_from_db()
        assert connection.token == ""
        assert Deal.objects.exists()
        sync.connect(organisation, "pipedrive", TOKENS["pipedrive"])
        assert Source.objects.count() == 1
        assert Connection.objects.count() == 1


def test_requests_never_name_the_token_in_an_address(sandbox: Sandbox, organisation: Organisation) -> None:
    sync.pull(connect(organisation, "pipedrive"))
    assert not any("token" in str(r["query"]) for r in sandbox.requests())
    assert requests.get(sandbox.url + "/control/requests", timeout=5).ok


def test_small_streams_are_read_once_an_hour_and_every_stream_from_where_it_ended(
    sandbox: Sandbox, organisation: Organisation
) -> None:
    connection = connect(organisation, "pipedrive")
    sync.pull(connection)
    sync.pull(connection)
    with tenant(organisation):
        first, second = SyncRun.objects.order_by("pk")
        streams = {s.stream: s.since for s in second.streams.all()}
        assert "users" not in streams
        assert streams["deals"] == first.until - sync.OVERLAP["pipedrive"]
        SyncRun.objects.update(until=first.until - timedelta(hours=2))
    sync.pull(connection)
    with tenant(organisation):
        assert SyncRun.objects.latest("pk").streams.filter(stream="users").exists()


def test_a_call_that_becomes_a_task_is_no_interaction_any_more(sandbox: Sandbox, organisation: Organisation) -> None:
    connection = connect(organisation, "pipedrive")
    sync.pull(connection)
    with tenant(organisation):
        deal = Deal.objects.open().first()
        assert deal is not None
    logged = sandbox.log("pipedrive", {"kind": "call", "deals": [int(deal.external_id)], "planned": False})
    sync.pull(connection)
    with tenant(organisation):
        call = Activity.objects.get(external_id=str(logged["id"]))
        assert not call.deleted
    sandbox.change("pipedrive", "activities", logged["id"], {"type": "task"})
    sync.pull(connection)
    with tenant(organisation):
        call.refresh_from_db()
        assert call.deleted
