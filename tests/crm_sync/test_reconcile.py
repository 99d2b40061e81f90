"""The daily comparison with all that the CRM holds: what is missing, extra or stale is named and repaired."""

import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.db import transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from accounts.models import Organisation, User
from accounts.tenancy import tenant
from alerts.models import Pending
from crm_sync import brake, providers, reconcile, sync
from crm_sync.models import Compared, Connection, Reconciliation
from crm_sync.providers.base import Version, VersionPage
from crm_sync.tasks import reconcile as reconcile_task
from crm_sync.tasks import start_reconciliations
from deals.clock import Clock
from deals.models import Activity, Contact, Deal, Pipeline, Source, Stage
from deals.records import ActivityRecord, Batch
from deals.upsert import upsert
from tests import oracle
from tests.sandbox import Sandbox
from tests.world import World, but_statistics

TOKENS = {"pipedrive": "sandbox-pipedrive-token", "hubspot": "sandbox-hubspot-token"}
DROPPED: dict[str, dict[str, int]] = {}
FIRST: dict[str, dict[str, Reconciliation]] = {}
both = pytest.mark.parametrize("crm", TOKENS)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with (
        # What was invented hours ago has not just changed.
        Sandbox.run(tmp_path_factory.mktemp("sandbox"), "--now", ago(hours=6), deals=25) as sandbox,
        override_settings(PIPEDRIVE_API_URL=f"{sandbox.url}/pipedrive", HUBSPOT_API_URL=f"{sandbox.url}/hubspot"),
    ):
        for crm in TOKENS:
            sandbox.happen(crm, "remember")
        yield sandbox


@pytest.fixture(scope="module")
def synced(server: Sandbox, django_db_setup: None, django_db_blocker: Any) -> Iterator[dict[str, Connection]]:
    """For each CRM an organisation whose first synchronisation is over, in a transaction that is rolled back.

    Of each stream it did not get one record (DROPPED), and what the comparison after it said is in FIRST.
    """
    dice = random.Random(11)
    with django_db_blocker.unblock(), transaction.atomic():
        found = {}
        for crm in TOKENS:
            DROPPED[crm] = {stream: dice.choice(ids_of(server, crm, stream)) for stream in tables(crm)}
            for stream, id in DROPPED[crm].items():
                server.happen(crm, "hide", stream, [id])
            found[crm] = connected(crm)
            server.happen(crm, "recall")
            assert oracle.differences(found[crm].organisation, server, crm) != []
            reconcile.compare(found[crm])
            FIRST[crm] = reports(found[crm])
        yield found
        transaction.set_rollback(True)


@pytest.fixture
def sandbox(server: Sandbox, synced: dict[str, Connection], django_db_blocker: Any) -> Iterator[Sandbox]:
    """As it was when the organisations were synchronised; what a test does to these is undone."""
    server.reset()
    with django_db_blocker.unblock(), transaction.atomic():
        yield server
        transaction.set_rollback(True)
    for crm in TOKENS:
        server.happen(crm, "recall")


def connected(crm: str) -> Connection:
    organisation = Organisation.objects.create(name="Test", time_zone="Europe/Paris")
    with tenant(organisation):
        connection = sync.connect(organisation, crm, TOKENS[crm])
    sync.pull(connection)
    with tenant(organisation):
        return Connection.objects.select_related("source", "organisation").get(pk=connection.pk)


def reports(connection: Connection) -> dict[str, Reconciliation]:
    """The last finished one of each stream."""
    with tenant(connection.organisation_id):
        return {r.stream: r for r in Reconciliation.objects.filter(connection=connection, is_latest=True)}


def compared(connection: Connection, stream: str) -> Reconciliation:
    """The report of a comparison of `stream` made now."""
    reconcile.compare(connection, [stream])
    return reports(connection)[stream]


def counts(report: Reconciliation) -> tuple[int, ...]:
    return report.missing, report.extra, report.stale, report.repaired, report.left, report.held


def ago(**span: float) -> str:
    return (datetime.now(UTC) - timedelta(**span)).isoformat(timespec="seconds")


def tables(crm: str) -> dict[str, str]:
    """The sandbox's tables of the streams that can be hidden there."""
    streams = providers.PROVIDERS[crm].compared
    return {s: s for s in streams if crm == "pipedrive" or s not in ("pipelines", "stages")}


def ids_of(sandbox: Sandbox, crm: str, table: str) -> list[int]:
    """Living ones that Vigie reads."""
    rows = sandbox.raw(crm)["tables"][table]
    if crm == "hubspot":
        return [row["id"] for row in rows if not row["archived"]]
    wanted = (lambda f: f["type"] in oracle.KINDS and (f["due_date"] or f["done"])) if table == "activities" else bool
    return [row["id"] for row in rows if not row["deleted"] and wanted(row["fields"])]


def external(stream: str, id: int) -> str:
    return f"{stream}/{id}" if stream in oracle.HUBSPOT else str(id)


@both
def test_nothing_differs_after_a_first_synchronisation(
    sandbox: Sandbox, synced: dict[str, Connection], crm: str
) -> None:
    connection = synced[crm]
    sandbox.forget_requests()
    reconcile.compare(connection)
    found = reports(connection)
    assert set(found) == set(providers.PROVIDERS[crm].compared)
    assert {stream: counts(r) for stream, r in found.items()} == dict.fromkeys(found, (0, 0, 0, 0, 0, 0))
    assert all(r.in_crm == r.here > 0 and r.finished_at for r in found.values())
    assert oracle.differences(connection.organisation, sandbox, crm) == []
    pages = sum(r.pages for r in found.values())
    assert len(sandbox.requests()) == pages  # nothing is read that does not differ
    with tenant(connection.organisation_id):
        assert not Compared.objects.exists()
        assert not Reconciliation.objects.filter(finished_at=None).exists()


@both
def test_a_record_that_was_silently_dropped_is_named_and_repaired_every_time(
    sandbox: Sandbox, synced: dict[str, Connection], crm: str
) -> None:
    for stream, id in DROPPED[crm].items():
        report = FIRST[crm][stream]
        assert (report.missing, report.named["missing"]) == (1, [external(stream, id)]), stream
        assert (report.repaired, report.left, report.in_crm) == (1, 0, report.here)
    assert oracle.differences(synced[crm].organisation, sandbox, crm) == []


@both
def test_a_change_that_was_silently_dropped_is_named_and_repaired_every_time(
    sandbox: Sandbox, synced: dict[str, Connection], crm: str
) -> None:
    dice, connection = random.Random(5), synced[crm]
    with tenant(connection.organisation_id):
        Connection.objects.update(synced_until=sync.now())
    name, kind = {"pipedrive": ("title", "deals"), "hubspot": ("dealname", "deals")}[crm]
    ids = dice.sample(ids_of(sandbox, crm, kind), 3)
    for id in ids:
        sandbox.change(crm, kind, str(id), {name: "Changed unseen", "at": ago(minutes=30)})
    people = "persons" if crm == "pipedrive" else "contacts"
    person = dice.choice(ids_of(sandbox, crm, people))
    sandbox.change(crm, "contacts", str(person), {"email": "unseen@customer.example", "at": ago(minutes=30)})
    reconcile.compare(connection)
    found = reports(connection)
    assert set(found["deals"].named["stale"]) == {str(id) for id in ids}
    assert counts(found["deals"]) == (0, 0, 3, 3, 0, 0)
    assert found[people].named["stale"] == [str(person)]
    assert oracle.differences(connection.organisation, sandbox, crm) == []
    with tenant(connection.organisation_id):
        assert Deal.objects.filter(title="Changed unseen").count() == 3
        marked = set(Pending.objects.values_list("deal__external_id", flat=True))
        assert marked >= {str(id) for id in ids}


@both
def test_after_any_changes_one_comparison_makes_every_field_equal(
    sandbox: Sandbox, synced: dict[str, Connection], crm: str
) -> None:
    dice, connection = random.Random(3), synced[crm]
    people, companies = ("persons", "organizations") if crm == "pipedrive" else ("contacts", "companies")
    doings = ["activities"] if crm == "pipedrive" else list(oracle.HUBSPOT)
    for table in ("deals", people, companies, *doings):
        one, two, three, four = dice.sample(ids_of(sandbox, crm, table), 4)
        sandbox.happen(crm, "delete", table, [one], at=ago(minutes=40))
        sandbox.happen(crm, "purge", table, [two])
        sandbox.happen(crm, "delete", table, [three], at=ago(minutes=50))
        sandbox.happen(crm, "restore", table, [three], at=ago(minutes=45))
        if table in ("deals", people, companies):
            sandbox.happen(crm, "merge", table, [four], into=three, at=ago(minutes=30))
    if crm == "pipedrive":
        sandbox.happen(crm, "archive", "deals", dice.sample(ids_of(sandbox, crm, "deals"), 2), at=ago(minutes=35))
    reconcile.compare(connection)
    found = reports(connection)
    assert {r.left for r in found.values()} == {0}
    assert all(r.in_crm == r.here for r in found.values())
    assert oracle.differences(connection.organisation, sandbox, crm) == []
    reconcile.compare(connection)
    assert {sum(counts(r)) for r in reports(connection).values()} == {0}


@both
def test_what_comes_back_as_it_was_is_here_again(sandbox: Sandbox, synced: dict[str, Connection], crm: str) -> None:
    people = "persons" if crm == "pipedrive" else "contacts"
    [person] = random.Random(2).sample(ids_of(sandbox, crm, people), 1)
    connection = synced[crm]
    sandbox.happen(crm, "delete", people, [person], silent=True)
    assert counts(compared(connection, people)) == (0, 1, 0, 1, 0, 0)
    with tenant(connection.organisation_id):
        # The bin may give a deleted record a time of change of its own, which the restored one does not have.
        Contact.objects.filter(external_id=person, deleted=True).update(updated_at=sync.now())
    sandbox.happen(crm, "restore", people, [person], silent=True)
    assert counts(compared(connection, people)) == (1, 0, 0, 1, 0, 0)
    assert oracle.differences(connection.organisation, sandbox, crm) == []


@both
def test_an_empty_list_deletes_nothing_until_an_admin_lets_it(
    sandbox: Sandbox, synced: dict[str, Connection], crm: str
) -> None:
    connection = synced[crm]
    for stream, table in tables(crm).items():
        sandbox.happen(crm, "hide", table)
        report = compared(connection, stream)
        assert (report.in_crm, report.held, report.repaired) == (0, report.extra, 0), stream
        assert report.here == report.left == report.held > 0
        sandbox.happen(crm, "show", table)
        assert counts(compared(connection, stream)) == (0, 0, 0, 0, 0, 0)
    assert oracle.differences(connection.organisation, sandbox, crm) == []


def test_what_an_admin_lets_happen_is_still_checked_with_the_crm(
    sandbox: Sandbox, synced: dict[str, Connection]
) -> None:
    connection = synced["pipedrive"]
    lost = random.Random(1).sample(ids_of(sandbox, "pipedrive", "activities"), 60)
    sandbox.happen("pipedrive", "purge", "activities", lost[5:])
    sandbox.happen("pipedrive", "hide", "activities", lost[:5])
    assert compared(connection, "activities").held == 60
    user = User.objects.create_user("admin@vigie.example")
    with tenant(connection.organisation_id):
        before = Activity.objects.filter(deleted=False).count()
        assert reconcile.release(connection, "activities", user)
        assert not reconcile.release(connection, "activities", user)
    sandbox.happen("pipedrive", "show", "activities")  # they are there, the list only did not tell
    reconcile_task(connection.organisation_id, connection.pk)
    report = reports(connection)["activities"]
    assert (report.held, report.released_by_id, report.extra) == (0, user.pk, 60)
    assert (report.repaired, report.left) == (60, 0)
    with tenant(connection.organisation_id):
        assert before - Activity.objects.filter(deleted=False).count() == 55
    assert oracle.differences(connection.organisation, sandbox, "pipedrive") == []


@pytest.mark.parametrize(
    ("deletions", "rows", "stopped"),
    [
        (1, 1, False),
        (50, 50, False),
        (50, 51, False),
        (51, 51, True),
        (51, 1019, True),
        (51, 1020, False),
        (500, 10_000, False),
        (501, 10_000, True),
        (502, 10_040, False),
    ],
)
def test_more_than_fifty_and_five_per_cent_is_too_many(deletions: int, rows: int, stopped: bool) -> None:
    assert brake.is_too_many(deletions, rows) is stopped


@pytest.mark.parametrize(("crm", "seen"), [("pipedrive", False), ("hubspot", True), ("hubspot", False)])
def test_what_has_just_changed_is_not_called_missing(
    sandbox: Sandbox, synced: dict[str, Connection], crm: str, seen: bool
) -> None:
    """It may be late in the CRM's index, and comes with the next synchronisation."""
    connection = synced[crm]
    people = "persons" if crm == "pipedrive" else "contacts"
    lag = sync.OVERLAP[crm] + timedelta(minutes=1 if seen else -1)
    new = sandbox._control("POST", f"{crm}/contacts", {"name": "Late Row", "at": ago(seconds=lag.total_seconds())})
    report = compared(connection, people)
    assert report.missing == (1 if seen else 0)
    with tenant(connection.organisation_id):
        assert Contact.objects.filter(external_id=str(new["id"])).exists() is seen
    sync.pull(connection)
    assert oracle.differences(connection.organisation, sandbox, crm) == []


@both
def test_a_comparison_killed_after_any_page_goes_on_where_it_stood(
    sandbox: Sandbox, synced: dict[str, Connection], crm: str
) -> None:
    connection = synced[crm]
    people = "persons" if crm == "pipedrive" else "contacts"
    lost = random.Random(4).sample(ids_of(sandbox, crm, people), 3)
    sandbox.happen(crm, "purge", people, lost)
    with tenant(connection.organisation_id):
        reconcile.begin(connection)
    sandbox.forget_requests()
    steps = 0
    while reconcile.Reconciler(
        connection.organisation_id, connection.pk
    ).step():  # each by a process that knows nothing
        steps += 1
    asked = Counter(str((r["method"], r["path"], r["query"], r["body"])) for r in sandbox.requests())
    frame = {request for request in asked if "/crm/pipelines/" in request}  # HubSpot's two in one
    assert [request for request, times in asked.items() if times > 1 and request not in frame] == []
    assert counts(reports(connection)[people]) == (0, 3, 0, 3, 0, 0)
    assert oracle.differences(connection.organisation, sandbox, crm) == []


@both
def test_trouble_with_the_crm_waits_and_loses_nothing(
    sandbox: Sandbox, synced: dict[str, Connection], crm: str
) -> None:
    connection = synced[crm]
    sandbox.fail(crm, 418, count=500, path="/objects/2026-09/deals" if crm == "hubspot" else "/v2/deals")
    reconcile.compare(connection)
    with tenant(connection.organisation_id):
        report = Reconciliation.objects.get(stream="deals", finished_at=None)
        assert (report.problem, report.attempts, report.finished_at) == ("unexpected_answer", 1, None)
        assert report.retry_at is not None
        assert connection.pk not in reconcile.waiting(connection.organisation_id)
        Reconciliation.objects.update(retry_at=None)
        assert reconcile.waiting(connection.organisation_id) == [connection.pk]
    sandbox.heal()
    reconcile_task(connection.organisation_id, connection.pk)
    assert counts(reports(connection)["deals"]) == (0, 0, 0, 0, 0, 0)


def test_a_stream_that_may_not_be_read_is_not_compared(sandbox: Sandbox, synced: dict[str, Connection]) -> None:
    connection = synced["hubspot"]
    sandbox.fail("hubspot", 403, count=1, path="/emails")
    reconcile.compare(connection)
    with tenant(connection.organisation_id):
        report = Reconciliation.objects.filter(stream="emails").latest("pk")
        assert (report.problem, report.is_latest) == ("missing_permission", False)
        assert report.finished_at is not None
    assert {r.key for r in reports(connection).values() if r.stream == "emails"} != {report.key}


def test_each_local_day_has_one_comparison(sandbox: Sandbox, synced: dict[str, Connection]) -> None:
    connection = synced["pipedrive"]
    streams = len(providers.PROVIDERS["pipedrive"].compared)
    start_reconciliations()
    with tenant(connection.organisation_id):
        before = Reconciliation.objects.count()
        assert before == streams  # of the day of the first synchronisation none is due
        Source.objects.update(first_synced_at=datetime(2026, 3, 27, 22, 30, tzinfo=UTC))  # 23:30 in Paris
        made = []
        for hour, minute in ((22, 59), (23, 0), (23, 5), (47, 0)):  # the night of the change to summer time follows
            now = datetime(2026, 3, 27, tzinfo=UTC) + timedelta(hours=hour, minutes=minute)
            connection = Connection.objects.select_related("source", "organisation").get(pk=connection.pk)
            made.append(reconcile.begin_daily(connection, Clock.of(connection.organisation, now)))
            Reconciliation.objects.filter(finished_at=None).update(finished_at=now)
        assert made == [0, streams, 0, streams]
        keys = set(Reconciliation.objects.order_by("pk").values_list("key", flat=True)[before:])
        assert keys == {"2026-03-28", "2026-03-29"}


def test_a_comparison_under_way_is_not_begun_twice(sandbox: Sandbox, synced: dict[str, Connection]) -> None:
    connection = synced["pipedrive"]
    with tenant(connection.organisation_id):
        assert reconcile.begin(connection, ["deals"]) == 1
        assert reconcile.begin(connection) == len(providers.PROVIDERS["pipedrive"].compared) - 1
        assert reconcile.begin(connection) == 0


def test_a_deleted_stage_and_pipeline_are_marked(sandbox: Sandbox, synced: dict[str, Connection]) -> None:
    for crm in TOKENS:
        connection = synced[crm]
        with tenant(connection.organisation_id):
            stage = Stage.objects.filter(source=connection.source).latest("pk")
            pipeline = Pipeline.objects.filter(source=connection.source).exclude(pk=stage.pipeline_id).earliest("pk")
        sandbox.happen(crm, "delete", "stages", [stage.external_id])
        sandbox.happen(crm, "delete", "pipelines", [pipeline.external_id])
        reconcile.compare(connection, ["pipelines", "stages"])
        with tenant(connection.organisation_id):
            for row in (stage, pipeline):
                row.refresh_from_db()
                assert row.deleted
            assert Stage.objects.filter(source=connection.source, deleted=False).exists()


@pytest.mark.django_db
def test_ten_rows_and_a_thousand_take_the_same_statements() -> None:
    taken = {}
    for size in (10, 1000):
        w = World()
        for n in range(3):
            w.contact(f"here{n}")
        with w.inside():
            link = Connection.objects.create(
                organisation=w.organisation,
                source=w.source,
                provider="hubspot",
                connected_at=w.clock.now,
                synced_until=w.clock.now + timedelta(days=1),
            )
            reconcile.begin(link, ["contacts"])
            report = Reconciliation.objects.select_related("connection__source", "organisation").get(connection=link)
            report.started_at = w.clock.now + timedelta(days=1)
            page = VersionPage([Version(str(n), w.at(3)) for n in range(size)], None)
            with CaptureQueriesContext(
                database,
            ) as queries:
                reconcile._collect(report, page)
            assert (report.in_crm, report.missing, report.extra, report.here) == (size, size, 3, 3)
            assert (len(report.named["missing"]), len(report.named["extra"])) == (min(size, 20), 3)
            taken[size] = but_statistics(queries)
    assert taken[10] == taken[1000]


def test_a_thousand_deletions_are_made_and_none_too_many(sandbox: Sandbox, synced: dict[str, Connection]) -> None:
    connection = synced["pipedrive"]
    at = datetime(2026, 1, 5, tzinfo=UTC)
    gone = [str(900_000 + n) for n in range(1000)]
    calls = [ActivityRecord(id, "call", "held", "Call", at, at) for id in gone]
    user = User.objects.create_user("admin@vigie.example")
    with tenant(connection.organisation_id):
        upsert(connection.source, Batch(activities=calls), Clock.of(connection.organisation))
    report = compared(connection, "activities")
    assert (report.extra, report.held, report.repaired) == (1000, 1000, 0)
    with tenant(connection.organisation_id):
        assert not Activity.objects.filter(deleted=True).exists()
        assert reconcile.release(connection, "activities", user)
    sandbox.forget_requests()
    reconcile_task(connection.organisation_id, connection.pk)
    assert len(sandbox.requests()) == 10
    assert counts(reports(connection)["activities"]) == (0, 1000, 0, 1000, 0, 0)
    with tenant(connection.organisation_id):
        assert set(Activity.objects.filter(deleted=True).values_list("external_id", flat=True)) == set(gone)
    assert oracle.differences(connection.organisation, sandbox, "pipedrive") == []
