"""The pipeline review: figures and changes since the last one, marks, notes, two managers, what may go wrong."""

import html
import re
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from alerts.models import Alert
from deals.clock import Clock
from deals.models import Colleague, Deal, FieldChange, Team, TeamMember
from deals.records import ColleagueRecord, CompanyRecord, StageRecord
from tests.pages import log_in, world_now
from tests.world import World
from workplace import review
from workplace.models import Note, Review, ReviewedDeal
from workplace.review import Part, ReviewQuery, Row

pytestmark = pytest.mark.django_db
PAGE = "/review/"


@pytest.fixture
def world() -> World:
    """Quiet (10 days without activity) is Moi's; calm and late are Bea's; lone is nobody's."""
    world = world_now()
    world.first_synced()
    world.write(colleagues=[ColleagueRecord("bea", "Bea", "bea@vigie.example", True)])
    world.contact("zoe")
    for ref, fields in {
        "quiet": {"created_at": world.at(12), "stage_entered_at": world.at(2), "amount": Decimal(5000)},
        "calm": {"owner": "bea", "created_at": world.at(40), "stage_entered_at": world.at(2)},
        "late": {"owner": "bea", "close_on": world.day(3), "currency": "USD", "created_at": world.at(40)},
        "lone": {"owner": None, "created_at": world.at(40), "stage_entered_at": world.at(2)},
    }.items():
        world.deal(ref, title=ref.title(), **fields)  # type: ignore[arg-type]
    for ref in ("calm", "late", "lone"):
        world.activity("meeting", -3, "zoe", deal=ref, state="planned")
        world.activity("call", 1, "zoe", deal=ref)
    world.configure(deal_too_old=False, single_contact=False, stuck_in_stage=False, no_meeting=False)
    world.evaluate()
    return world


def held(world: World, hours_ago: float = 48, **fields: Any) -> Review:
    """A review of everybody in which a deal was looked at; it began and ended `hours_ago`."""
    began = world.clock.now - timedelta(hours=hours_ago)
    with world.inside():
        mine = {"organisation": world.organisation}
        values = {"began_at": began, "ended_at": began + timedelta(minutes=40), **fields}
        found = Review.objects.create(**mine, **values)
        ReviewedDeal.objects.create(**mine, review=found, deal=Deal.objects.first(), reviewed_at=began)
    return found


def backdate(world: World, hours: float = 72) -> None:
    """All alerts so far were seen `hours` ago."""
    with world.inside():
        Alert.objects.update(opened_at=world.clock.now - timedelta(hours=hours))


def parts(client: Client, query: str = "team=all") -> dict[str, Part]:
    answer = client.get(f"{PAGE}?{query}")
    assert answer.status_code == 200
    return {part.name: part for part in answer.context["parts"]}


def row(client: Client, deal: str, query: str = "team=all") -> Row:
    rows = [row for part in parts(client, query).values() for row in (*part.rows, *part.quiet_rows)]
    return next(row for row in rows if row.deal.external_id == deal)


def changes(client: Client, deal: str, query: str = "team=all") -> list[str]:
    found = row(client, deal, query).changes
    return [" ".join(filter(None, (c.label, c.old and f"{c.old} →", c.new, c.note))) for c in found]


def text(answer: Any) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())))


def team(world: World, name: str, *refs: str) -> Team:
    with world.inside():
        mine = {"organisation": world.organisation}
        found = Team.objects.create(**mine, name=name)
        for colleague in Colleague.objects.filter(external_id__in=refs):
            TeamMember.objects.create(**mine, team=found, colleague=colleague)
    return found


def start(client: Client, team: str = "all") -> Review:
    assert client.post(f"{PAGE}start/", {"team": team}).status_code == 302
    found: Review = client.get(f"{PAGE}?team={team}").context["frame"].running
    return found


# ---- Figures and changes


def test_each_owner_has_figures_per_currency_and_nobody_comes_last(world: World) -> None:
    found = parts(log_in(world))
    assert list(found) == ["Bea", "Moi", ""]
    bea = found["Bea"].figures
    assert (bea.open, bea.at_risk, bea.came) == (2, 1, 1)
    assert (bea.sums, bea.sums_at_risk) == (["€1,000", "US$1,000"], ["US$1,000"])
    total = log_in(world).get(f"{PAGE}?team=all").context["total"]
    assert (total.open, total.at_risk, total.sums) == (4, 2, ["€7,000", "US$1,000"])


def test_deals_without_change_and_alert_are_folded_and_risk_comes_first(world: World) -> None:
    world.deal("calm", owner="bea", amount=Decimal(9000), created_at=world.at(40), updated_at=world.at(1))
    world.deal("idle", title="Idle", owner="bea", created_at=world.at(40), stage_entered_at=world.at(2))
    world.activity("call", 1, "zoe", deal="idle")
    world.evaluate()
    bea = parts(log_in(world))["Bea"]
    assert [row.deal.external_id for row in bea.rows] == ["late", "calm"]
    assert [row.deal.external_id for row in bea.quiet_rows] == ["idle"]
    assert "1 other without change" in text(log_in(world).get(f"{PAGE}?team=all"))


def test_the_first_review_tells_changes_of_two_weeks_and_says_so(world: World) -> None:
    said = text(log_in(world).get(f"{PAGE}?team=all"))
    assert "2 weeks ago, as this is the first review." in said


def test_changes_are_the_difference_between_then_and_now(world: World) -> None:
    held(world)
    fields = {"owner": "bea", "created_at": world.at(40)}
    now = world.clock.now
    for hours, change in (
        (60, {"amount": Decimal(1)}),  # before the review: then it was 1
        (20, {"amount": Decimal(700), "stage": "s2", "close_on": world.day(-40)}),
        (10, {"amount": Decimal(2000), "stage": "s1", "close_on": world.day(-97)}),
    ):
        world.deal("calm", title="Calm", updated_at=now - timedelta(hours=hours), **{**fields, **change})
    found = changes(log_in(world), "calm")
    assert found[0] == "Amount €1 → €2,000"
    assert len(found) == 2, "the stage is again what it was"
    assert found[1].startswith("Close date ")
    assert found[1].endswith("7\u00a0days later")


def test_a_close_date_that_comes_earlier_goes_or_appears_is_told(world: World) -> None:
    held(world)
    hour = timedelta(hours=1)
    fields: dict[str, Any] = {"owner": "bea", "created_at": world.at(40), "title": "Calm"}
    world.deal("calm", **fields, close_on=world.day(-60), updated_at=world.clock.now - 3 * hour)
    assert changes(log_in(world), "calm")[0].endswith("30\u00a0days earlier")
    world.deal("calm", **fields, close_on=None, updated_at=world.clock.now - 2 * hour)
    assert changes(log_in(world), "calm")[0].endswith("→ none")


def test_stage_and_owner_are_told_by_name(world: World) -> None:
    held(world)
    world.deal("calm", title="Calm", stage="s2", owner="me", created_at=world.at(40), updated_at=world.at(0, 0))
    assert changes(log_in(world), "calm") == ["Stage Demo → Offer", "Owner Bea → Moi"]


def test_alerts_that_came_and_went_are_told_and_counted(world: World) -> None:
    held(world)
    backdate(world)
    world.activity("call", 0, "zoe", deal="quiet", at=world.clock.now - timedelta(minutes=5))
    world.deal("quiet", title="Quiet", amount=None, created_at=world.at(12), stage_entered_at=world.at(2))
    world.evaluate()
    client = log_in(world)
    assert changes(client, "quiet")[0].startswith("New alert Amount empty")
    assert "Resolved alert No activity" in changes(client, "quiet")
    moi = parts(client)["Moi"].figures
    assert (moi.came, moi.went) == (1, 1)
    assert row(client, "quiet").fresh == {"amount_empty"}


def test_an_alert_that_came_back_is_no_change(world: World) -> None:
    held(world)
    backdate(world)
    for days in (30, 10):
        world.configure(no_activity={"days": days})
        world.evaluate()
    assert "No activity" not in " ".join(changes(log_in(world), "quiet"))


def test_an_alert_that_went_with_the_settings_says_so(world: World) -> None:
    held(world)
    backdate(world)
    world.configure(no_activity={"days": 30})
    world.evaluate()
    assert changes(log_in(world), "quiet") == ["Resolved alert No activity the settings changed"]


def test_a_snoozed_alert_is_not_new(world: World) -> None:
    client = log_in(world)
    assert parts(client)["Bea"].figures.came == 1
    with world.inside():
        Deal.objects.filter(external_id="late").update(alert_mask=0)
    assert parts(client)["Bea"].figures.came == 0


def test_deals_won_and_lost_since_then_are_told_and_older_ones_are_not(world: World) -> None:
    held(world)
    before, since = world.clock.now - timedelta(hours=60), world.clock.now - timedelta(hours=5)
    for ref, status, closed in (("won", "won", since), ("lost", "lost", since), ("old", "won", before)):
        world.deal(ref, title=ref, status=status, closed_at=closed, created_at=world.at(20), updated_at=closed)
    client = log_in(world)
    moi = parts(client)["Moi"]
    assert (moi.figures.won, moi.figures.lost, moi.figures.open) == (1, 1, 1)
    assert moi.figures.sums_won == ["€1,000"]
    assert [row.deal.external_id for row in moi.rows] == ["quiet", "won", "lost"]
    assert changes(client, "won")[0].startswith("Won on ")


def test_a_deal_closed_with_a_date_of_another_time_is_told_by_its_change_of_status(world: World) -> None:
    held(world)
    world.deal("calm", title="Calm", owner="bea", status="lost", closed_at=world.at(30), created_at=world.at(40),
               updated_at=world.clock.now - timedelta(hours=1))  # fmt: skip
    assert changes(log_in(world), "calm") == ["Lost"]


def test_a_new_deal_says_when_it_was_created(world: World) -> None:
    held(world)
    world.deal("fresh", title="Fresh", created_at=world.clock.now - timedelta(hours=3))
    assert changes(log_in(world), "fresh")[0].startswith("Created on ")


@pytest.mark.parametrize(("query", "days"), [("period=7", 7), ("period=30", 30)])
def test_a_period_begins_at_a_local_midnight(world: World, query: str, days: int) -> None:
    since = log_in(world).get(f"{PAGE}?team=all&{query}").context["frame"].since
    local = since.astimezone(world.clock.zone)
    assert (local.date(), local.hour) == (world.day(days), 0)


def test_a_chosen_date_is_since_when_changes_are_told(world: World) -> None:
    on = world.day(45)
    answer = log_in(world).get(f"{PAGE}?team=all&period=date&date={on.isoformat()}")
    assert answer.context["frame"].since.astimezone(world.clock.zone).date() == on
    assert "Created" in " ".join(changes(log_in(world), "calm", f"team=all&period=date&date={on.isoformat()}"))


def test_a_date_that_is_still_to_be_chosen_is_two_weeks_ago(world: World) -> None:
    assert log_in(world).get(f"{PAGE}?team=all&period=date&date=").context["query"].on == world.day(14)


# ---- Teams and readers


def test_a_manager_sees_the_own_team_first_and_others_on_demand(world: World) -> None:
    team(world, "A first", "me")
    south = team(world, "South", "bea")
    client = log_in(world, "manager", "bea@vigie.example")
    assert list(parts(client, "")) == ["Bea"]
    assert client.get(PAGE).context["query"].team == south.pk
    assert list(parts(client)) == ["Bea", "Moi", ""]


def test_a_rep_reads_the_own_part_first_and_changes_nothing(world: World) -> None:
    client = log_in(world, "rep", "me@vigie.example")
    assert list(parts(client)) == ["Moi", "Bea", ""]
    assert "Start the review" not in text(client.get(PAGE))
    running = start(log_in(world))
    note = f"/deals/{world.stored('quiet').pk}/notes/"
    for path in ("start/", f"{running.pk}/mark/", f"{running.pk}/end/"):
        assert client.post(f"{PAGE}{path}", {"team": "all"}).status_code == 403
    assert client.post(note, {"text": "x"}).status_code == 403
    assert client.get(note).status_code == 200
    assert "Mark as reviewed" not in text(client.get(f"{PAGE}?team=all"))


def test_a_team_without_deals_says_what_to_do(world: World) -> None:
    nobody = team(world, "Nobody")
    said = text(log_in(world).get(f"{PAGE}?team={nobody.pk}"))
    assert "Nobody in this team owns an open deal" in said


def test_without_any_deal_the_page_leads_to_the_connection() -> None:
    said = text(log_in(world_now()).get(PAGE))
    assert "Connect your CRM" in said


# ---- Holding a review


def test_a_review_counts_from_its_start_for_the_next_one(world: World) -> None:
    client = log_in(world)
    running = start(client)
    client.post(f"{PAGE}{running.pk}/mark/", {"deal": world.stored("quiet").pk})
    assert "1 of 2 reviewed" in text(client.get(f"{PAGE}?team=all"))
    said = text(client.post(f"{PAGE}{running.pk}/end/", follow=True))
    assert "The review has ended." in said
    frame = client.get(f"{PAGE}?team=all").context["frame"]
    assert (frame.running, frame.last, frame.since) == (None, running, running.began_at)
    assert "Changes since the last review, on" in said


def test_while_a_review_runs_changes_are_told_since_the_one_before(world: World) -> None:
    before, client = held(world), log_in(world)
    running = start(client)
    frame = client.get(f"{PAGE}?team=all").context["frame"]
    assert (frame.running, frame.last, frame.since) == (running, before, before.began_at)


def test_a_review_in_which_nothing_was_looked_at_is_not_the_last_one(world: World) -> None:
    before, client = held(world), log_in(world)
    said = text(client.post(f"{PAGE}{start(client).pk}/end/", follow=True))
    assert "does not count as the last one" in said
    assert client.get(f"{PAGE}?team=all").context["frame"].last == before


def test_two_managers_work_in_one_review(world: World) -> None:
    ana, bob = log_in(world), log_in(world, "manager", "bob@vigie.example")
    running = start(ana)
    said = text(bob.post(f"{PAGE}start/", {"team": "all"}, follow=True))
    assert "Ana Ruiz began this review" in said
    for client in (ana, bob):
        client.post(f"{PAGE}{running.pk}/mark/", {"deal": world.stored("quiet").pk})
    bob.post(f"{PAGE}{running.pk}/mark/", {"deal": world.stored("late").pk})
    assert "2 of 2 reviewed" in text(ana.get(f"{PAGE}?team=all"))
    reviewed = row(bob, "quiet").reviewed
    assert reviewed is not None
    assert reviewed.reviewed_by.email == "ana@vigie.example"


def test_a_team_has_one_running_review_whatever_the_moment(world: World) -> None:
    with world.inside():
        mine = {"organisation": world.organisation, "began_at": world.clock.now}
        Review.objects.create(**mine)
        with pytest.raises(IntegrityError), transaction.atomic():
            Review.objects.create(**mine)
        Review.objects.create(**mine, team=Team.objects.create(organisation=world.organisation, name="North"))


def test_a_mark_in_a_review_that_was_ended_meanwhile_is_kept_and_told(world: World) -> None:
    client = log_in(world)
    running = start(client)
    client.post(f"{PAGE}{running.pk}/mark/", {"deal": world.stored("late").pk})
    client.post(f"{PAGE}{running.pk}/end/")
    said = text(client.post(f"{PAGE}{running.pk}/mark/", {"deal": world.stored("quiet").pk}, follow=True))
    assert "Somebody has ended this review meanwhile." in said
    with world.inside():
        assert running.deals.count() == 2
    again = text(client.post(f"{PAGE}{running.pk}/end/", follow=True))
    assert "Somebody has ended this review already." in again


def test_a_mark_is_undone(world: World) -> None:
    client = log_in(world)
    running = start(client)
    mark = {"deal": world.stored("quiet").pk, "next": f"{PAGE}?team=all"}
    assert client.post(f"{PAGE}{running.pk}/mark/", mark).url.endswith(f"#deal-{mark['deal']}")
    answer = client.post(f"{PAGE}{running.pk}/mark/", mark | {"undo": 1}, headers={"hx-request": "true"})
    assert "Mark as reviewed: Quiet" in answer.content.decode()
    assert "0 of 2 reviewed" in text(answer)


def test_a_folded_deal_that_was_marked_is_shown(world: World) -> None:
    held(world)
    client = log_in(world)
    assert [row.deal.external_id for row in parts(client)[""].quiet_rows] == ["lone"]
    client.post(f"{PAGE}{start(client).pk}/mark/", {"deal": world.stored("lone").pk})
    assert [row.deal.external_id for row in parts(client)[""].rows] == ["lone"]


# ---- One deal a screen, paper


def test_presenting_begins_with_the_first_deal_not_yet_reviewed_and_walks(world: World) -> None:
    client = log_in(world)
    address = f"{PAGE}present/?team=all"
    first = client.get(address).context
    assert (first["row"].deal.external_id, first["place"], first["count"]) == ("late", 1, 2)
    second = client.get(first["next"]).context
    assert (second["row"].deal.external_id, second["next"]) == ("quiet", "")
    assert client.get(second["previous"]).context["row"].deal.external_id == "late"
    client.post(f"{PAGE}{start(client).pk}/mark/", {"deal": world.stored("late").pk})
    assert client.get(address).context["row"].deal.external_id == "quiet"


@pytest.mark.parametrize("deal", ["9", "x", "²", "9" * 40])
def test_presenting_an_unknown_deal_says_so_and_shows_the_first(world: World, deal: str) -> None:
    answer = log_in(world).get(f"{PAGE}present/?team=all&deal={deal}")
    assert answer.status_code == 200
    assert "The deal you asked for is not part of this review." in text(answer)
    assert answer.context["place"] == 1


def test_paper_has_every_fact(world: World) -> None:
    client = log_in(world)
    client.post(f"/deals/{world.stored('quiet').pk}/notes/", {"text": "Call on Monday"})
    said = text(client.get(f"{PAGE}print/?team=all&period=7"))
    for fact in ("No interaction since the deal was created", "Call on Monday", "€5,000", "Bea", "No owner", "Lone"):
        assert fact in said


def test_nothing_to_present_or_print_is_said() -> None:
    client = log_in(world_now())
    assert "Nothing to present" in text(client.get(f"{PAGE}present/"))
    assert "Nothing to print" in text(client.get(f"{PAGE}print/"))


# ---- Notes


def test_a_note_is_shown_in_the_review_and_on_the_deal_and_its_author_deletes_it(world: World) -> None:
    ana, bob = log_in(world), log_in(world, "manager", "bob@vigie.example")
    deal = world.stored("quiet").pk
    answer = ana.post(f"/deals/{deal}/notes/", {"text": " Ask for the budget \r\n", "next": f"{PAGE}?team=all"})
    assert answer.url == f"{PAGE}?team=all#notes-{deal}"
    for path in (f"{PAGE}?team=all", f"{PAGE}present/?team=all&deal={deal}", f"/deals/{deal}/"):
        assert "Ask for the budget Ana Ruiz" in text(bob.get(path)), path
    with world.inside():
        note = Note.objects.get()
    assert note.text == "Ask for the budget"
    assert bob.post(f"/notes/{note.pk}/delete/").status_code == 403
    assert ana.post(f"/notes/{note.pk}/delete/").status_code == 302
    with world.inside():
        assert not Note.objects.exists()


@pytest.mark.parametrize("length", [5000, 5001])
def test_a_note_of_more_than_5000_characters_comes_back_with_the_reason(world: World, length: int) -> None:
    written = ("é" * 99 + "\r\n") * 50 + "x" * (length - 5000)
    client, path = log_in(world), f"/deals/{world.stored('quiet').pk}/notes/"
    answer = client.post(path, {"text": written.strip() + "é" * (length == 5000)})
    assert answer.status_code == (302 if length == 5000 else 422)
    if length > 5000:
        assert "The note has 5,001 characters; at most 5,000 fit." in text(answer)
        assert "é" * 99 in text(answer)
        swapped = client.post(path, {"text": written}, headers={"hx-request": "true"})
        assert (swapped.status_code, "at most 5,000 fit" in text(swapped)) == (200, True)


@pytest.mark.parametrize("nothing", ["", " \r\n ", "\x00"])
def test_an_empty_note_is_not_kept(world: World, nothing: str) -> None:
    answer = log_in(world).post(f"/deals/{world.stored('quiet').pk}/notes/", {"text": nothing})
    assert (answer.status_code, "Write something first." in text(answer)) == (422, True)


HOSTILE = "<script>alert(1)</script> \u202eשלום\u202c 🦊 ' \" {{ x }} %s"


def test_hostile_names_and_notes_are_text(world: World) -> None:
    held(world)
    long = HOSTILE + "A" * 5000
    world.write(
        companies=[CompanyRecord("c", long, world.at(9))],
        colleagues=[ColleagueRecord("bea", long, "bea@vigie.example", True)],
        stages=[StageRecord("s9", "p", long, 9)],
    )
    world.deal("calm", title=long, owner="bea", company="c", stage="s9", currency="<b>", created_at=world.at(40),
               updated_at=world.clock.now - timedelta(hours=1))  # fmt: skip
    client, deal = log_in(world), world.stored("calm").pk
    client.post(f"/deals/{deal}/notes/", {"text": HOSTILE})
    pages = (f"{PAGE}?team=all", f"{PAGE}present/?team=all&deal={deal}", f"{PAGE}print/?team=all", f"/deals/{deal}/")
    for path in (*pages, f"/deals/{deal}/notes/"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "<script>alert" not in answer.content.decode(), path
        assert "&lt;script&gt;alert(1)" in answer.content.decode(), path


def test_notes_of_a_deal_are_limited_in_the_review_and_whole_on_its_page(world: World) -> None:
    client, deal = log_in(world), world.stored("quiet")
    with world.inside():
        Note.objects.bulk_create(
            Note(organisation=world.organisation, deal=deal, text=f"n{n}.", written_at=world.clock.now)
            for n in range(15)
        )
    assert len(row(client, "quiet").notes) == review.NOTES_SHOWN
    assert "n0." in text(client.get(f"/deals/{deal.pk}/"))


# ---- Whatever the address bar says


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("team=99999", "There is no team “99999”."),
        ("team=²", "There is no team “²”."),
        ("period=soon", "There is no period “soon”."),
        ("period=date&date=²", "There is no date “²”."),
        ("period=date&date=2026-02-30", "There is no date “2026-02-30”."),
        ("period=date&date=0001-01-01", "Choose a date between 2000 and today."),
        ("period=date&date=9999-12-31", "Choose a date between 2000 and today."),
        ("rep=bob", "There is no owner “bob”"),
        ("page=0", "There is no page “0”."),
        ("page=" + "9" * 50, "There is no page"),
        ("team=" + "<b>" * 2000, "There is no team “<b>"),
        ("period=%00&team=%00", "There is no period"),
    ],
)
def test_what_cannot_be_is_told_on_every_page(world: World, query: str, sentence: str) -> None:
    for page in ("", "present/", "print/"):
        answer = log_in(world).get(f"{PAGE}{page}?{quote(query, safe='=&%')}")
        assert answer.status_code == 200
    answer = log_in(world).get(f"{PAGE}?{quote(query, safe='=&%')}")
    assert sentence in html.unescape(answer.content.decode())


@pytest.mark.parametrize("rep", ["99999", "9" * 18])
def test_an_owner_without_deals_is_an_empty_page(world: World, rep: str) -> None:
    assert "This owner has no deal to review" in text(log_in(world).get(f"{PAGE}?team=all&rep={rep}"))


@pytest.mark.parametrize("team", ["", "x", "²", "99999", "9" * 40])
def test_a_review_of_an_unknown_team_is_not_started(world: World, team: str) -> None:
    assert log_in(world).post(f"{PAGE}start/", {"team": team}).status_code == 404


@pytest.mark.parametrize("deal", ["", "x", "²", "99999", "9" * 40])
def test_an_unknown_deal_is_not_marked(world: World, deal: str) -> None:
    client = log_in(world)
    assert client.post(f"{PAGE}{start(client).pk}/mark/", {"deal": deal}).status_code == 404


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example", "javascript:alert(1)", "\\\\evil"])
def test_next_leads_to_pages_of_ours_only(world: World, elsewhere: str) -> None:
    client = log_in(world)
    answer = client.post(f"{PAGE}start/", {"team": "all", "next": elsewhere})
    assert answer.url == f"{PAGE}?team=all"


def test_another_organisations_team_deal_and_review_are_unknown(world: World) -> None:
    other = world_now()
    other.deal()
    theirs = team(other, "Theirs", "me")
    client = log_in(world)
    assert "There is no team" in text(client.get(f"{PAGE}?team={theirs.pk}"))
    running = start(client)
    assert client.post(f"{PAGE}{running.pk}/mark/", {"deal": other.stored().pk}).status_code == 404
    assert client.post(f"{PAGE}start/", {"team": theirs.pk}).status_code == 404


# ---- Many deals


def test_an_owner_of_many_deals_has_fifty_and_a_page_of_all(world: World) -> None:
    with world.inside():
        deal = Deal.objects.get(external_id="late")
        for n in range(120):
            deal.pk, deal.external_id = None, f"many{n}"
            deal.save(force_insert=True)
    client = log_in(world)
    bea = parts(client)["Bea"]
    assert (len(bea.rows), bea.count) == (review.OF_ONE, 121)
    every = client.get(bea.url)
    assert [len(part.rows) for part in every.context["parts"]] == [review.PAGE_SIZE]
    assert "Page 1 of 2" in text(every)
    assert [len(part.rows) for part in client.get(f"{bea.url}&page=2").context["parts"]] == [21]
    assert client.get(f"{bea.url}&page=9").status_code == 200
    assert client.get(f"{PAGE}present/?team=all").context["count"] == 122


@pytest.mark.parametrize("page", ["", "present/", "print/"])
def test_three_deals_take_as_many_statements_as_one(world: World, django_assert_num_queries: Any, page: str) -> None:
    world.configure(amount_empty=False)
    held(world)
    client = log_in(world)
    start(client)
    with world.inside():
        Deal.objects.exclude(external_id="quiet").update(deleted=True)
    path = f"{PAGE}{page}?team=all"
    client.get(path)
    with CaptureQueriesContext(connection) as one:
        client.get(path)
    with world.inside():
        Deal.objects.update(deleted=False)
        for deal in Deal.objects.all():
            Note.objects.create(organisation=world.organisation, deal=deal, text="n", written_at=world.clock.now)
            FieldChange.objects.create(
                organisation=world.organisation,
                deal=deal,
                field="stage",
                old="s2",
                new="s1",
                changed_at=world.clock.now,
            )
    with django_assert_num_queries(len(one)):
        assert client.get(path).status_code == 200


def test_french(world: World) -> None:
    said = text(log_in(world, language="fr").get(f"{PAGE}?team=all"))
    assert "Revue de pipeline" in said
    assert "car c’est la première revue" in said


def test_an_address_says_the_same_again(world: World) -> None:
    from django.http import QueryDict

    today = Clock.of(world.organisation).today
    query = ReviewQuery(period="date", on=world.day(3), rep="none", page=2)
    assert ReviewQuery.parse(QueryDict(query.url.partition("?")[2]), [], today) == query
