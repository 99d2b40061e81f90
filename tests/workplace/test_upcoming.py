"""Coming alerts: what fires in the next two weeks if nothing happens, as a set and as a page."""

import re
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.tenancy import tenant
from alerts import engine
from alerts.coming import DAYS, Coming, coming
from alerts.models import Snooze
from deals.clock import Clock
from deals.models import Colleague, Deal, Pipeline, Team, TeamMember
from deals.records import ColleagueRecord, PipelineRecord, StageRecord
from tests.pages import log_in, world_now
from tests.world import World

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    """Deals d0 to d20, created as many days ago and without interaction since; every fifth is another rep's."""
    w = world_now()
    w.first_synced()
    w.write(
        colleagues=[ColleagueRecord("you", "Vous", "you@vigie.example", True)],
        pipelines=[PipelineRecord("q", "Partners", 2)],
        stages=[StageRecord("t1", "q", "Start", 1)],
    )
    first = w.deal("d0", created_at=w.at(0))
    others = [
        replace(
            first,
            external_id=f"d{n}",
            title=f"Deal {n}",
            created_at=w.at(n),
            stage_entered_at=w.at(n // 2),
            owner="you" if n % 5 == 0 else "me",
            pipeline="q" if n % 4 == 0 else "p",
            stage="t1" if n % 4 == 0 else "s1",
            amount=Decimal(100 * n),
            close_on=w.day(-n),
        )
        for n in range(1, 21)
    ]
    w.write(deals=others)
    w.contact("ana", "", ("Champion",))
    w.on_deal("ana", ref="d7", title="Deal 7", created_at=w.at(7), updated_at=w.at(0))
    w.activity("call", 3, "ana", deal="d7")
    w.activity("call", 9, "ana", deal="d7")
    w.configure(key_role={"roles": {"champion": 8}})
    w.evaluate()
    return w


def said(w: World, clock: Clock | None = None, **asked: object) -> Coming:
    with w.inside():
        return coming(w.organisation, w.organisation.deals.all(), clock or w.clock, limit=1000, **asked)  # type: ignore[arg-type]


def pairs(found: Coming) -> set[tuple[int, str, str, date]]:
    return {(due.deal, rule.kind, subject, due.on) for due in found.due for rule, subject in due.alerts}


def later(clock: Clock, days: int) -> Clock:
    """Noon, some local days on."""
    day = clock.today + timedelta(days=days)
    return replace(clock, now=datetime(day.year, day.month, day.day, 12, tzinfo=clock.zone))


# ---- What is due


def test_it_says_what_each_deal_page_says_of_rules_that_are_clear(world: World) -> None:
    with world.inside():
        found = engine.verdicts(world.organisation, world.organisation.deals.all(), world.clock)
        expected = {
            (pk, verdict.rule.kind, verdict.subject, verdict.on)
            for pk, verdicts in found
            for verdict in verdicts
            if verdict.outcome == "clear" and verdict.on and verdict.on <= world.day(-DAYS)
        }
    assert {kind for _pk, kind, _subject, _on in expected} >= {"no_activity", "stuck_in_stage", "close_date_passed"}
    assert ("key_role", "champion") in {(kind, subject) for _pk, kind, subject, _on in expected}
    assert pairs(said(world)) == expected


def test_if_nothing_happens_it_comes_on_its_day(world: World) -> None:
    """Evaluated on each of the days, exactly what was said opens."""
    expected = pairs(said(world))
    came = set()
    for n in range(1, DAYS + 1):
        clock = later(world.clock, n)
        with world.inside():
            engine.evaluate(world.organisation, Deal.objects.filter(organisation=world.organisation), clock)
            opened = world.organisation.alerts.filter(opened_at=clock.now)
            came |= {(a.deal_id, a.kind, a.subject, clock.today) for a in opened}
    assert came == expected


def test_working_days_are_counted_where_the_settings_count_them(world: World) -> None:
    plain = said(world)
    world.configure(business_days=True)
    working = said(world)
    days = {due.on.weekday() for due in working.due if any(rule.kind == "no_activity" for rule, _ in due.alerts)}
    assert pairs(working) != pairs(plain)
    assert days <= {0, 1, 2, 3, 4}


def test_rules_of_a_deal_and_day_are_one_entry_with_critical_ones_first(world: World) -> None:
    world.configure(no_activity={"days": 30}, deal_too_old={"days": 30})
    [due] = [due for due in said(world).due if due.title == "Deal 20" and due.on == world.day(-10)]
    assert [rule.kind for rule, _subject in due.alerts] == ["no_activity", "power_map", "deal_too_old"]


def test_what_is_muted_or_snoozed_beyond_the_day_is_left_out(world: World) -> None:
    before = pairs(said(world))
    kind, deal = "no_activity", world.stored("d5")
    on = next(on for pk, rule, _subject, on in before if pk == deal.pk and rule == kind)
    with world.inside():
        mine = {"organisation": world.organisation, "deal": deal, "kind": kind, "created_at": world.clock.now}
        row = Snooze.objects.create(**mine, until_on=on)
    assert pairs(said(world)) == before, "it wakes on the morning of its day"
    for until in (on + timedelta(days=1), None):
        row.until_on = until
        with world.inside():
            row.save()
        assert before - pairs(said(world)) == {(deal.pk, kind, "", on)}
    row.ended_at = world.clock.now
    with world.inside():
        row.save()
    assert pairs(said(world)) == before


def test_closed_deals_and_pipelines_that_are_not_watched_have_nothing_to_come(world: World) -> None:
    world.deal("d3", title="Deal 3", status="won", updated_at=world.at(0))
    with world.inside():
        watched = Pipeline.objects.get(external_id="p").pk
        partners = set(Deal.objects.filter(pipeline__external_id="q").values_list("pk", flat=True))
    world.configure(pipelines=[watched])
    deals = {due.deal for due in said(world).due}
    assert deals
    assert not deals & {world.stored("d3").pk, *partners}


def test_before_the_first_synchronisation_nothing_is_foretold() -> None:
    w = world_now()
    w.deal()
    assert said(w) == Coming([], [])
    w.first_synced()
    assert said(w).due


def test_another_organisation_has_its_own_days(world: World) -> None:
    other = world_now()
    other.first_synced()
    other.deal(title="Theirs")
    assert {due.title for due in said(other).due} == {"Theirs"}
    assert "Theirs" not in {due.title for due in said(world).due}
    with world.inside():
        assert coming(world.organisation, other.organisation.deals.all(), world.clock) == Coming([], [])


def test_the_number_of_statements_does_not_depend_on_the_number_of_deals(world: World) -> None:
    few = world_now()
    few.first_synced()
    few.deal()
    counts = []
    for w in (few, world):
        with (
            tenant(w.organisation),
            CaptureQueriesContext(
                connection,
            ) as asked,
        ):
            coming(w.organisation, w.organisation.deals.all(), w.clock)
        counts.append(len(asked))
    assert counts[0] == counts[1] == 2


def test_counts_are_of_every_rep_and_the_list_of_those_asked_for(world: World) -> None:
    with world.inside():
        you = Colleague.objects.get(external_id="you").pk
    every, some = said(world), said(world, owners=[you])
    assert some.counts == every.counts
    assert {due.owner for due in some.due} == {you}
    assert sum(count.deals for count in every.counts if count.on and count.owner == you) == len(some.due)
    assert sum(count.deals for count in every.counts if count.on) == len(every.due)


def test_a_deal_with_alerts_on_two_days_is_one_deal(world: World) -> None:
    found = said(world)
    deals = [due.deal for due in found.due]
    assert len(deals) > len(set(deals))
    assert sum(count.deals for count in found.counts if count.on is None) == len(set(deals))


def test_a_deal_without_an_owner_is_nobodys(world: World) -> None:
    world.deal("d5", title="Deal 5", owner=None, updated_at=world.at(0), created_at=world.at(5))
    assert {due.title for due in said(world, owners=[0]).due} == {"Deal 5"}


def test_a_day_is_read_page_by_page(world: World) -> None:
    world.write(
        deals=[replace(world.deal("x", created_at=world.at(5)), external_id=f"x{n}", title=f"X{n}") for n in range(7)]
    )
    on = world.day(-5)
    with world.inside():
        deals = world.organisation.deals.all()
        pages = [coming(world.organisation, deals, world.clock, on=on, skip=n, limit=3).due for n in (0, 3, 6, 9)]
    assert [len(page) for page in pages][:2] == [3, 3]
    listed = [due.deal for page in pages for due in page]
    assert len(listed) == len(set(listed))
    assert {due.on for page in pages for due in page} == {on}


@pytest.mark.parametrize("today", [date(2026, 3, 28), date(2026, 10, 24)])
def test_the_days_are_those_of_the_organisation_when_the_clocks_change(today: date) -> None:
    """The night between is an hour shorter or longer; the day is one day on all the same."""
    w = World(now=datetime(today.year, today.month, today.day, 22, 30, tzinfo=Clock.of(World().organisation).zone))
    w.first_synced()
    w.deal(created_at=w.at(9))
    assert {due.on for due in said(w).due if "no_activity" in {r.kind for r, _ in due.alerts}} == {
        today + timedelta(days=1)
    }


# ---- The page


def rows(html: str) -> list[str]:
    return re.findall(r'href="/deals/\d+/">([^<]+)</a>', html)


def test_the_page_lists_days_with_their_deals_and_reps(world: World) -> None:
    page = log_in(world).get("/upcoming/")
    html = page.content.decode()
    assert page.status_code == 200
    found = said(world)
    assert f"<strong>{len({due.deal for due in found.due})}</strong>" in html
    assert "Deal 9" in rows(html)
    assert html.count('aria-current="date"') == 0
    assert "Moi" in html
    assert "Vous" in html


def test_a_day_of_its_own_lists_that_day_alone(world: World) -> None:
    on = world.day(-1)
    html = log_in(world).get(f"/upcoming/?on={on}").content.decode()
    assert html.count('<section class="card coming"') == 1
    assert set(rows(html)) == {due.title for due in said(world).due if due.on == on}
    assert 'aria-current="date"' in html


def test_a_rep_sees_their_own_deals_first_and_everybodys_when_asked(world: World) -> None:
    client = log_in(world, "rep", "you@vigie.example")
    own = set(rows(client.get("/upcoming/").content.decode()))
    assert own
    assert own <= {f"Deal {n}" for n in (5, 10, 15, 20)}
    assert set(rows(client.get("/upcoming/?owner=all").content.decode())) > own


def test_a_manager_who_owns_deals_sees_everybodys_first(world: World) -> None:
    client = log_in(world, "manager", "you@vigie.example")
    every = set(rows(client.get("/upcoming/").content.decode()))
    assert set(rows(client.get("/upcoming/?owner=me").content.decode())) < every


def test_team_and_pipeline_narrow_days_reps_and_deals(world: World) -> None:
    with world.inside():
        team = Team.objects.create(organisation=world.organisation, name="Nord")
        you = Colleague.objects.get(external_id="you")
        TeamMember.objects.create(organisation=world.organisation, team=team, colleague=you)
        partners = Pipeline.objects.get(external_id="q").pk
    client = log_in(world)
    html = client.get(f"/upcoming/?team={team.pk}").content.decode()
    assert set(rows(html)) <= {f"Deal {n}" for n in (5, 10, 15, 20)}
    assert "owner=" + str(you.pk) in html
    both = client.get(f"/upcoming/?team={team.pk}&pipeline={partners}").content.decode()
    assert set(rows(both)) == {"Deal 20"}


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("owner=999999", "There is no owner"),
        ("owner=x%00y", "There is no owner"),
        ("team=999999999999999999999999", "There is no team"),
        ("pipeline=-1", "There is no pipeline"),
        ("on=2026-02-30", "is none of the days"),
        ("on=1999-01-01", "is none of the days"),
        ("on=9999-12-31", "is none of the days"),
        ("on=" + "9" * 5000, "is none of the days"),
        ("page=0", "There is no page"),
        ("page=-1", "There is no page"),
        ("page=²", "There is no page"),
        ("page=" + "9" * 400, "There is no page"),
    ],
)
def test_what_cannot_be_shown_is_left_out_and_told(world: World, asked: str, told: str) -> None:
    page = log_in(world).get(f"/upcoming/?{asked}")
    assert page.status_code == 200
    assert told in page.content.decode()


def test_a_page_that_is_not_there_leads_to_the_last_one(world: World) -> None:
    answer = log_in(world).get(f"/upcoming/?on={world.day(-1)}&page=7")
    assert answer.status_code == 302
    assert answer["Location"] == f"/upcoming/?on={world.day(-1)}"


def test_another_organisations_ids_are_unknown_here(world: World) -> None:
    other = world_now()
    with other.inside():
        owner = Colleague.objects.get(organisation=other.organisation).pk
        pipeline = Pipeline.objects.get(organisation=other.organisation).pk
    html = log_in(world).get(f"/upcoming/?owner={owner}&pipeline={pipeline}").content.decode()
    assert "There is no owner" in html
    assert "There is no pipeline" in html


def test_names_from_the_crm_are_text(world: World) -> None:
    nasty = "<script>alert(1)</script>" + "\u202e" + "😀" * 40 + "x" * 5000
    world.deal("d9", title=nasty, created_at=world.at(9), updated_at=world.at(0))
    world.write(colleagues=[ColleagueRecord("you", nasty, "you@vigie.example", True)])
    page = log_in(world).get("/upcoming/")
    assert page.status_code == 200
    html = page.content.decode()
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert len(html) < 200_000


def test_without_anything_to_come_the_page_says_what_to_do() -> None:
    w = world_now()
    w.first_synced()
    client = log_in(w)
    assert "Connect your CRM" in client.get("/upcoming/").content.decode()


def test_an_empty_choice_leads_back_to_everybody(world: World) -> None:
    html = log_in(world).get("/upcoming/?owner=none").content.decode()
    assert "Nothing fires in the next 14 days" in html
    assert "Show all owners" in html


def test_the_page_asks_as_much_for_one_deal_as_for_many(world: World) -> None:
    few = world_now()
    few.first_synced()
    few.deal()
    few.evaluate()
    counts = []
    for w in (few, world):
        client = log_in(w, email=f"{w.organisation.pk}@vigie.example")
        client.get("/upcoming/")
        with CaptureQueriesContext(connection) as asked:
            client.get("/upcoming/")
        counts.append(len(asked))
    assert counts[0] == counts[1]
    assert counts[0] <= 24


def test_a_change_of_filter_gets_the_part_and_its_address(world: World) -> None:
    page = log_in(world).get("/upcoming/?owner=&team=&on=", headers={"hx-request": "true"})
    assert page["HX-Push-Url"] == "/upcoming/"
    assert page.content.decode().lstrip().startswith('<div id="found">')
