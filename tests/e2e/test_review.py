"""The pipeline review in a real browser: a manager's walk by keyboard, a note that survives, presenting, paper, axe."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from alerts.models import Alert
from deals.models import Deal
from tests.e2e.conftest import WIDTHS, expect_no_violations
from tests.pages import log_in, world_now
from tests.world import World
from workplace.models import Note, Review

PAGE = "/review/?team=all"
# What sticks out of its row is cut off, and makes no page wider.
OUTSIDE = """[...document.querySelectorAll("tbody td, tbody th")].filter(
    (cell) => cell.getBoundingClientRect().right > cell.closest("section").getBoundingClientRect().right + 1
).map((cell) => cell.className)"""


@pytest.fixture
def world(transactional_db: None) -> World:
    """Late and quiet have alerts, late is dearer; moved has changed; idle has neither."""
    world = world_now()
    world.first_synced()
    world.contact("zoe")
    world.deal("late", title="Late", amount=9000, close_on=world.day(3))
    world.deal("quiet", title="Quiet", created_at=world.at(12), stage_entered_at=world.at(2))
    for ref in ("moved", "idle"):
        world.deal(ref, title=ref.title(), created_at=world.at(40), stage_entered_at=world.at(2))
    world.deal("moved", title="Moved", stage="s2", created_at=world.at(40), updated_at=world.at(1))
    for ref in ("late", "moved", "idle"):
        world.activity("meeting", -3, "zoe", deal=ref, state="planned")
        world.activity("call", 1, "zoe", deal=ref)
    world.configure(deal_too_old=False, single_contact=False, stuck_in_stage=False, power_map=False, no_meeting=False)
    world.evaluate()
    return world


@pytest.fixture
def running(world: World) -> World:
    log_in(world).post("/review/start/", {"team": "all"})
    return world


def row(page: Page, deal: str) -> Any:
    return page.locator("tbody tr", has=page.get_by_role("link", name=deal, exact=True))


def test_a_managers_walk_with_the_keyboard_alone(open_page: Any, world: World) -> None:
    page = open_page(PAGE)
    page.get_by_role("button", name="Start the review").press("Enter")
    expect(page.locator("#progress")).to_contain_text("0 of 3 reviewed")
    page.wait_for_load_state()
    page.keyboard.press("j")
    expect(page.get_by_role("link", name="Late", exact=True)).to_be_focused()
    page.keyboard.press("r")
    expect(row(page, "Late").get_by_role("button", name="Reviewed: Late")).to_be_visible()
    expect(page.locator("#progress")).to_contain_text("1 of 3 reviewed")
    expect(page.get_by_role("link", name="Late", exact=True)).to_be_focused()
    page.keyboard.press("j")
    expect(page.get_by_role("link", name="Quiet", exact=True)).to_be_focused()
    page.keyboard.press("n")
    expect(row(page, "Quiet").get_by_role("textbox")).to_be_focused()
    page.keyboard.type("Ask about the rollout, and jot it down")  # j, k, n and r are letters here
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(row(page, "Quiet").locator(".note-text")).to_have_text("Ask about the rollout, and jot it down")
    expect(row(page, "Quiet").get_by_role("textbox")).to_have_value("")
    page.get_by_role("link", name="Quiet", exact=True).focus()
    page.keyboard.press("k")
    page.keyboard.press("r")
    expect(page.locator("#progress")).to_contain_text("0 of 3 reviewed")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/deals/{world.stored('late').pk}/")


def test_a_note_that_could_not_be_sent_is_there_when_the_page_is_opened_again(open_page: Any, running: World) -> None:
    page = open_page(f"/review/present/?team=all&deal={running.stored('quiet').pk}")
    page.keyboard.press("n")
    page.keyboard.type("Half a sentence")
    page.reload()
    expect(page.get_by_role("textbox")).to_have_value("Half a sentence")
    page.get_by_role("button", name="Add the note").click()
    expect(page.locator(".note-text")).to_have_text("Half a sentence")
    page.reload()
    expect(page.get_by_role("textbox")).to_have_value("")


def expect_deal(page: Page, title: str) -> None:
    """It is presented, and its script has run: a key that is pressed before is nobody's."""
    expect(page.get_by_role("heading", level=1)).to_have_text(title)
    page.wait_for_load_state()


def test_presenting_walks_deal_by_deal(open_page: Any, running: World) -> None:
    page = open_page(PAGE)
    page.get_by_role("link", name="Present").click()
    expect_deal(page, "Late")
    page.keyboard.press("r")
    expect(page.get_by_role("button", name="Reviewed: Late")).to_be_visible()
    page.wait_for_load_state()
    page.keyboard.press("j")
    expect_deal(page, "Quiet")
    page.keyboard.press("j")
    expect_deal(page, "Moved")
    expect(page.get_by_role("main")).to_contain_text("Stage: Demo → to Offer")
    page.keyboard.press("k")
    expect_deal(page, "Quiet")
    page.get_by_role("link", name="Leave").click()
    expect(page.locator("#progress")).to_contain_text("1 of 3 reviewed")


def test_a_team_and_a_period_are_chosen_and_kept_in_the_address(open_page: Any, world: World) -> None:
    page = open_page(PAGE)
    page.get_by_label("Changes").select_option("7")
    page.wait_for_url("**/review/?team=all&period=7")
    page.get_by_label("Changes").focus()
    page.get_by_label("Changes").select_option("date")
    page.wait_for_url(f"**/review/?team=all&period=date&date={world.day(14).isoformat()}")
    expect(page.get_by_label("Changes")).to_be_focused()
    page.get_by_label("Since a date").fill(world.day(30).isoformat())
    page.wait_for_url(f"**/review/?team=all&period=date&date={world.day(30).isoformat()}")
    page.reload()
    expect(page.get_by_label("Since a date")).to_have_value(world.day(30).isoformat())


def test_a_review_is_held_without_javascript(open_page: Any, world: World) -> None:
    page = open_page(PAGE, java_script_enabled=False)
    page.get_by_role("button", name="Start the review").click()
    row(page, "Quiet").get_by_role("button", name="Mark as reviewed: Quiet").click()
    expect(page.locator("#progress")).to_contain_text("1 of 3 reviewed")
    row(page, "Quiet").get_by_role("link", name="Write a note").click()
    page.get_by_role("textbox").fill("By hand")
    page.get_by_role("button", name="Add the note").click()
    expect(row(page, "Quiet")).to_contain_text("By hand")
    page.get_by_text("1 other without change").click()
    expect(page.get_by_role("link", name="Idle")).to_be_visible()
    page.get_by_role("button", name="End the review").click()
    expect(page.get_by_role("status").first).to_contain_text("The review has ended.")


def test_a_mark_in_a_review_that_somebody_ended_is_told(open_page: Any, running: World) -> None:
    page = open_page(PAGE)
    with running.inside():
        Review.objects.update(ended_at=running.clock.now)
    page.keyboard.press("j")
    page.keyboard.press("r")
    expect(page.get_by_role("status").first).to_contain_text("Somebody has ended this review meanwhile.")


def test_paper_is_light_without_buttons_and_a_page_for_each_owner(open_page: Any, running: World) -> None:
    page = open_page("/review/print/?team=all", color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    expect(page.get_by_role("button", name="Print")).to_be_hidden()
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(22, 24, 29)"
    expect(page.get_by_role("main")).to_contain_text("Expected to close on")


def addresses(world: World) -> list[str]:
    deal = world.stored("quiet").pk
    with world.inside():
        mine = {"organisation": world.organisation}
        Note.objects.create(**mine, deal=world.stored("quiet"), text="Wait. " * 30, written_at=world.clock.now)
        assert Alert.objects.filter(resolved_at=None).exists()
        long = "A framework agreement of a very great length " * 9
        Deal.objects.filter(external_id__in=("late", "idle")).update(title=long, amount=123_456_789)
    return [
        *(PAGE, "/review/?team=99&period=date&date=x&rep=999", f"/review/present/?team=all&deal={deal}"),
        *("/review/print/?team=all", f"/deals/{deal}/notes/", f"/deals/{deal}/"),
    ]


@pytest.mark.parametrize(("language", "scheme"), [("en", "light"), ("fr", "dark")])
def test_no_page_has_a_violation_or_is_too_wide(open_page: Any, running: World, language: str, scheme: str) -> None:
    for path in addresses(running):
        page = open_page(path, language, color_scheme=scheme)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (path, width)
            assert page.evaluate(OUTSIDE) == [], (path, width)
        expect_no_violations(page, path)
        if path == PAGE:
            page.keyboard.press("j")
            page.keyboard.press("r")
            expect(page.locator("button.reviewed")).to_be_visible()
            page.keyboard.press("n")
            expect(page.get_by_role("textbox")).to_be_focused()
            expect_no_violations(page, "marked, with a note being written")
