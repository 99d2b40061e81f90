"""A first synchronisation in portions: the rows of one page by page, nothing lost by whatever ends it in the middle."""

import html
import threading
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError
from django.db import connection as database
from django.test import override_settings

from accounts.models import Organisation
from accounts.tenancy import tenant
from crm_sync import bulk, sync
from crm_sync.models import Connection, SyncRun
from deals import people, settling, summaries
from deals.clock import Clock
from deals.models import Activity, Contact, Deal, DealPerson, Participant, Person, Source
from deals.upsert import upsert
from tests import oracle
from tests.crm_sync.test_sync import TOKENS, retry_now
from tests.pages import log_in
from tests.sandbox import Sandbox

both = pytest.mark.parametrize("crm", TOKENS)
SMALL = ("users", "owners", "pipelines", "stages", "roles")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with (
        Sandbox.run(tmp_path_factory.mktemp("sandbox"), deals=40) as sandbox,
        override_settings(PIPEDRIVE_API_URL=f"{sandbox.url}/pipedrive", HUBSPOT_API_URL=f"{sandbox.url}/hubspot"),
    ):
        yield sandbox


@pytest.fixture
def sandbox(server: Sandbox, db: None, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    server.reset()
    monkeypatch.setattr(bulk, "AT_ONCE", 100)  # several portions, of several streams each
    return server


def connect(crm: str) -> Connection:
    organisation = Organisation.objects.create(name="Test", time_zone="Europe/Paris")
    with tenant(organisation):
        return sync.connect(organisation, crm, TOKENS[crm])


def run_of(connection: Connection) -> SyncRun:
    with tenant(connection.organisation_id):
        return SyncRun.objects.get(connection=connection)


def page_by_page(like: Connection) -> Organisation:
    """An organisation whose rows were all derived with each page, as those of a later synchronisation are."""
    connection = connect(like.provider)
    like.refresh_from_db()
    connection.role_field, connection.title_field = like.role_field, like.title_field
    provider = sync.provider_of(connection)
    with tenant(connection.organisation_id):
        source = Source.objects.get(pk=connection.source_id)
        clock = Clock.of(connection.organisation)
        for stream in provider.streams:
            page = provider.read(stream, None, None, clock.now)
            upsert(source, page.batch, clock)
            while page.cursor:
                page = provider.read(stream, page.cursor, None, clock.now)
                upsert(source, page.batch, clock)
    return connection.organisation


def derived(organisation: Organisation) -> dict[str, Any]:
    """All that is derived, by the CRM's ids."""
    with tenant(organisation):
        refs: dict[int | None, str] = {None: ""}
        for person in Person.objects.prefetch_related("addresses", "contacts"):
            addresses = sorted(one.address for one in person.addresses.all())
            refs[person.pk] = repr((addresses, sorted(one.external_id for one in person.contacts.all())))
        activities: dict[int | None, str] = {None: "", **dict(Activity.objects.values_list("pk", "external_id"))}
        known = ("created_on", "reopened_on", "stage_entered_on", "stage_known", "last_interaction_at", "search")
        counted = ("last_touch_on", "planned_until_on", "streak_on", "streak_count", "engaged_count", "titled_count")
        deals = {}
        for d in Deal.objects.all():
            facts = [getattr(d, name) for name in (*known, *counted, "top_level", "roll_at", "value", "amount")]
            roles = {
                role: (sorted(refs[id] for id in said["holders"]), said["since"], said["last_on"])
                for role, said in d.roles.items()
            }
            met = (activities[d.last_interaction_id], activities[d.planned_id], refs[d.streak_person_id])
            deals[d.external_id] = (*facts, *met, roles)
        told = ("activity__external_id", "part", "address", "contact_ref", "colleague_ref", "name", "declined")
        return {
            "deals": deals,
            "people": Counter(
                (deal, refs[person], *rest)
                for deal, person, *rest in DealPerson.objects.values_list(
                    "deal__external_id", "person", "first_on", "last_on", "last_activity__external_id", "interactions"
                )
            ),
            "participants": Counter(
                (refs[person], *rest)
                for person, *rest in Participant.objects.values_list("person", "colleague", "engaged", *told)
            ),
            "meaning": set(Activity.objects.values_list("external_id", "internal", "nobody_coming", "deleted")),
            "contacts": {c.external_id: (refs[c.person_id], c.level) for c in Contact.objects.all()},
        }


def synchronise(connection: Connection) -> None:
    reader = sync.Reader(connection.organisation_id, run_of(connection).pk)
    while reader.advance():
        pass


@both
def test_portions_end_as_page_by_page_even_when_webhooks_settle_some_deals_meanwhile(
    sandbox: Sandbox, crm: str
) -> None:
    connection = connect(crm)
    run = run_of(connection)
    reader = sync.Reader(connection.organisation_id, run.pk)
    with tenant(connection.organisation_id):
        while run.streams.filter(stream="deals", finished=False).exists():
            assert reader.step()
        assert not Deal.objects.exclude(created_on=None).exists()
        # A webhook about some deals: they are derived from what is here, and more of them is to come.
        some = list(Deal.objects.order_by("pk").values_list("external_id", flat=True)[:20])
        page = sync.provider_of(connection).fetch("deals", some)
        Deal.objects.filter(external_id__in=some).update(title="")
        upsert(connection.source, page.batch, Clock.of(connection.organisation))
        assert Deal.objects.exclude(created_on=None).count() == len(some)
    synchronise(connection)
    assert run_of(connection).finished_at
    assert oracle.differences(connection.organisation, sandbox, crm) == []
    found = derived(connection.organisation)
    assert all(found.values())
    with tenant(connection.organisation_id):
        other = page_by_page(connection)
    assert found == derived(other)


@both
def test_two_sessions_settle_many_deals_and_one_that_fails_is_made_up_for(
    server: Sandbox, transactional_db: None, crm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.reset()
    monkeypatch.setattr(settling, "AT_ONCE", 12)
    sessions, rebuild = [], summaries.rebuild

    def rebuild_unless_second(organisation: int, deals: Any, clock: Clock) -> None:
        sessions.append((threading.current_thread(), len(deals)))
        if len(sessions) < 3 and threading.current_thread() is not threading.main_thread():
            raise OperationalError("the session has ended")
        rebuild(organisation, deals, clock)

    monkeypatch.setattr(settling.summaries, "rebuild", rebuild_unless_second)
    connection = connect(crm)
    with pytest.raises(OperationalError):
        synchronise(connection)
    with tenant(connection.organisation_id):
        assert Deal.objects.exclude(created_on=None).count() == 12
        assert not run_of(connection).finished_at
    synchronise(connection)
    assert run_of(connection).finished_at
    assert len({thread for thread, _ in sessions}) > 2
    assert max(count for _, count in sessions) == 12
    found = derived(connection.organisation)
    with tenant(connection.organisation_id):
        other = page_by_page(connection)
    assert found == derived(other)


@both
def test_who_took_part_is_written_as_it_would_be_resolved(sandbox: Sandbox, crm: str) -> None:
    connection = connect(crm)
    synchronise(connection)
    found = derived(connection.organisation)
    with tenant(connection.organisation_id), database.cursor() as cursor:
        Participant.objects.update(person=None, colleague=False, engaged=False)
        attended = Activity.objects.filter(pk__in=Participant.objects.values("activity"))
        attended.update(internal=False, nobody_coming=True)
        people.resolve(cursor, connection.source, (), (), (), everybody=True)
    assert derived(connection.organisation) == found


@both
def test_what_was_read_before_trouble_is_written_and_not_asked_again(sandbox: Sandbox, crm: str) -> None:
    connection = connect(crm)
    last = "activities" if crm == "pipedrive" else "communications"
    sandbox.fail(crm, 429, count=50, retry_after=120, path=last)
    synchronise(connection)
    run = run_of(connection)
    assert (run.problem, run.attempts) == ("rate_limited", 1)
    with tenant(connection.organisation_id):
        unread = set(run.streams.filter(finished=False).values_list("stream", flat=True))
        assert unread <= {last, "archived"}
    sandbox.heal()
    sandbox.forget_requests()
    retry_now(run)
    synchronise(connection)
    assert run_of(connection).finished_at
    asked = {request["path"] for request in sandbox.requests()}
    assert not any(
        path.endswith(("/deals", "/persons", "/contacts", "/companies")) for path in asked if last not in path
    )
    assert oracle.differences(connection.organisation, sandbox, crm) == []


@both
def test_a_process_that_dies_has_only_what_it_read_ahead_asked_again(sandbox: Sandbox, crm: str) -> None:
    connection = connect(crm)
    reader = sync.Reader(connection.organisation_id, run_of(connection).pk)
    with tenant(connection.organisation_id):
        while run_of(connection).streams.filter(stream__in=SMALL, finished=False).exists():
            assert reader.step()
        streams = list(run_of(connection).streams.filter(finished=False).order_by("position"))
        connection.refresh_from_db()  # the fields of roles and titles have been found
        provider = sync.provider_of(connection)
    sandbox.forget_requests()
    portions = bulk.portions(provider, streams, sync.now())
    written, ahead = next(portions), next(portions)
    with tenant(connection.organisation_id):
        for part in written.parts:
            assert sync._write(run_of(connection), part.progress, part.page, part)
    asked = len(sandbox.requests())
    synchronise(connection)
    repeated = Counter(str((r["method"], r["path"], r["query"], r.get("body"))) for r in sandbox.requests()[asked:])
    before = Counter(str((r["method"], r["path"], r["query"], r.get("body"))) for r in sandbox.requests()[:asked])
    twice = [request for request in before if request in repeated and "/properties/" not in request]
    assert 0 < len(twice) <= 3 * sum(part.pages for part in ahead.parts)  # a page of HubSpot's deals is three requests
    assert oracle.differences(connection.organisation, sandbox, crm) == []


@both
def test_a_portion_of_a_run_that_has_ended_is_not_written(sandbox: Sandbox, crm: str) -> None:
    connection = connect(crm)
    reader = sync.Reader(connection.organisation_id, run_of(connection).pk)
    with tenant(connection.organisation_id):
        while run_of(connection).streams.filter(stream__in=SMALL, finished=False).exists():
            assert reader.step()
        run = run_of(connection)
        streams = list(run.streams.filter(finished=False).order_by("position"))
        portion = next(bulk.portions(sync.provider_of(connection), streams, sync.now()))
        sync.disconnect(connection)
        assert not any(sync._write(run, part.progress, part.page, part) for part in portion.parts)
        assert not Contact.objects.exists()


def test_deals_that_wait_to_be_settled_can_be_looked_at(sandbox: Sandbox) -> None:
    connection = connect("pipedrive")
    reader = sync.Reader(connection.organisation_id, run_of(connection).pk)
    with tenant(connection.organisation_id):
        while run_of(connection).streams.filter(stream="activities", finished=False).exists():
            assert reader.step()
        waiting = Deal.objects.open().filter(created_on=None).order_by("pk")
        deals = {deal.pk: deal.title for deal in waiting[:3]}
    client = log_in(SimpleNamespace(organisation=connection.organisation))
    for pk, title in deals.items():
        assert title in html.unescape(client.get(f"/deals/{pk}/").content.decode())
    pages = ("/deals/?health=all", "/deals/facets/company/", "/deals/export/", "/review/", "/upcoming/", "/analytics/")
    for page in pages:
        assert client.get(page).status_code == 200, page
