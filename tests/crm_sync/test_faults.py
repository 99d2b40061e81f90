"""What the CRMs may do wrong, each on demand: what a reading does then, what is said, and that nothing is lost or
doubled when it goes on."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.test import override_settings

from accounts.models import Organisation
from accounts.tenancy import tenant
from crm_sync import budget, reconcile, status, sync, tasks, webhooks
from crm_sync.models import Connection, Reconciliation, StreamProgress, SyncRun, WebhookEvent, WebhookFeed
from crm_sync.providers import PROVIDERS, http
from deals.clock import Clock
from deals.models import Deal, DealContact
from tests import oracle
from tests.crm_sync.webhook_posts import SECRET, SITE, hubspot_event, pipedrive_event, post_hubspot, post_pipedrive
from tests.sandbox import Sandbox

TOKENS = {"pipedrive": "sandbox-pipedrive-token", "hubspot": "sandbox-hubspot-token"}
both = pytest.mark.parametrize("crm", TOKENS)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    ago = (datetime.now(UTC) - timedelta(hours=6)).isoformat(timespec="seconds")  # nothing has just changed
    with Sandbox.run(tmp_path_factory.mktemp("faults"), "--now", ago, deals=20) as sandbox:
        for crm in TOKENS:
            sandbox.happen(crm, "remember")
        yield sandbox


@pytest.fixture
def sandbox(server: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """As at the start, and nobody waits within a request, neither for it to be better nor for his turn."""
    server.reset()
    monkeypatch.setattr(http, "TRIES", 1)
    monkeypatch.setattr(budget, "SEARCH", dict.fromkeys(TOKENS, (1000, 1000)))
    with override_settings(
        PIPEDRIVE_API_URL=f"{server.url}/pipedrive",
        HUBSPOT_API_URL=f"{server.url}/hubspot",
        HUBSPOT_CLIENT_SECRET=SECRET,
        SITE_URL=SITE,
        CRM_TIMEOUT=(5, 0.3),
    ):
        yield server
    for crm in TOKENS:
        server.happen(crm, "recall")


@pytest.fixture
def organisation(db: None) -> Organisation:
    return Organisation.objects.create(name="Test", time_zone="Europe/Paris")


def connected(organisation: Organisation, crm: str) -> Connection:
    with tenant(organisation):
        return sync.connect(organisation, crm, TOKENS[crm])


@pytest.fixture(scope="module")
def _synced(server: Sandbox, django_db_setup: None, django_db_blocker: Any) -> Iterator[dict[str, Connection]]:
    """For each CRM an organisation whose first synchronisation is over, in a transaction that is rolled back."""
    addresses = {f"{crm.upper()}_API_URL": f"{server.url}/{crm}" for crm in TOKENS}
    with django_db_blocker.unblock(), override_settings(**addresses), transaction.atomic():
        found = {}
        for crm in TOKENS:
            organisation = Organisation.objects.create(name="Test", time_zone="Europe/Paris")
            connection = connected(organisation, crm)
            sync.pull(connection)
            with tenant(organisation):
                found[crm] = Connection.objects.select_related("source", "organisation").get(pk=connection.pk)
        yield found
        transaction.set_rollback(True)


@pytest.fixture
def synced(sandbox: Sandbox, _synced: dict[str, Connection], django_db_blocker: Any) -> Iterator[dict[str, Connection]]:
    """What a test does to them is undone."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield _synced
        transaction.set_rollback(True)


def at_once(connection: Connection) -> None:
    """As if the time had passed for which the CRM is left alone."""
    redis.Redis.from_url(settings.REDIS_URL).delete(f"vigie:budget:{connection.organisation_id}:{connection.pk}")
    with tenant(connection.organisation_id):
        SyncRun.objects.update(retry_at=None)
        WebhookFeed.objects.update(retry_at=None)
        WebhookEvent.objects.update(retry_at=None)


def run_of(connection: Connection) -> SyncRun:
    with tenant(connection.organisation_id):
        return SyncRun.objects.filter(connection=connection).latest("pk")


def said(organisation: Organisation) -> str:
    """The first line of every page that shows the connection."""
    with tenant(organisation):
        return status.status(organisation, Clock.of(organisation)).what


# ---- Answers that are none


@pytest.mark.parametrize(
    ("crm", "fault", "problem", "sentence"),
    [
        ("pipedrive", {"status": "cut"}, "crm_down", "Pipedrive does not answer"),
        ("hubspot", {"status": "slow", "seconds": 0.4}, "crm_down", "HubSpot does not answer"),
        ("hubspot", {"status": "truncated"}, "crm_down", "HubSpot does not answer"),
        ("pipedrive", {"status": "html403"}, "rate_limited", "asks for a pause"),
    ],
)
def test_a_spoilt_answer_is_told_and_the_next_attempt_goes_on_where_it_stood(
    sandbox: Sandbox, organisation: Organisation, crm: str, fault: dict[str, Any], problem: str, sentence: str
) -> None:
    connection = connected(organisation, crm)
    reader = sync.Reader(organisation.pk, run_of(connection).pk)
    for _ in range(5):
        assert reader.step()
    with tenant(organisation):
        before = set(StreamProgress.objects.filter(finished=True).values_list("stream", "records", "pages"))
    sandbox.fail(crm, count=None, **fault)
    assert not reader.step()
    run = run_of(connection)
    assert (run.problem, run.attempts, run.finished_at) == (problem, 1, None)
    assert run.retry_at is not None
    assert sentence in said(organisation)
    sandbox.heal()
    at_once(connection)
    while reader.step():
        pass
    assert said(organisation) == ""
    with tenant(organisation):
        assert before <= set(StreamProgress.objects.filter(finished=True).values_list("stream", "records", "pages"))
    assert oracle.differences(organisation, sandbox, crm) == []


def test_one_cut_answer_is_waited_out(
    sandbox: Sandbox, synced: dict[str, Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "TRIES", 3)
    connection = synced["hubspot"]
    sandbox.fail("hubspot", "cut", path="deals")
    sync.pull(connection)
    assert (run_of(connection).problem, run_of(connection).attempts) == ("", 0)
    assert [r["status"] for r in sandbox.requests() if r["path"].endswith("deals/search")] == [200, 200]


@pytest.mark.parametrize(
    ("crm", "status", "attempts", "problem"),
    [
        ("pipedrive", "cut", 0, ""),  # the CRM's trouble: the attempt does not count
        ("hubspot", "html403", 0, ""),
        ("pipedrive", "truncated", 0, ""),
        ("hubspot", "empty", 1, "unexpected_answer"),  # perhaps this object's: it counts. HubSpot tells of each id
        ("pipedrive", "empty", 1, ""),
    ],
)
def test_a_spoilt_answer_to_a_webhook_keeps_the_event_and_deletes_nothing(
    sandbox: Sandbox, synced: dict[str, Connection], crm: str, status: str, attempts: int, problem: str
) -> None:
    connection = synced[crm]
    [deal, other] = open_deals(connection)[:2]
    sandbox.change(crm, "deals", deal, {TITLE[crm]: "Told"})
    tell(connection, "deals", deal, other)
    sandbox.fail(crm, status, count=None)
    webhooks.drain(connection.organisation_id, connection.pk)
    with tenant(connection.organisation_id):
        kept = set(WebhookEvent.objects.values_list("attempts", "problem", "done_at"))
        assert kept == {(attempts, problem, None)}
        assert not Deal.objects.filter(external_id__in=[deal, other], deleted=True).exists()
    sandbox.heal()
    at_once(connection)
    webhooks.drain(connection.organisation_id, connection.pk)
    assert oracle.differences(connection.organisation, sandbox, crm) == []
    with tenant(connection.organisation_id):
        assert not WebhookEvent.objects.filter(done_at=None).exists()


@pytest.mark.parametrize("stream", ["deals", "persons", "organizations", "activities"])
def test_what_only_changed_is_not_deleted_when_the_crm_does_not_list_it(
    sandbox: Sandbox, synced: dict[str, Connection], stream: str
) -> None:
    """Pipedrive leaves out what it does not know: nothing tells that from an answer that is empty by mistake."""
    connection = synced["pipedrive"]
    table = {"deals": "deals", "persons": "contacts", "organizations": "companies", "activities": "activities"}[stream]
    before = set(oracle.stored(connection.organisation)[table])
    ref = min(before)
    tell(connection, stream, ref)
    sandbox.fail("pipedrive", "empty", count=None)
    for done in (False, True):  # asked once more, then left to the regular reading
        at_once(connection)
        webhooks.drain(connection.organisation_id, connection.pk)
        with tenant(connection.organisation_id):
            assert [bool(event.done_at) for event in WebhookEvent.objects.all()] == [done]
        assert set(oracle.stored(connection.organisation)[table]) == before
    tell(connection, stream, ref, action="delete")  # now it is told, too
    webhooks.drain(connection.organisation_id, connection.pk)
    assert set(oracle.stored(connection.organisation)[table]) == before - {ref}


def test_what_is_told_before_it_can_be_read_is_asked_once_more(sandbox: Sandbox, synced: dict[str, Connection]) -> None:
    connection = synced["pipedrive"]
    new = sandbox._control("POST", "pipedrive/deals", {"title": "New"})["id"]
    sandbox.happen("pipedrive", "hide", "deals", [new])
    tell(connection, "deals", str(new), action="create")
    webhooks.drain(connection.organisation_id, connection.pk)
    sandbox.happen("pipedrive", "show", "deals", [new])
    at_once(connection)
    webhooks.drain(connection.organisation_id, connection.pk)
    assert oracle.differences(connection.organisation, sandbox, "pipedrive") == []


def test_an_empty_answer_about_associations_takes_nobody_off_a_deal(
    sandbox: Sandbox, synced: dict[str, Connection]
) -> None:
    connection = synced["hubspot"]
    with tenant(connection.organisation_id):
        deal = DealContact.objects.filter(deal__status="open").earliest("pk").deal.external_id
    sandbox.change("hubspot", "deals", deal, {"dealname": "Changed"})
    sandbox.fail("hubspot", "empty", count=None, path="associations")
    sync.pull(connection)
    assert run_of(connection).problem == "unexpected_answer"
    sandbox.heal()
    at_once(connection)
    sync.pull(connection)
    assert oracle.differences(connection.organisation, sandbox, "hubspot") == []


@both
def test_a_reading_that_is_answered_with_nothing_deletes_nothing(
    sandbox: Sandbox, synced: dict[str, Connection], crm: str
) -> None:
    connection = synced[crm]
    sandbox.fail(crm, "empty", count=None)
    sync.pull(connection)
    sandbox.heal()
    at_once(connection)
    assert oracle.differences(connection.organisation, sandbox, crm) == []


@pytest.mark.parametrize(
    ("crm", "path", "stream"),
    [
        ("pipedrive", "persons", "persons"),
        ("pipedrive", "deals", "deals"),
        ("hubspot", "objects/2026-09/contacts", "contacts"),
        ("hubspot", "objects/2026-09/meetings", "meetings"),
    ],
)
def test_a_first_reading_that_got_an_empty_list_compares_it_at_once(
    sandbox: Sandbox, organisation: Organisation, crm: str, path: str, stream: str
) -> None:
    connection = connected(organisation, crm)
    sandbox.fail(crm, "empty", path=path)
    sync.pull(connection)
    with tenant(organisation):
        assert not StreamProgress.objects.get(stream=stream).records
        assert set(Reconciliation.objects.values_list("stream", flat=True)) == {stream}
    tasks.reconcile(organisation.pk, connection.pk)  # as the worker does
    with tenant(organisation):
        report = Reconciliation.objects.get(stream=stream, is_latest=True)
        assert report.missing == report.in_crm == report.repaired > 0
    at_once(connection)
    assert oracle.differences(organisation, sandbox, crm) == []


@both
def test_a_first_reading_that_is_complete_is_not_compared_until_the_night(
    synced: dict[str, Connection], crm: str
) -> None:
    with tenant(synced[crm].organisation):
        assert not Reconciliation.objects.filter(connection=synced[crm]).exists()


@pytest.mark.parametrize(
    ("crm", "path"),
    [("hubspot", "pipelines"), ("pipedrive", "pipelines"), ("pipedrive", "stages"), ("pipedrive", "users")],
)
def test_what_every_account_has_is_never_believed_to_be_missing(
    sandbox: Sandbox, organisation: Organisation, crm: str, path: str
) -> None:
    """It is read once an hour: deals without a stage would be judged until then."""
    connection = connected(organisation, crm)
    sandbox.fail(crm, "empty", count=None, path=path)
    sync.pull(connection)
    with tenant(organisation):
        assert SyncRun.objects.get().problem == "unexpected_answer"
    sandbox.heal()
    at_once(connection)
    sync.pull(connection)
    assert oracle.differences(organisation, sandbox, crm) == []


# ---- Times


@both
@pytest.mark.parametrize(
    ("lateness", "found"),
    [
        (timedelta(minutes=10), True),  # what RELIABILITY promises
        (sync.OVERLAP["hubspot"] - timedelta(seconds=1), True),
        (sync.OVERLAP["hubspot"] + timedelta(seconds=2), False),
    ],
)
def test_what_the_index_shows_late_is_found_by_the_next_reading(
    sandbox: Sandbox,
    synced: dict[str, Connection],
    monkeypatch: pytest.MonkeyPatch,
    crm: str,
    lateness: timedelta,
    found: bool,
) -> None:
    """Hidden from a reading by a second, shown to the next one, five minutes later. Beyond, the comparison finds it."""
    connection, ref = synced[crm], open_deals(synced[crm])[0]
    reading = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    happened = reading + timedelta(seconds=1) - lateness
    with tenant(connection.organisation_id):
        SyncRun.objects.update(until=reading - timedelta(minutes=5))
    sandbox.change(crm, "deals", ref, {TITLE[crm]: "Late", "at": happened.isoformat()})
    titles = []
    for moment, late in ((reading, 10_000), (reading + timedelta(minutes=5), 0)):
        monkeypatch.setattr(sync, "now", lambda moment=moment: moment)
        sandbox.clock(crm, late=late)
        sync.pull(connection)
        with tenant(connection.organisation_id):
            titles.append(Deal.objects.get(external_id=ref).title == "Late")
    assert titles == [False, found]
    if not found:
        monkeypatch.undo()
        reconcile.compare(connection, ["deals"])
        assert oracle.differences(connection.organisation, sandbox, crm) == []


@both
@pytest.mark.parametrize("skew", [-1800, -60, 60, 1800])
def test_a_clock_that_is_wrong_loses_no_change(
    sandbox: Sandbox, synced: dict[str, Connection], crm: str, skew: int
) -> None:
    """Half an hour is more than what is read twice: the CRM's own clock counts, which its answers tell."""
    connection, ref = synced[crm], open_deals(synced[crm])[0]
    sandbox.clock(crm, skew=skew)
    with tenant(connection.organisation_id):
        SyncRun.objects.update(until=F("until") + timedelta(seconds=skew))  # it was so from the beginning
    sync.pull(connection)
    until = run_of(connection).until - run_of(connection).started_at
    assert abs(until - timedelta(seconds=skew)) < timedelta(seconds=3)
    sandbox.change(crm, "deals", ref, {TITLE[crm]: "Skewed"})
    sync.pull(connection)
    assert oracle.differences(connection.organisation, sandbox, crm) == []


def test_a_window_of_changes_has_no_ceiling_and_no_trouble_with_equal_times(tmp_path: Path) -> None:
    """25,000 changed records, 12,000 of which share one time: HubSpot's search ends at 10,000."""
    now = datetime.now(UTC).replace(microsecond=0)
    companies = []
    for number in range(25_000):
        at = now - timedelta(hours=1) + timedelta(milliseconds=max(0, number - 12_000) * 20)
        modified = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        # Ids in another order than the times.
        row = {"id": str(1 + number * 7_919 % 25_000), "createdAt": modified, "updatedAt": modified, "archived": False}
        companies.append(row | {"properties": {"name": "Company", "hs_lastmodifieddate": modified}})
    (tmp_path / "scenario.json").write_text(json.dumps({"hubspot": {"companies": companies}}))
    with Sandbox.run(tmp_path, "--scenario", str(tmp_path / "scenario.json")) as sandbox:
        provider = PROVIDERS["hubspot"](TOKENS["hubspot"], f"{sandbox.url}/hubspot")
        found, cursor, pages = Counter[str](), None, 0
        while pages == 0 or cursor:
            page = provider.read("companies", cursor, now - timedelta(hours=2), now)
            found.update(company.external_id for company in page.batch.companies)
            cursor, pages = page.cursor, pages + 1
    assert len(found) == found.total() == 25_000
    assert pages == 125


# ---- What the tests say to the product


TITLE = {"pipedrive": "title", "hubspot": "dealname"}
ENTITIES = {"deals": "deal", "persons": "person", "organizations": "organization", "activities": "activity"}


def open_deals(connection: Connection) -> list[str]:
    with tenant(connection.organisation_id):
        return list(Deal.objects.open().order_by("pk").values_list("external_id", flat=True))


def tell(connection: Connection, stream: str, *refs: str, action: str = "change") -> None:
    """The webhooks of a change to these objects arrive."""
    if connection.provider == "hubspot":
        answer = post_hubspot([hubspot_event(connection.source.account_id, ref) for ref in refs])
        assert answer.status_code == 200
        return
    with tenant(connection.organisation_id):
        feed, _ = WebhookFeed.objects.get_or_create(organisation=connection.organisation, connection=connection)
    secret = webhooks._secret_of(connection, feed)
    for ref in refs:
        event = pipedrive_event(connection.source.account_id, ref, ENTITIES[stream], action)
        assert post_pipedrive(secret.address, event, password=secret.password).status_code == 202
