"""Alert analytics: weeks, rules, reps and teams, each number with what it is a part of."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from accounts.tenancy import tenant
from alerts.models import Alert, Feedback, Run
from deals.clock import Clock
from deals.models import Colleague, Deal, Pipeline, Team, TeamMember
from deals.records import ColleagueRecord, PipelineRecord, StageRecord
from tests.pages import log_in, world_now
from tests.world import NOON, World
from workplace.analytics import PERIODS, Line, Period, Report, analytics, read_period
from workplace.scope import read_scope

pytestmark = pytest.mark.django_db


def reader() -> User:
    return User.objects.get_or_create(email="reader@vigie.example")[0]


class History(World):
    """A world whose alerts are written as they would have been: opened and resolved at given moments.

    Today is Sunday 22 November 2026, in week 47.
    """

    def alert(
        self,
        opened: datetime,
        resolved: datetime | None = None,
        reason: str = "fact_changed",
        kind: str = "no_activity",
        deal: str = "d",
    ) -> Alert:
        with self.inside():
            return Alert.objects.create(
                organisation=self.organisation,
                deal=Deal.objects.get(organisation=self.organisation, external_id=deal),
                kind=kind,
                subject=str(next(self.numbers)),
                holds_since=opened.date(),
                opened_at=opened,
                evidence={},
                basis="x",
                resolved_at=resolved,
                reason=reason if resolved else "",
            )

    def report(self, asked: str = "", clock: Clock | None = None) -> Report:
        clock, data = clock or self.clock, QueryDict(asked)
        with self.inside():
            scope = read_scope(self.organisation, reader(), data)
            return analytics(self.organisation, read_period(data, clock), scope, clock)

    def line(self, label: str, table: str = "rules", asked: str = "") -> Line:
        [found] = [t for t in self.report(asked).tables if t.name == table]
        return next(line for line in found.lines if line.label == label)


@pytest.fixture
def world() -> History:
    w = History()
    w.deal()
    return w


def opened(report: Report) -> dict[int, int]:
    """By number of the week, where there are any."""
    return {week.first.isocalendar().week: week.total for week in report.weeks if week.total}


# ---- Weeks


def test_alerts_are_counted_in_the_week_in_which_they_were_opened(world: History) -> None:
    for days in (0, 6, 7, 13, 14):
        world.alert(world.at(days))
    assert opened(world.report()) == {47: 2, 46: 2, 45: 1}


def test_families_are_counted_apart(world: History) -> None:
    for kind in ("no_activity", "no_meeting", "key_role", "stuck_in_stage"):
        world.alert(world.at(1), kind=kind)
    assert world.report().weeks[-1].opened == [2, 1, 1]


def test_a_week_ends_at_the_midnight_of_the_organisation(world: History) -> None:
    """Sunday 23:59 in Paris is week 46, a minute later it is week 47: both are Sunday in UTC."""
    world.alert(datetime(2026, 11, 15, 22, 59, tzinfo=UTC))
    world.alert(datetime(2026, 11, 15, 23, 0, tzinfo=UTC))
    assert opened(world.report()) == {46: 1, 47: 1}


@pytest.mark.parametrize(
    ("monday", "before", "after"),
    [
        # The clocks change in the night to the Sunday before: the week has 167 or 169 hours.
        (date(2026, 3, 30), "2026-03-29T21:59:59+00:00", "2026-03-29T22:00:00+00:00"),
        (date(2026, 10, 26), "2026-10-25T22:59:59+00:00", "2026-10-25T23:00:00+00:00"),
    ],
)
def test_a_week_in_which_the_clocks_change_ends_at_midnight_too(monday: date, before: str, after: str) -> None:
    w = History(now=datetime.combine(monday, NOON.timetz()))
    w.deal()
    w.alert(datetime.fromisoformat(before))
    w.alert(datetime.fromisoformat(after))
    assert [week.total for week in w.report().weeks[-2:]] == [1, 1]
    [first, second] = [
        w.report(f"from={monday - timedelta(days=days)}&to={monday - timedelta(days=days)}").total.opened
        for days in (1, 0)
    ]
    assert (first, second) == (1, 1)


def test_the_year_ends_inside_a_week() -> None:
    w = History(now=datetime(2027, 1, 5, 12, tzinfo=UTC))
    w.deal()
    w.alert(datetime(2026, 12, 31, 12, tzinfo=UTC))
    w.alert(datetime(2027, 1, 2, 12, tzinfo=UTC))
    report = w.report()
    assert [week.label for week in report.weeks[-2:]] == ["W53", "W1"]
    assert [week.total for week in report.weeks[-2:]] == [2, 0]


def test_the_other_side_of_the_world_has_weeks_of_its_own() -> None:
    w = History(now=datetime(2026, 11, 22, 12, tzinfo=UTC), zone="Pacific/Kiritimati")  # Monday there already
    w.deal()
    w.alert(datetime(2026, 11, 22, 9, 59, tzinfo=UTC))
    w.alert(datetime(2026, 11, 22, 10, 0, tzinfo=UTC))
    assert opened(w.report()) == {47: 1, 48: 1}


def test_open_at_the_end_of_a_week_counts_what_was_opened_before_and_not_yet_resolved(world: History) -> None:
    world.alert(world.at(120))  # before the period, open until today
    world.alert(world.at(120), world.at(100))  # gone before it
    world.alert(world.at(120), world.at(10))  # gone in week 46
    world.alert(world.at(20), world.at(1))  # opened in week 45, gone in week 47
    ends = {week.first.isocalendar().week: week.total_open for week in world.report().weeks}
    assert [ends[n] for n in (36, 44, 45, 46, 47)] == [2, 2, 3, 2, 1]
    # A period that is over shows what was open then.
    past = world.report("from=2026-11-02&to=2026-11-15").weeks
    assert [week.total_open for week in past] == [3, 2]
    assert [week.resolved for week in past] == [0, 1]


def test_what_is_open_now_is_what_is_stored(world: History) -> None:
    for n in range(9):
        world.alert(world.at(n * 13), world.at(n) if n % 3 == 0 and n else None)
    with world.inside():
        stored = Alert.objects.filter(resolved_at=None).count()
    for weeks in PERIODS:
        assert world.report(f"weeks={weeks}").weeks[-1].total_open == stored


def test_weeks_before_the_first_evaluation_are_unknown_and_not_zero(world: History) -> None:
    world.alert(world.at(20))
    report = world.report()
    assert report.began == world.day(20)
    assert report.began_inside
    assert [week.opened is None for week in report.weeks] == [True] * 9 + [False] * 3
    assert report.opened_chart.blank == "75.000%"


def test_an_evaluation_that_found_nothing_is_the_first_one_too(world: History) -> None:
    with world.inside():
        Run.objects.create(organisation=world.organisation, cause=Run.Cause.DAILY, key="x", started_at=world.at(30))
    assert world.report().began == world.day(30)
    assert world.report().weeks[-1].opened == [0, 0, 0]


# ---- Rules


def test_a_share_is_of_the_alerts_opened_at_least_fourteen_days_ago(world: History) -> None:
    """Both days count: opened 14 days ago is old enough, resolved on the 14th day is soon enough."""
    for days in (14, 15, 16, 20, 30):
        world.alert(world.at(days))
    world.alert(world.at(28), world.at(14))  # 14 days
    world.alert(world.at(29), world.at(14))  # 15 days
    world.alert(world.at(13), world.at(12))  # resolved, but too young to be counted
    line = world.line("No activity")
    assert (line.opened, line.ripe, line.soon) == (8, 7, 1)
    assert line.share_soon == "14%"


def test_days_are_local_dates(world: History) -> None:
    """Opened a minute before midnight and resolved two weeks later at noon: 15 days, though not 15 times 24 hours."""
    for _ in range(5):
        world.alert(datetime(2026, 10, 1, 21, 59, tzinfo=UTC), datetime(2026, 10, 16, 10, tzinfo=UTC))
    assert world.line("No activity").soon == 0
    assert world.line("No activity").median_days == 15


def test_what_made_them_go_are_shares_of_the_same(world: History) -> None:
    for reason in ("fact_changed", "fact_changed", "won", "settings_changed"):
        world.alert(world.at(30), world.at(25), reason)
    world.alert(world.at(30), world.at(2), "lost")  # too late
    world.alert(world.at(30))
    line = world.line("No activity")
    assert line.reasons == {"fact_changed": 2, "won": 1, "settings_changed": 1}
    assert line.share_soon == "67%"
    assert line.by_what == [
        "the facts changed\u00a033%",
        "the settings changed\u00a017%",
        "the deal was won\u00a017%",
    ]


def test_medians_tell_resolved_and_open_ones_apart(world: History) -> None:
    for days in (1, 2, 3, 9, 40):
        world.alert(world.at(60), world.at(60 - days))
    for days in (5, 6, 7, 8, 9):
        world.alert(world.at(days))
    line = world.line("No activity")
    assert (line.resolved, line.median) == (5, "3\u00a0days")
    assert (line.still_open, line.median_open) == (5, "7\u00a0days")


def test_below_five_no_share_and_no_median_is_given(world: History) -> None:
    for days in (20, 30, 40, 50):
        world.alert(world.at(days), world.at(days - 1))
    line = world.line("No activity")
    assert (line.ripe, line.share_soon, line.median, line.share_of_deals) == (4, "", "", "")
    world.alert(world.at(60), world.at(59))
    line = world.line("No activity")
    assert (line.share_soon, line.median) == ("100%", "1\u00a0day")


def test_only_alerts_opened_in_the_period_are_spoken_of(world: History) -> None:
    for days in (84, 83, 7, 0):
        world.alert(world.at(days))
    assert world.line("No activity").opened == 3, "Monday 31 August is 83 days ago"
    assert world.line("No activity", asked="from=2026-11-09&to=2026-11-15").opened == 1


def test_deals_flagged_now_are_those_of_the_list_and_their_share_is_of_open_deals() -> None:
    w = History()
    for n in range(6):
        w.deal(f"d{n}", amount=None if n < 2 else 5, close_on=w.day(1 if n == 0 else -30))
    w.deal("won", status="won", amount=None)
    w.evaluate()
    empty, report = w.line("Amount empty"), w.report()
    assert (empty.deals, empty.of, empty.share_of_deals) == (2, 6, "33%")
    assert w.line("Close date passed").deals == 1
    with w.inside():
        assert report.total.deals == w.organisation.deals.open().filter(alert_mask__gt=0).count()


def test_pipelines_that_are_not_watched_are_no_part_of_the_share() -> None:
    w = History()
    w.write(pipelines=[PipelineRecord("q", "Q", 2)], stages=[StageRecord("t", "q", "T", 1)])
    w.deal("d1")
    w.deal("d2", pipeline="q", stage="t")
    with w.inside():
        w_pipeline = Pipeline.objects.get(external_id="p").pk
    w.configure(pipelines=[w_pipeline])
    w.evaluate()
    assert w.report().total.of == 1


def test_opinions_are_counted_for_the_alerts_of_the_period(world: History) -> None:
    alerts = [world.alert(world.at(days)) for days in (3, 4, 200)]
    people = [User.objects.create_user(f"{n}@vigie.example") for n in range(2)]
    with world.inside():
        mine = {"organisation": world.organisation, "given_at": world.clock.now}
        for alert in alerts:
            for n, user in enumerate(people):
                Feedback.objects.create(**mine, alert=alert, user=user, useful=bool(n) or alert == alerts[0])
    line = world.line("No activity")
    assert (line.useful, line.false) == (3, 1)


# ---- Reps and teams


@pytest.fixture
def sellers() -> History:
    """Deals of "me", of "you" (in the team Nord) and of nobody; the third is in another pipeline."""
    w = History()
    w.write(
        colleagues=[ColleagueRecord("you", "Vous", "you@vigie.example", True)],
        pipelines=[PipelineRecord("q", "Partners", 2)],
        stages=[StageRecord("t1", "q", "Start", 1)],
    )
    w.deal("mine")
    w.deal("yours", owner="you")
    w.deal("nobodys", owner=None, pipeline="q", stage="t1")
    with w.inside():
        team = Team.objects.create(organisation=w.organisation, name="Nord")
        you = Colleague.objects.get(external_id="you")
        TeamMember.objects.create(organisation=w.organisation, team=team, colleague=you)
    for deal, count in (("mine", 1), ("yours", 2), ("nobodys", 3)):
        for _ in range(count):
            w.alert(w.at(3), deal=deal)
    return w


def test_reps_and_teams_are_told_apart_and_nobody_comes_last(sellers: History) -> None:
    tables = {table.name: [(line.label, line.opened) for line in table.lines] for table in sellers.report().tables}
    assert tables["reps"] == [("Moi", 1), ("Vous", 2), ("No owner", 3)]
    assert tables["teams"] == [("Nord", 2)]
    assert sellers.report().total.opened == 6


def test_owner_team_and_pipeline_narrow_everything(sellers: History) -> None:
    with sellers.inside():
        you, team = Colleague.objects.get(external_id="you").pk, Team.objects.get().pk
        partners = Pipeline.objects.get(external_id="q").pk
    for asked, expected in (
        (f"owner={you}", 2),
        ("owner=none", 3),
        ("owner=me", 0),
        (f"team={team}", 2),
        (f"pipeline={partners}", 3),
        (f"team={team}&pipeline={partners}", 0),
        (f"owner={you}&team={team}", 2),
    ):
        report = sellers.report(asked)
        assert (report.total.opened, report.weeks[-1].total_open) == (expected, expected), asked
        assert report.total.of == (1 if expected else 0), asked


def test_another_organisation_is_not_counted(world: History) -> None:
    other = History()
    other.deal()
    other.alert(other.at(1))
    assert world.report().total.opened == 0
    assert world.report().began is None


def test_the_number_of_statements_does_not_depend_on_the_number_of_alerts(world: History) -> None:
    counts, someone = [], reader()
    for many in (1, 3, 30):
        for n in range(many):
            world.alert(world.at(n), world.at(n) if n % 2 else None)
        with tenant(world.organisation), CaptureQueriesContext(connection) as asked:
            data = QueryDict()
            scope = read_scope(world.organisation, someone, data)
            analytics(world.organisation, read_period(data, world.clock), scope, world.clock)
        counts.append(len(asked))
    assert counts[0] == counts[1] == counts[2] <= 6


# ---- The period


@pytest.mark.parametrize(
    ("asked", "first", "last", "told"),
    [
        ("", "2026-08-31", "2026-11-22", False),
        ("weeks=26", "2026-05-25", "2026-11-22", False),
        ("weeks=52", "2025-11-24", "2026-11-22", False),
        ("weeks=13", "2026-08-31", "2026-11-22", True),
        ("weeks=%00", "2026-08-31", "2026-11-22", True),
        ("from=2026-11-04&to=2026-11-11", "2026-11-02", "2026-11-15", False),
        ("from=2026-11-04", "2026-11-02", "2026-11-22", False),
        ("to=2026-11-11", "2026-08-24", "2026-11-15", False),
        ("from=2026-11-11&to=2026-11-04", "2026-08-31", "2026-11-22", True),
        ("from=2026-02-30", "2026-08-31", "2026-11-22", True),
        ("from=9999-12-31", "2026-08-31", "2026-11-22", True),
        ("to=9999-12-31", "2026-08-31", "2026-11-22", False),
        ("from=0001-01-01&to=0001-01-07", "2026-08-31", "2026-11-22", True),
        ("from=2000-01-03&to=2000-01-04", "2000-01-03", "2000-01-09", False),
        ("to=2000-01-04", "1999-10-18", "2000-01-09", False),
        ("from=2010-01-01&to=2026-11-22", "2024-11-25", "2026-11-22", True),
        ("from=" + "9" * 5000, "2026-08-31", "2026-11-22", True),
    ],
)
def test_a_period_is_whole_weeks_and_what_cannot_be_shown_is_told(
    asked: str, first: str, last: str, told: bool
) -> None:
    period = read_period(QueryDict(asked), Clock(NOON, ZoneInfo("Europe/Paris")))
    assert (period.first.isoformat(), period.last.isoformat()) == (first, last)
    assert bool(period.refused) == told


def test_the_address_of_a_period_leads_to_it_again() -> None:
    clock = Clock(NOON, ZoneInfo("Europe/Paris"))
    for asked in ("", "weeks=26", "from=2026-11-04&to=2026-11-11"):
        period = read_period(QueryDict(asked), clock)
        query = QueryDict(mutable=True)
        query.update(dict(period.params))
        assert read_period(query, clock) == Period(period.first, period.weeks, period.chosen)


# ---- The page


@pytest.fixture
def seen() -> World:
    """Today's deals, as a page shows them."""
    w = world_now()
    w.first_synced()
    for n in range(8):
        w.deal(f"d{n}", title=f"Deal {n}", created_at=w.at(9 + n), amount=None if n % 2 else 7)
    w.evaluate()
    return w


def page(world: World, asked: str = "", **options: Any) -> str:
    answer = log_in(world, **options).get(f"/analytics/{asked}")
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_page_shows_pictures_and_the_same_numbers_as_a_table(seen: World) -> None:
    html = page(seen)
    assert html.count('role="img"') == 2
    with seen.inside():
        count = Alert.objects.count()
    assert f"{count} alerts opened" in html
    week = re.search(r"\(so far\)</span></th>(.*?)</tr>", html.replace("\n", ""))[1]
    assert f"<strong>{count}</strong>" in week
    assert "Vigie first evaluated your deals on" in html


def test_every_share_says_what_it_is_of(seen: World) -> None:
    html = page(seen)
    assert "50% of 8 open deals" in html
    assert "too few: 0 opened at least 14 days ago" in html


def test_a_number_of_deals_leads_to_them_in_the_list(seen: World) -> None:
    client = log_in(seen)
    html = client.get("/analytics/").content.decode()
    found = re.search(r'<a href="(/deals/\?alert=amount_empty)">(\d+)</a>', html)
    assert client.get(found[1]).content.decode().count("data-row") == int(found[2]) == 4


def test_the_list_behind_a_number_has_the_filters_of_the_page(seen: World) -> None:
    with seen.inside():
        team = Team.objects.create(organisation=seen.organisation, name="Nord")
        me = Colleague.objects.get(external_id="me")
        TeamMember.objects.create(organisation=seen.organisation, team=team, colleague=me)
        pipeline = Pipeline.objects.get(external_id="p").pk
    seen.deal("other", owner=None, amount=None)
    seen.evaluate()
    client = log_in(seen, email="me@vigie.example")
    for asked in (f"owner={me.pk}", "owner=me", "owner=none", f"team={team.pk}&pipeline={pipeline}"):
        html = client.get(f"/analytics/?{asked}").content.decode()
        found = re.search(r'<a href="(/deals/[^"]*alert=amount_empty[^"]*)">(\d+)</a>', html)
        rows = client.get(found[1].replace("&amp;", "&")).content.decode().count("data-row")
        assert rows == int(found[2]) == (1 if asked == "owner=none" else 4), asked


def test_in_french_numbers_and_words_are_french(seen: World) -> None:
    html = page(seen, language="fr")
    assert re.search(r"50\s% des 8\sdeals ouverts", html)
    assert re.search(r">S\d\d?</text>", html)
    assert not re.search(r'(?:x|y|width|height)="[\d.]*,', html), "coordinates are no French numbers"


def test_without_an_evaluation_the_page_says_what_to_do() -> None:
    assert "Connect your CRM" in page(world_now())


@pytest.mark.parametrize(
    "asked",
    [
        "?weeks=0&from=x&to=y&owner=z&team=1&pipeline=2",
        "?weeks=" + "9" * 5000,
        "?owner=%00&team=%F0%9F%98%80",
        "?from=2026-13-01",
        "?owner=1&owner=2",
        "?pipeline=99999999999999999999999",
    ],
)
def test_whatever_stands_in_the_address_the_page_is_shown(seen: World, asked: str) -> None:
    assert 'class="note warn"' in page(seen, asked)


def test_a_change_of_filter_gets_the_report_and_its_address(seen: World) -> None:
    answer = log_in(seen).get("/analytics/?weeks=26&owner=none&from=&to=", headers={"hx-request": "true"})
    assert answer["HX-Push-Url"] == "/analytics/?weeks=26&owner=none"
    assert answer.content.decode().lstrip().startswith('<div id="report">')


def test_names_from_the_crm_are_text(seen: World) -> None:
    seen.write(colleagues=[ColleagueRecord("me", "<script>alert(1)</script>\u202e😀" + "x" * 5000, "", True)])
    html = page(seen)
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert len(html) < 120_000


def test_every_member_may_read_it_and_nobody_post_to_it(seen: World) -> None:
    client = log_in(seen, "rep")
    assert client.get("/analytics/").status_code == 200
    assert client.post("/analytics/").status_code == 405
