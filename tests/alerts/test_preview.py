"""What a draft would do: the same as saving it and looking at the list, but nothing is written."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.tenancy import tenant
from alerts import engine
from alerts import settings as alert_settings
from alerts.models import Alert
from alerts.preview import AT_RISK, CHANGES, COUNTS, preview, preview_deals
from alerts.rules import RULES
from deals.models import Deal, Pipeline, Team, TeamMember
from deals.records import ColleagueRecord, PipelineRecord, StageRecord
from tests.api import Api
from tests.pages import world_now
from tests.world import World

pytestmark = pytest.mark.django_db
PREVIEW = "alerts/settings/preview/"
QUIET = {rule.kind: {"enabled": False} for rule in RULES}
KINDS = (AT_RISK, *(rule.kind for rule in RULES))


@pytest.fixture
def world() -> World:
    """Deals d0 to d20, without interaction for as many days, in two currencies; every third is another pipeline's."""
    w = world_now()
    w.first_synced()
    w.write(
        pipelines=[PipelineRecord("q", "Partners", 2)],
        stages=[StageRecord("t1", "q", "Start", 1)],
        colleagues=[ColleagueRecord("you", "Vous", "you@vigie.example", True)],
    )
    first = w.deal("d0", created_at=w.at(0))
    w.write(
        deals=[
            replace(
                first,
                external_id=f"d{n}",
                created_at=w.at(n),
                stage_entered_at=w.at(n),
                amount=None if n == 13 else Decimal(100 + n),
                currency="USD" if n % 2 else "EUR",
                owner="you" if n % 5 == 0 else "me",
                pipeline="q" if n % 3 == 0 else "p",
                stage="t1" if n % 3 == 0 else "s1",
            )
            for n in range(21)
        ]
    )
    w.contact("ana", "CEO", ("Champion",))
    for n in (4, 8, 12):
        w.on_deal("ana", ref=f"d{n}", created_at=w.at(n), updated_at=w.at(0))
    w.evaluate()
    return w


def draft(**rules: Any) -> dict[str, Any]:
    return {"rules": QUIET | {kind: {"enabled": True} | said for kind, said in rules.items()}}


def effects(w: World, raw: dict[str, Any]) -> dict[str, dict[str, tuple[int, dict[str, Decimal]]]]:
    with w.inside():
        found = preview(w.organisation, alert_settings.clean(w.organisation, raw), w.clock)
    return {kind: {c: (f.deals, f.amounts) for c, f in effect.items()} for kind, effect in found.items()}


def in_list(w: World) -> dict[str, set[int]]:
    """The open deals that have an alert of each kind, and any."""
    with w.inside():
        rows = Alert.objects.filter(resolved_at=None, deal__in=w.organisation.deals.open()).values_list("kind", "deal")
        found: dict[str, set[int]] = {kind: set() for kind in KINDS}
        for kind, deal in rows:
            found[kind].add(deal)
            found[AT_RISK].add(deal)
        return found


def by_currency(w: World, ids: set[int]) -> tuple[int, dict[str, Decimal]]:
    amounts: dict[str, Decimal] = {}
    with w.inside():
        for deal in Deal.objects.filter(pk__in=ids):
            amounts[deal.currency] = amounts.get(deal.currency, Decimal(0)) + (deal.amount or 0)
    return len(ids), amounts


def variants(w: World) -> list[dict[str, Any]]:
    with w.inside():
        pipelines = list(Pipeline.objects.order_by("pk").values_list("pk", flat=True))
        team = Team.objects.create(organisation=w.organisation, name="Vous")
        colleague = w.organisation.colleagues.get(external_id="you")
        TeamMember.objects.create(organisation=w.organisation, team=team, colleague=colleague)
    override = {"name": "x", "pipelines": pipelines[1:], "teams": [], "rules": {"no_activity": {"days": 2}}}
    teams = {"name": "y", "pipelines": [], "teams": [team.pk], "rules": {"deal_too_old": {"enabled": False}}}
    return [
        {},
        draft(),
        draft(no_activity={"days": 10}, deal_too_old={"days": 15}),
        draft(no_activity={"days": 1}),
        draft(key_role={"roles": {"champion": 5, "decision maker": 5}}),
        draft(no_activity={"days": 12}) | {"overrides": [override, teams]},
        draft(no_activity={"days": 12}, deal_too_old={"days": 3}) | {"overrides": [teams, override]},
        {"pipelines": pipelines[:1]},
        {"business_days": True},
    ]


def test_a_preview_is_what_saving_would_make_of_the_list(world: World) -> None:
    """Draft after draft is previewed, saved and evaluated; every number is the one that the list then shows."""
    changed: set[str] = set()
    for raw in variants(world):
        before, told = in_list(world), effects(world, raw)
        with world.inside():
            version = alert_settings.current(world.organisation).version
            alert_settings.save(world.organisation, raw, None, world.clock, version)
        world.evaluate()
        after = in_list(world)
        for kind in KINDS:
            was, will_be = before[kind], after[kind]
            sets = {"now": was, "after": will_be, "flagged": will_be - was, "cleared": was - will_be}
            assert told[kind] == {change: by_currency(world, ids) for change, ids in sets.items()}
            changed |= {change for change, ids in sets.items() if ids}
    assert changed == set(CHANGES)


def test_nothing_is_written(world: World) -> None:
    before = in_list(world)
    with world.inside():
        alerts = list(Alert.objects.order_by("pk").values())
    effects(world, draft(no_activity={"days": 1}))
    with world.inside():
        assert list(Alert.objects.order_by("pk").values()) == alerts
        assert alert_settings.current(world.organisation).version == 0
    assert in_list(world) == before


@pytest.mark.parametrize(("days", "deals"), [(19, 2), (20, 1), (21, 0)])
def test_the_limit_itself_counts(world: World, days: int, deals: int) -> None:
    assert effects(world, draft(no_activity={"days": days}))["no_activity"]["after"][0] == deals


def test_deals_of_a_source_that_was_never_read_to_the_end_are_left_out(world: World) -> None:
    with world.inside():
        Alert.objects.all().delete()
        world.source.first_synced_at = None
        world.source.save()
    assert effects(world, {})[AT_RISK] == {change: (0, {}) for change in CHANGES}


def test_the_deals_behind_each_number_are_as_many_and_the_largest_first(world: World) -> None:
    raw = draft(no_activity={"days": 3}, amount_empty={})
    told = effects(world, raw)
    for kind in KINDS:
        for change in CHANGES:
            with world.inside():
                cleaned = alert_settings.clean(world.organisation, raw)
                count, ids = preview_deals(world.organisation, cleaned, world.clock, kind, change, slice(0, 100))
                values = [deal.value for deal in map(Deal.objects.in_bulk(ids).get, ids)]
            assert (count, len(ids)) == (told[kind][change][0],) * 2
            assert values == sorted(values, key=lambda value: (value is None, -(value or 0)))


def test_one_deal_and_many_cost_the_same_statements(world: World) -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as captured:
            effects(world, draft(no_activity={"days": 2}))
        return len(captured)

    many = statements()
    with tenant(world.organisation):
        Deal.objects.exclude(external_id="d1").delete()
    assert statements() == many


def test_the_evidence_that_nobody_will_read_is_not_made(world: World) -> None:
    with world.inside(), connection.cursor() as cursor:
        given = alert_settings.clean(world.organisation, {})
        deals = world.organisation.deals.open()
        sql, params = engine.statement(world.organisation, deals, world.clock, COUNTS, draft=given)
        cursor.execute(f"EXPLAIN VERBOSE {sql}", params | {"kinds": 1})
        plan = "\n".join(line for [line] in cursor.fetchall())
    assert "CTE after" in plan
    assert "jsonb_build_object" not in plan


# ---- By the API


def test_a_member_sees_the_effect_of_a_draft_per_rule_and_in_all(world: World) -> None:
    status, told = Api(world, role="rep")("post", PREVIEW, draft(no_activity={"days": 19}))
    assert status == 200
    assert [rule["kind"] for rule in told["rules"]] == [rule.kind for rule in RULES]
    [no_activity] = [rule for rule in told["rules"] if rule["kind"] == "no_activity"]
    assert no_activity["title"] == "No activity"
    assert told["value_currency"] == "EUR"
    amounts = {"EUR": "120.00", "USD": "119.00"}
    assert no_activity["after"] == {"deals": 2, "amounts": amounts, "value": "120.00", "without_rate": {"USD": 1}}
    assert no_activity["flagged"] == {"deals": 0, "amounts": {}, "value": "0.00", "without_rate": {}}
    assert told["at_risk"]["after"] == no_activity["after"]


def test_the_list_behind_a_number_comes_in_pages(world: World) -> None:
    api, path, ids = Api(world), f"{PREVIEW}?change=after&kind=no_activity&page_size=7", []
    while path:
        status, told = api("post", path, draft(no_activity={"days": 3}))
        assert (status, told["count"]) == (200, 18)
        ids += [deal["id"] for deal in told["results"]]
        path = told["next"]
    assert len(set(ids)) == 18
    first = api("post", f"{PREVIEW}?change=after", draft(no_activity={"days": 3}))[1]
    assert first["results"][0]["amount"] == "1000.00"
    assert first["results"][0]["page"] == f"/deals/{ids[0]}/"


def test_a_wrong_draft_or_question_is_told_by_path(world: World) -> None:
    api = Api(world)
    status, told = api("post", PREVIEW, {"rules": {"no_activity": {"days": 0}}})
    assert (status, list(told["errors"])) == (422, ["rules.no_activity.days"])
    for query, path in (("change=gone", "change"), ("kind=no_activity", "change"), ("kind=x&change=now", "kind")):
        status, told = api("post", f"{PREVIEW}?{query}", {})
        assert (status, list(told["errors"])) == (422, [path])
