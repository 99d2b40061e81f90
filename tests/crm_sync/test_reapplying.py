"""A corrected mapping on what is stored: no download where none is needed, and the result of reading it all anew."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import override_settings

from accounts.models import Organisation, User
from accounts.tenancy import tenant
from alerts import settings as alert_settings
from alerts.models import Pending
from crm_sandbox.pipedrive_data import ROLE_FIELD, TITLE_FIELD
from crm_sync import activity_types, details, reapplying, sync
from crm_sync.models import ActivityType, Connection, Reapplication, SyncRun
from crm_sync.sync import Reader
from deals import domains
from deals.clock import Clock
from deals.models import Activity, Deal, DealActivity, Participant, Role
from tests import second_opinion
from tests.sandbox import Sandbox
from tests.test_second_opinion import ROLES, TOKENS, Memory, differences, ours

ZONE = "Europe/Paris"
# Each of them something else, nothing, or something for the first time.
OTHER = {"call": "meeting", "lunch": "", "message": "call", "meeting": "call", "unanswered_call": "message"}


@pytest.fixture(scope="module")
def crm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with (
        Sandbox.run(tmp_path_factory.mktemp("crm"), "--seed", "11", deals=40) as sandbox,
        override_settings(PIPEDRIVE_API_URL=f"{sandbox.url}/pipedrive"),
    ):
        deal = next(row for row in sandbox.raw("pipedrive")["tables"]["deals"] if row["fields"]["person_id"])
        yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat()
        who = {"deals": [deal["id"]], "participants": [{"contact": deal["fields"]["person_id"]}]}
        sandbox.log("pipedrive", {"kind": "message", "time": yesterday, **who})
        yield sandbox


@pytest.fixture
def connection(crm: Sandbox, transactional_db: None) -> Connection:
    connection = begin("Test")
    finish(connection)
    return connection


def begin(name: str) -> Connection:
    organisation = Organisation.objects.create(name=name, time_zone=ZONE)
    with tenant(organisation):
        connection = sync.connect(organisation, "pipedrive", TOKENS["pipedrive"])
        sync.save_fields(connection, ROLE_FIELD, TITLE_FIELD)
    return connection


def finish(connection: Connection) -> None:
    """What is under way, as the workers carry it on."""
    organisation = connection.organisation_id
    with tenant(organisation):
        runs = list(SyncRun.objects.filter(finished_at=None).values_list("pk", flat=True))
    for run in runs:
        reader = Reader(organisation, run)
        while reader.step():
            pass
    details.read_all(connection)
    while reapplying.step(organisation, connection.pk, datetime.now(UTC)):
        pass


def choose(connection: Connection, kinds: dict[str, str]) -> None:
    admin = User.objects.get_or_create(email="ana@vigie.example")[0]
    with tenant(connection.organisation_id):
        version = Connection.objects.get(pk=connection.pk).mapping_version
        ids = dict(ActivityType.objects.values_list("key", "pk"))
        activity_types.choose(connection, {ids[key]: kind for key, kind in kinds.items()}, admin, sync.now(), version)


def facts(connection: Connection) -> dict[str, dict[str, Any]]:
    """What is stored of activities, who took part, and what the deals make of it; by the CRM's ids."""
    with tenant(connection.organisation_id):
        living = Activity.objects.filter(deleted=False)
        activities = {
            one["external_id"]: one
            for one in living.values(
                *("external_id", "kind", "type_ref", "state", "at", "on", "internal", "nobody_coming")
            )
        }
        parties: dict[str, Any] = {}
        for one in Participant.objects.filter(activity__deleted=False).values(
            *("activity__external_id", "part", "address", "contact_ref", "colleague_ref", "colleague", "engaged"),
            "person__name",
        ):
            parties.setdefault(one["activity__external_id"], []).append(sorted(one.items(), key=str))
        deals = {
            one["external_id"]: one
            for one in Deal.objects.values(
                *("external_id", "last_interaction_at", "last_interaction_on", "last_touch_on", "planned_until_on"),
                *("streak_on", "streak_count", "streak_person__name", "engaged_count", "titled_count", "top_level"),
                *("last_interaction__external_id", "planned__external_id", "roll_at"),
            )
        }
        linked = DealActivity.objects.filter(activity__deleted=False)
        places = {
            (id, deal): at for id, deal, at in linked.values_list("activity__external_id", "deal_ref", "occurred_at")
        }
    return {
        "activities": activities,
        "parties": {id: sorted(some, key=str) for id, some in parties.items()},
        "deals": deals,
        "places": places,
    }


def test_the_result_is_that_of_a_first_reading_and_the_second_opinion_agrees(
    connection: Connection, crm: Sandbox
) -> None:
    before = facts(connection)
    choose(connection, OTHER)
    finish(connection)

    fresh = begin("Fresh")
    reader = Reader(fresh.organisation_id, run_of(fresh))
    while not types_known(fresh):
        assert reader.step()
    choose(fresh, OTHER)
    finish(fresh)
    after = facts(connection)
    assert after == facts(fresh)
    assert {one["kind"] for one in before["activities"].values() if one["type_ref"] == "call"} == {"call"}
    assert {one["kind"] for one in after["activities"].values() if one["type_ref"] == "call"} == {"meeting"}
    assert {one["type_ref"] for one in after["activities"].values()} - {""} == OTHER.keys() - {"lunch"}
    assert agrees(connection, crm, second_opinion.TYPES | OTHER) == []


def run_of(connection: Connection) -> int:
    with tenant(connection.organisation_id):
        return SyncRun.objects.get(finished_at=None).pk


def types_known(connection: Connection) -> bool:
    with tenant(connection.organisation_id):
        return ActivityType.objects.exists()


def agrees(connection: Connection, crm: Sandbox, kinds: dict[str, str], own: Any = None) -> list[Any]:
    """Where Vigie and the second opinion differ."""
    now, url = datetime.now(UTC), f"{crm.url}/pipedrive"
    organisation = Organisation.objects.get(pk=connection.organisation_id)
    with tenant(organisation):
        keys = {second_opinion.plain_role(role.label): role.key for role in Role.objects.all()}
        roles = {keys[second_opinion.plain_role(label)]: days for label, days in ROLES.items()}
        settings = alert_settings.current(organisation)
        rules = settings.rules | {"key_role": {**settings.rules["key_role"], "roles": roles}}
        alert_settings.save(organisation, {"rules": rules}, None, Clock.of(organisation), based_on=settings.version)
    deals, people = second_opinion.pipedrive(
        url, TOKENS["pipedrive"], ZoneInfo(ZONE), ROLE_FIELD, TITLE_FIELD, kinds, own
    )
    Memory().remember(deals, people, now)
    theirs = {deal.id: second_opinion.alerts(deal, people, now, ZoneInfo(ZONE), ROLES) for deal in deals}
    return differences(ours(organisation, now), theirs)


def test_between_kinds_that_count_nothing_is_asked_of_the_crm(connection: Connection, crm: Sandbox) -> None:
    with tenant(connection.organisation_id):
        Pending.objects.all().delete()
    crm.forget_requests()
    choose(connection, {"call": "meeting", "meeting": "call", "lunch": ""})
    with tenant(connection.organisation_id):
        concerned = Activity.objects.filter(deleted=False, type_ref__in=["call", "meeting", "lunch"])
        many = concerned.count()
        deals = set(concerned.exclude(deal_activities__deal=None).values_list("deal_activities__deal", flat=True))
    finish(connection)
    assert crm.requests() == []
    with tenant(connection.organisation_id):
        row = Reapplication.objects.get()
        assert (row.total, row.done, row.finished_at is None) == (many, many, False)
        assert set(Pending.objects.values_list("deal", flat=True)) == deals
        assert not Activity.objects.filter(deleted=False, type_ref="lunch").exists()


def test_it_goes_on_where_it_was_interrupted_and_a_second_change_begins_it_anew(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reapplying, "STEP", 7)
    organisation = connection.organisation_id
    choose(connection, {"call": "meeting"})
    for _ in range(3):  # the count, and two batches
        assert reapplying.step(organisation, connection.pk, sync.now())
    with tenant(organisation):
        assert Reapplication.objects.get().done == 14
        assert Activity.objects.filter(deleted=False, type_ref="call", kind="meeting").count() == 14
        assert reapplying.waiting() == [connection.pk]
    choose(connection, {"call": "message"})
    finish(connection)
    with tenant(organisation):
        assert set(Activity.objects.filter(type_ref="call").values_list("kind", flat=True)) == {"message"}
        assert reapplying.waiting() == []
    assert reapplying.step(organisation, connection.pk, sync.now()) is False


def test_other_own_domains_change_who_took_part_in_the_past(connection: Connection, crm: Sandbox) -> None:
    organisation = Organisation.objects.get(pk=connection.organisation_id)
    admin = User.objects.create_user("ana@vigie.example")
    before = facts(connection)
    with tenant(organisation):
        engaged = Participant.objects.filter(engaged=True, colleague=False).exclude(person__addresses=None)
        [address] = engaged.order_by("pk").values_list("person__addresses__address", flat=True)[:1]
    customer = address.partition("@")[2]
    wanted = [*organisation.own_domains, customer]

    def now_own(*names: str) -> None:
        with tenant(organisation):
            changed = domains.choose(organisation, names, admin, sync.now(), domains.version(organisation))
            reapplying.begin_domains(organisation, sync.now(), changed)
        crm.forget_requests()
        finish(connection)
        assert crm.requests() == []

    now_own(*wanted)
    with tenant(organisation):
        inside = Participant.objects.filter(person__addresses__address__endswith=f"@{customer}")
        assert not inside.exists()
    assert agrees(connection, crm, second_opinion.TYPES, wanted) == []
    now_own(*organisation.own_domains)
    assert facts(connection) == before
