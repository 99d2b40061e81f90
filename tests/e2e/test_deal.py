"""The deal page in a real browser: snooze and undo, opinions, the way through the list, axe, widths, print."""

from typing import Any

import pytest
from playwright.sync_api import expect

from alerts import snoozing
from alerts.models import Alert, Run
from deals.models import Source
from tests.e2e.conftest import expect_no_overflow, expect_no_violations
from tests.pages import world_now
from tests.world import World

ROLE = "rep"
PEOPLE = {
    "zoe": "CEO",
    "yan": "VP Sales",
    "max": "Head of Procurement",
    "ida": "",
    "leo": "Sales assistant",
    "مرحبا-بالعالم": "Buyer",
    "bartholomäus-maximilian-von-und-zu": "Director",
}


@pytest.fixture
def world(transactional_db: None) -> World:
    """A deal that has been through its stages, with alerts, one of them snoozed, between two others."""
    world = world_now()
    with world.inside():
        Source.objects.update(first_synced_at=world.at(90), synced_at=world.clock.now)
    for ref, title in PEOPLE.items():
        world.contact(ref, title=title)
    for days_ago, stage in ((70, "s1"), (50, "s2"), (40, "s1"), (30, "s2")):
        world.on_deal(
            *PEOPLE,
            ref="quiet",
            title="Quiet",
            amount=5000,
            stage=stage,
            created_at=world.at(70),
            updated_at=world.at(days_ago),
            stage_entered_at=world.at(days_ago),
            close_on=world.day(-5),
        )
    for days, who in ((60, "leo"), (33, "leo"), (21, "ida"), (21, "مرحبا-بالعالم")):
        world.activity("call", days, who, deal="quiet")
    world.activity("email", 3, "yan", deal="quiet", state="bounced")
    world.deal("first", title="First", amount=9000, created_at=world.at(60))
    world.deal("last", title="Last", amount=10, created_at=world.at(60))
    world.evaluate()
    with world.inside():
        now = {"started_at": world.clock.now, "finished_at": world.clock.now}
        Run.objects.create(organisation=world.organisation, cause=Run.Cause.DAILY, key="today", **now)
        quiet = [world.stored("quiet").pk]
        snoozing.snooze(world.organisation, quiet, ["deal_too_old"], None, True, "Signed soon", None, world.clock)
    return world


def deal(world: World, ref: str = "quiet", more: str = "") -> str:
    return f"/deals/{world.stored(ref).pk}/{more}"


@pytest.mark.parametrize("scripts", [True, False])
def test_an_alert_is_snoozed_until_a_date_and_the_snooze_undone(open_page: Any, world: World, scripts: bool) -> None:
    page = open_page(deal(world), java_script_enabled=scripts)
    page.get_by_role("button", name="Snooze No activity").click()
    menu = page.locator("form.snooze:popover-open")
    expect(menu.get_by_label("Date", exact=True)).to_be_hidden()
    menu.get_by_label("Until a date").check()
    expect(menu.get_by_label("Date", exact=True)).to_be_visible()
    menu.get_by_label("For good (mute)").check()
    menu.get_by_label("Reason").fill("They are on holiday")
    menu.get_by_role("button", name="Snooze").click()
    asleep = page.locator(".asleep li", has_text="No activity")
    expect(asleep).to_contain_text("Muted · Ana Ruiz")
    expect(asleep).to_contain_text("They are on holiday")
    expect(page.locator("article.alert", has_text="No activity")).to_have_count(0)
    asleep.get_by_role("button", name="Undo").click()
    expect(page.locator("article.alert", has_text="No activity")).to_have_count(1)


@pytest.mark.parametrize("scripts", [True, False])
def test_a_false_alarm_is_told_and_muted(open_page: Any, world: World, scripts: bool) -> None:
    page = open_page(deal(world), java_script_enabled=scripts)
    card = page.locator("article.alert", has_text="No activity")
    card.get_by_role("button", name="False alarm").click()
    expect(card.get_by_role("button", name="False alarm")).to_have_attribute("aria-pressed", "true")
    card.get_by_label("What was wrong with it?").fill("A call was not logged")
    card.get_by_role("button", name="Save").click()
    expect(card.get_by_label("What was wrong with it?")).to_have_value("A call was not logged")
    card.get_by_role("button", name="Mute it").click()
    expect(page.locator(".asleep li", has_text="No activity")).to_contain_text("A call was not logged")


def test_j_and_k_walk_through_the_list_from_which_one_came(open_page: Any, world: World) -> None:
    page = open_page("/deals/?sort=-amount")
    page.locator("a[data-row]", has_text="First").click()
    expect(page.locator("h1")).to_have_text("First")
    page.wait_for_load_state()
    page.keyboard.press("j")
    expect(page.locator("h1")).to_have_text("Quiet")
    page.wait_for_load_state()
    page.keyboard.press("j")
    expect(page.locator("h1")).to_have_text("Last")
    expect(page.locator("[rel=next]")).to_have_count(0)
    page.wait_for_load_state()
    page.keyboard.press("k")
    expect(page.locator("h1")).to_have_text("Quiet")
    page.locator(".back").click()
    page.wait_for_url("**/deals/?sort=-amount")


def test_the_hover_card_leads_to_the_snooze_and_says_how_fresh_it_is(open_page: Any, world: World) -> None:
    page = open_page("/deals/")
    page.locator("tbody tr", has_text="Quiet").locator(".badges").hover()
    card = page.locator(".hover-card:popover-open")
    expect(card).not_to_contain_text("Deal too old")
    expect(card).to_contain_text("Alerts evaluated")
    card.get_by_role("link", name="Snooze").click()
    page.wait_for_url("**/deals/*/?list=*#active")
    expect(page.get_by_role("button", name="Snooze No activity")).to_be_visible()


def test_the_snooze_works_from_the_keyboard(open_page: Any, world: World) -> None:
    page = open_page(deal(world))
    button = page.get_by_role("button", name="Snooze No activity")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator("form.snooze:popover-open")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("form.snooze:popover-open")).to_be_hidden()
    expect(button).to_be_focused()


def test_the_timeline_is_narrowed_by_links(open_page: Any, world: World) -> None:
    page = open_page(deal(world), java_script_enabled=False)
    page.get_by_role("link", name="Changes", exact=True).click()
    expect(page.locator(".timeline li")).to_have_count(4)
    page.get_by_role("link", name="Everything", exact=True).click()
    expect(page.locator(".timeline li").nth(10)).to_be_visible()


@pytest.mark.parametrize("more", ["", "?whole=1"])
def test_an_alert_leads_to_what_it_cites_on_this_page_if_it_is_there(open_page: Any, world: World, more: str) -> None:
    page = open_page(deal(world, more=more))
    expect(page.locator(".timeline li").first).to_be_visible()
    page.evaluate("window.same = true")
    link = page.locator("article.alert", has_text="No activity").get_by_role("link", name="Show it in the timeline")
    link.click()
    expect(page.locator(".timeline li:target")).to_contain_text("Call with")
    assert page.evaluate("window.same")
    page.evaluate("document.getElementById('entries').remove()")
    if not more:
        link.click()
        expect(page.locator(".timeline li:target")).to_contain_text("Call with")
        assert "all=1" in page.url


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_moves_when_the_timeline_comes(open_page: Any, world: World, width: int) -> None:
    page = open_page("/deals/?q=nothing", viewport={"width": width, "height": 900})
    page.route("**/details/**", lambda route: (page.wait_for_timeout(300), route.continue_()))
    page.goto(page.url.partition("/deals/")[0] + deal(world))
    page.evaluate(
        "() => new PerformanceObserver((list) => { for (const entry of list.getEntries())"
        " window.shift = (window.shift ?? 0) + entry.value; }).observe({ type: 'layout-shift', buffered: true })"
    )
    expect(page.locator(".power")).to_be_attached()
    page.wait_for_timeout(300)
    assert page.evaluate("window.shift ?? 0") < 0.02


def test_names_in_the_power_map_do_not_touch(open_page: Any, world: World) -> None:
    page = open_page(deal(world))
    expect(page.locator(".power")).to_be_visible()
    boxes = [name.bounding_box() for name in page.locator(".power .name").all()]
    assert len(boxes) == len(PEOPLE)
    for n, one in enumerate(boxes):
        for other in boxes[n + 1 :]:
            beside = one["x"] + one["width"] <= other["x"] or other["x"] + other["width"] <= one["x"]
            assert beside or abs(one["y"] - other["y"]) >= 11, (one, other)


@pytest.mark.parametrize(("language", "scheme"), [("en", "light"), ("fr", "dark")])
def test_axe_finds_nothing_in_any_state(open_page: Any, world: World, language: str, scheme: str) -> None:
    page = open_page(deal(world, more="?list=sort%3D-amount"), language, color_scheme=scheme)
    expect(page.locator(".power")).to_be_visible()
    expect_no_violations(page, "deal")
    page.locator("[popovertarget^=snooze]").first.click()
    page.locator("form.snooze:popover-open [value=date]").check()
    expect_no_violations(page, "snooze form")
    page.keyboard.press("Escape")
    page.locator(".opinion button").nth(1).click()
    expect(page.locator(".offer")).to_be_visible()
    expect_no_violations(page, "false alarm")
    expect_no_overflow(page, "false alarm")
    with world.inside():
        Alert.objects.all().delete()
        world.organisation.deals.update(status="won")
    page.reload()
    expect(page.locator(".timeline li").first).to_be_visible()
    expect_no_violations(page, "closed deal")
