"""Verdicts and teams by the API."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from alerts.models import Pending
from deals.models import Colleague, Team
from deals.records import ColleagueRecord
from tests.api import Api
from tests.pages import world_now
from tests.world import World

pytestmark = pytest.mark.django_db
TEAMS = "alerts/teams/"


@pytest.fixture
def world() -> World:
    w = world_now()
    w.first_synced()
    w.write(colleagues=[ColleagueRecord("you", "Vous", "you@vigie.example", True)])
    w.contact("ana", "CEO", ("Champion",))
    w.on_deal("ana", close_on=None, created_at=w.at(20))
    w.activity("call", 11, "ana")
    w.deal("e", amount=None)
    w.configure(key_role={"roles": {"champion": 12, "decision maker": 9}}, deal_too_old=False)
    return w


def outcomes(told: dict[str, Any]) -> dict[str, tuple[str, str | None, str | None, str | None]]:
    return {
        f"{v['kind']}:{v['subject']}".rstrip(":"): (v["outcome"], v["since"], v["fires_on"], v["reason"])
        for v in told["verdicts"]
    }


# ---- Verdicts


def test_every_enabled_rule_has_one_of_three_outcomes(world: World) -> None:
    status, told = Api(world, role="rep")("get", f"deals/{world.stored().pk}/verdicts/")
    assert (status, told["judged"]) == (200, True)
    day = lambda ago: world.day(ago).isoformat()  # noqa: E731
    assert outcomes(told) == {
        "no_activity": ("fires", day(1), None, None),
        "no_meeting": ("fires", day(10), None, None),
        "single_contact": ("clear", None, None, None),
        "key_role:champion": ("clear", None, day(-1), None),
        "key_role:decision maker": ("not_evaluable", None, None, "no_holder"),
        "power_map": ("clear", None, None, None),
        "stuck_in_stage": ("fires", day(8), None, None),
        "close_date_passed": ("not_evaluable", None, None, "no_close_date"),
        "amount_empty": ("clear", None, None, None),
    }
    said = {v["kind"]: v for v in told["verdicts"]}
    assert said["no_activity"]["limit"] == 10
    assert said["close_date_passed"]["sentence"] == "The deal has no close date in the CRM."
    assert "key_role" in said
    assert "Key role silent: Decision maker" in [v["title"] for v in told["verdicts"]]


def test_verdicts_of_a_list_by_ids_or_by_the_filters_of_the_page(world: World) -> None:
    api, ids = Api(world), [world.stored("d").pk, world.stored("e").pk]
    one = [api("get", f"deals/{pk}/verdicts/")[1] for pk in ids]
    told = api("get", f"deals/verdicts/?ids={ids[1]},{ids[0]},{10**17}")[1]
    assert (told["count"], told["results"]) == (2, one)
    world.evaluate()
    told = api("get", "deals/verdicts/?alert=amount_empty")[1]
    assert [each["deal"]["id"] for each in told["results"]] == [ids[1]]
    assert api("get", "deals/verdicts/?page_size=1&page=2")[1]["count"] == 2


@pytest.mark.parametrize("query", ["ids=", "ids=x", "ids=1,", "ids=-1", "ids=" + ",".join(["1"] * 201), "alert=x"])
def test_a_question_that_cannot_be_answered_is_refused(world: World, query: str) -> None:
    assert Api(world)("get", f"deals/verdicts/?{query}")[0] == 422


def test_a_closed_deal_is_not_judged(world: World) -> None:
    world.deal("w", status="won")
    told = Api(world)("get", f"deals/{world.stored('w').pk}/verdicts/")[1]
    assert (told["judged"], told["verdicts"]) == (False, [])


def test_one_deal_and_many_cost_the_same_statements(world: World) -> None:
    api = Api(world)

    def statements() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert api("get", "deals/verdicts/")[0] == 200
        return len(captured)

    statements()  # the first request notes the device, too
    few = statements()
    for n in range(20):
        world.deal(f"x{n}")
    assert statements() == few


# ---- Teams


def test_a_team_is_made_read_changed_and_deleted(world: World) -> None:
    api = Api(world)
    with world.inside():
        me, you = Colleague.objects.order_by("external_id").values_list("pk", flat=True)
    status, team = api("post", TEAMS, {"name": " Nord  Est ", "members": [you, me]})
    assert (status, team["name"], team["own"]) == (201, "Nord Est", True)
    assert [member["name"] for member in team["members"]] == ["Moi", "Vous"]
    path = f"{TEAMS}{team['id']}/"
    assert api("get", path) == (200, team)
    status, told = api("patch", path, {"members": [you]})
    assert (status, [member["id"] for member in told["members"]]) == (200, [you])
    assert api("patch", path, {"name": "Sud"})[1]["name"] == "Sud"
    assert api("get", TEAMS)[1]["count"] == 1
    assert api("delete", path) == (204, None)
    assert api("get", path)[0] == 404
    assert api("get", TEAMS)[1]["count"] == 0


def test_deals_of_whoever_joins_or_leaves_are_marked_for_evaluation(world: World) -> None:
    api = Api(world)
    with world.inside():
        me = Colleague.objects.get(external_id="me").pk
    team = api("post", TEAMS, {"name": "Nord"})[1]

    def marked() -> set[str]:
        with world.inside():
            found = set(Pending.objects.values_list("deal__external_id", flat=True))
            Pending.objects.all().delete()
            return found

    assert marked() == set()
    api("patch", f"{TEAMS}{team['id']}/", {"members": [me]})
    assert marked() == {"d", "e"}
    api("delete", f"{TEAMS}{team['id']}/")
    assert marked() == {"d", "e"}


def test_a_wrong_team_is_told_by_field_and_nothing_of_it_is_saved(world: World) -> None:
    api, other = Api(world), world_now()
    with other.inside():
        stranger = Colleague.objects.get().pk
    for body, field in (
        ({"name": ""}, "name"),
        ({"name": None}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "Nord", "members": [stranger]}, "members"),
        ({"name": "Nord", "members": [10**15]}, "members"),
        ({"name": "Nord", "members": [2**63]}, "members"),
        ({"name": "Nord", "members": [True]}, "members"),
        ({"name": "Nord", "members": "me"}, "members"),
    ):
        status, told = api("post", TEAMS, body)
        assert (status, list(told["errors"])) == (422, [field])
    assert api("get", TEAMS)[1]["count"] == 0
    api("post", TEAMS, {"name": "Nord"})
    assert api("post", TEAMS, {"name": "nord"})[1]["errors"] == {"name": ["There is a team of this name already."]}


def test_a_team_of_the_crm_is_read_only(world: World) -> None:
    with world.inside():
        team = Team.objects.create(
            organisation=world.organisation, source=world.source, external_id="7", name="From the CRM"
        )
    api, path = Api(world), f"{TEAMS}{team.pk}/"
    assert api("get", path)[1]["own"] is False
    for method, body in (("patch", {"name": "Mine"}), ("patch", {"members": []}), ("delete", None)):
        assert api(method, path, body)[0] == 422
    assert api("get", path)[1]["name"] == "From the CRM"
