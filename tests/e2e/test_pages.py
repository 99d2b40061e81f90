"""Pages in a real browser: the hover card (WCAG 1.4.13), keyboard, no JavaScript, phones, and axe in every state."""

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings
from playwright.sync_api import Browser, expect

from accounts import passwords
from accounts.models import User
from tests import processes
from tests.crm_sync.test_mapping_page import PAGE as MAPPING
from tests.crm_sync.test_mapping_page import connect
from tests.e2e.conftest import cookies, expect_no_overflow, expect_no_violations
from tests.pages import world_now
from tests.sandbox import Sandbox
from tests.world import World

CARD = ".hover-card:popover-open"


@pytest.fixture
def world(transactional_db: None) -> World:
    world = world_now()
    for ref, title in (("zoe", "CEO"), ("yan", ""), ("max", "Sales assistant")):
        world.contact(ref, title=title, roles=("Champion",))
    world.configure(key_role={"roles": {"champion": 12}})
    world.on_deal("zoe", "yan", ref="quiet", title="Quiet", created_at=world.at(70), stage_entered_at=world.at(40))
    world.activity("call", 30, "max", deal="quiet")
    world.activity("email", 20, "yan", deal="quiet", state="bounced")
    world.deal("late", title="Late", amount=None, close_on=world.day(3))
    world.deal("fine", title="Fine")
    world.activity("meeting", -3, "zoe", deal="fine", state="planned")
    world.evaluate()
    return world


def test_the_card_opens_on_hover_stays_under_the_pointer_and_closes_when_left(open_page: Any) -> None:
    page = open_page("/deals/")
    icon = page.locator("tbody tr", has_text="Quiet").locator("[data-alert=stuck_in_stage].badge").first
    icon.hover()
    card = page.locator(CARD)
    expect(card).to_be_visible()
    expect(card.locator("li.current")).to_contain_text("Stuck in stage")
    card.hover()
    page.wait_for_timeout(400)
    expect(card).to_be_visible()
    page.mouse.move(5, 500)
    expect(card).to_be_hidden()


def test_escape_closes_the_card_and_it_stays_closed_until_the_pointer_leaves(open_page: Any) -> None:
    page = open_page("/deals/")
    icons = page.locator("tbody .badges").first
    icons.hover()
    expect(page.locator(CARD)).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(CARD)).to_be_hidden()
    icons.locator(".badge").last.hover()
    page.wait_for_timeout(400)
    expect(page.locator(CARD)).to_be_hidden()
    page.mouse.move(5, 500)
    icons.hover()
    expect(page.locator(CARD)).to_be_visible()


def test_a_click_pins_the_card_and_a_second_one_closes_it(open_page: Any) -> None:
    page = open_page("/deals/")
    icons = page.locator("tbody .badges").first
    icons.hover()
    expect(page.locator(CARD)).to_be_visible()
    icons.click()
    page.mouse.move(5, 500)
    page.wait_for_timeout(400)
    expect(page.locator(CARD)).to_be_visible()
    icons.click()
    expect(page.locator(CARD)).to_be_hidden()


def test_the_card_opens_on_keyboard_focus_and_leads_to_the_deal(open_page: Any) -> None:
    page = open_page("/deals/")
    page.locator("tbody a[data-row]").first.focus()
    page.keyboard.press("Tab")
    expect(page.locator(CARD)).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(CARD)).to_be_hidden()
    expect(page.locator("tbody .badges").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(CARD)).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/deals/*/?list=*")


def test_the_card_opens_on_a_tap(open_page: Any) -> None:
    page = open_page("/deals/", has_touch=True, is_mobile=True, viewport={"width": 390, "height": 844})
    page.locator("tbody .badges").first.tap()
    expect(page.locator(CARD)).to_be_visible()
    box = page.locator(CARD).bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390


def test_a_filter_keeps_its_menu_open_and_the_focus_where_it_was(open_page: Any) -> None:
    page = open_page("/deals/")
    page.locator("#alert-button").click()
    page.locator("#alert-no_activity").focus()
    page.keyboard.press("Space")
    expect(page.locator("#alert-no_activity")).to_be_focused()
    page.wait_for_url("**/deals/?alert=no_activity")
    expect(page.locator("#alert-menu")).to_be_visible()
    expect(page.locator("#alert-no_activity")).to_be_focused()
    page.keyboard.press("Escape")
    page.go_back()
    expect(page.locator("tbody tr")).to_have_count(3)
    page.keyboard.press("/")
    page.keyboard.type("fine")
    page.wait_for_url("**/deals/?q=fine")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("#q")).to_be_focused()


def test_j_and_k_walk_the_rows(open_page: Any) -> None:
    page = open_page("/deals/")
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator("a[data-row]").nth(1)).to_be_focused()
    page.keyboard.press("k")
    expect(page.locator("a[data-row]").nth(0)).to_be_focused()


def test_filter_card_and_settings_work_without_javascript(open_page: Any) -> None:
    page = open_page("/deals/", java_script_enabled=False)
    page.locator("#alert-button").click()
    page.locator("#alert-no_activity").check()
    page.locator("#alert-menu").get_by_role("button", name="Apply").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.locator("tbody .badges").first.click()
    expect(page.locator(CARD)).to_contain_text("No activity")
    page.get_by_role("link", name="Deal alerts").click()
    page.get_by_role("link", name="Edit").click()
    page.locator("input[name='no_activity.days']").fill("99")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("input[name='no_activity.days']")).to_have_value("99")


@pytest.mark.parametrize("scripts", [True, False])
def test_a_job_title_is_corrected_and_left_to_the_rules_again(open_page: Any, scripts: bool) -> None:
    page = open_page("/settings/titles/?level=unknown", java_script_enabled=scripts)
    row = page.locator("tbody tr", has_text="Sales assistant")
    row.get_by_label("Level of Sales assistant").select_option(label="Director")
    row.get_by_role("button", name="Save").click()
    expect(page.locator("#tabs")).to_contain_text("Corrected 1")
    if not scripts:  # it is no longer among those that are not recognised
        page.locator("#tabs").get_by_role("link", name="Corrected").click()
    expect(row).to_contain_text("Corrected by Ana Ruiz")
    row.get_by_role("button", name="Withdraw").click()
    expect(page.locator("#tabs")).to_contain_text("Corrected 0")
    expect(page.locator("[role=status]", has_text="The rules decide on “Sales assistant” again.")).to_be_visible()


def test_unsaved_settings_ask_before_they_are_left(open_page: Any) -> None:
    page = open_page("/settings/alerts/?edit=1")
    asked: list[str] = []

    def answer(dialog: Any) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", answer)
    page.locator("input[name='no_activity.days']").fill("9")
    page.get_by_role("link", name="CRM connection").click(no_wait_after=True)
    page.wait_for_timeout(500)
    assert asked == ["beforeunload"]
    assert page.url.endswith("/settings/alerts/?edit=1")
    page.get_by_role("link", name="Cancel").click()
    page.wait_for_url("**/settings/alerts/")
    assert asked == ["beforeunload"]


def test_the_theme_is_switched_at_once_and_kept(open_page: Any) -> None:
    page = open_page("/deals/")
    for name in ("Dark", "As the system", "Dark"):
        with page.expect_response("**/profile/theme/"):
            page.get_by_role("button", name=name).click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    with page.expect_response("**/profile/theme/"):
        page.get_by_role("button", name="As the system").click()
    page.reload()
    assert page.locator("html").get_attribute("data-theme") is None


PAGES = (
    "/deals/",
    "/deals/?q=nothing&owner=9",
    "DEAL",
    "/settings/titles/",
    "/settings/crm/",
)


@pytest.mark.parametrize(("language", "scheme"), [("en", "light"), ("fr", "dark")])
def test_no_page_has_a_violation_or_is_wider_than_the_window(
    open_page: Any, world: World, language: str, scheme: str
) -> None:
    for path in PAGES:
        page = open_page(path.replace("DEAL", f"/deals/{world.stored('quiet').pk}/"), language, color_scheme=scheme)
        if path == "DEAL":
            expect(page.locator(".power")).to_be_visible()
        expect_no_overflow(page, path)
        if path == "/deals/":
            expect_no_violations(page, path)
            page.locator("tbody .badges").first.click()
            expect_no_violations(page, "hover card")
            page.keyboard.press("Escape")
            page.locator("#stage-button").click()
            expect_no_violations(page, "filter menu")
        else:
            expect_no_violations(page, path)


STRANGERS = ("/login/", "/login/forgotten/", "/login/forgotten/sent/", "/login/new-password/done/", "LINK", "VOID")


@pytest.mark.parametrize(("language", "scheme"), [("en", "light"), ("fr", "dark")])
def test_no_page_before_the_login_has_a_violation(open_page: Any, world: World, language: str, scheme: str) -> None:
    user = User.objects.create_user("a-rather-long-address-of-somebody@customer.example", "correct horse battery")
    link = passwords.link_for(user).removeprefix(settings.SITE_URL)
    for path in STRANGERS:
        address = {"LINK": link, "VOID": "/login/new-password/x/y/"}.get(path, path)
        page = open_page(address, language, stranger=True, color_scheme=scheme)
        assert page.locator("h1").count() == 1
        expect_no_overflow(page, path)
        expect_no_violations(page, path)


def test_the_mapping_page_has_no_violation(browser: Browser, world: World, tmp_path: Path) -> None:
    """With fields to choose from, types that are known and types that wait for an answer."""
    connect(world)
    with (
        Sandbox.run(tmp_path, deals=1) as crm,
        override_settings(PIPEDRIVE_API_URL=f"{crm.url}/pipedrive"),
        processes.web(tmp_path) as url,
    ):
        for language, scheme in (("en", "light"), ("fr", "dark")):
            with browser.new_context(color_scheme=scheme, viewport={"width": 1280, "height": 800}) as context:
                context.add_cookies(cookies(world, url, language))
                page = context.new_page()
                page.goto(f"{url}{MAPPING}")
                expect(page.get_by_role("rowheader", name="Démo <b>")).to_be_visible()
                expect(page.locator("[id^=fields-] select").first).to_be_visible()
                expect_no_overflow(page, MAPPING)
                expect_no_violations(page, MAPPING)
