"""A day with the deal list in a real browser: filters, saved views, selection, bulk actions, phone, keyboard."""

import csv
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from deals.records import CompanyRecord
from tests.e2e.conftest import expect_no_overflow, expect_no_violations
from tests.pages import world_now
from tests.world import World


@pytest.fixture
def world(transactional_db: None) -> World:
    world = world_now()
    world.configure(power_map=False)
    world.write(companies=[CompanyRecord("acme", "Acme Énergie", world.at(9)), CompanyRecord("b", "Brut", world.at(9))])
    world.contact("zoe")
    world.deal("quiet", title="Quiet", company="acme", created_at=world.at(30), stage_entered_at=world.at(2))
    world.deal("late", title="Late", company="b", close_on=world.day(3), amount=Decimal(20_000))
    world.deal("fine", title="Fine " + "with a very long name " * 8)
    for ref in ("quiet", "late", "fine"):
        world.activity("meeting", -3, "zoe", deal=ref, state="planned")
    world.evaluate()
    return world


ROWS, BAR = "tbody tr", ".bulk"


def test_rows_are_chosen_by_keys_and_dropped_by_escape(open_page: Any) -> None:
    page = open_page("/deals/?view=open")
    expect(page.locator(BAR)).to_be_hidden()
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.locator(BAR)).to_contain_text("1 deal selected")
    page.keyboard.press("a")
    expect(page.locator(BAR)).to_contain_text("3 deals selected")
    page.keyboard.press("Escape")
    expect(page.locator(BAR)).to_be_hidden()
    page.keyboard.press("?")
    expect(page.get_by_text("Next and previous deal")).to_be_in_viewport()
    page.keyboard.press("Escape")
    page.keyboard.press("k")
    page.keyboard.press("o")
    page.wait_for_url("**/deals/*/**")


def test_a_view_is_saved_shared_changed_and_deleted(open_page: Any) -> None:
    page = open_page("/deals/?view=open")
    page.locator("#amount-button").click()
    page.locator("[id='amount-10k-50k']").check()
    page.wait_for_url("**/deals/?amount=10k-50k")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Save view").click()
    page.get_by_label("Name").fill("Large")
    page.get_by_label("Share it with everybody here").check()
    page.locator("#view-menu").get_by_role("button", name="Save view").click()
    page.wait_for_url("**/deals/?saved=*&amount=10k-50k")
    tab = page.locator(".tabs a[aria-current]")
    expect(tab).to_have_text("Large 1")
    page.locator("#close-button").click()
    page.locator("#close-overdue").check()
    page.wait_for_url("**close=overdue")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Edit view").click()
    page.get_by_role("button", name="Save with these filters").click()
    expect(page.locator("[role=status]", has_text="The view “Large” is saved.")).to_be_visible()
    page.get_by_role("button", name="Edit view").click()
    page.get_by_role("button", name="Open my list with it").click()
    page.get_by_role("link", name="Deals", exact=True).click()
    page.wait_for_url("**/deals/?saved=*close=overdue")
    page.get_by_role("button", name="Edit view").click()
    page.get_by_role("button", name="Delete the view").click()
    expect(page.locator(".tabs")).not_to_contain_text("Large")
    expect(page.locator(ROWS)).to_have_count(1)


@pytest.mark.parametrize("scripts", [True, False])
def test_chosen_deals_are_snoozed_and_woken(open_page: Any, scripts: bool) -> None:
    page = open_page("/deals/?view=risk", java_script_enabled=scripts)
    page.locator(ROWS, has_text="Late").get_by_role("checkbox").check()
    page.locator(BAR).get_by_role("button", name="Snooze", exact=True).first.click()
    page.locator("#snooze-menu").get_by_text("For good (mute)").click()
    page.locator("#snooze-menu").get_by_role("button", name="Snooze", exact=True).click()
    expect(page.locator("[role=status]", has_text="1 alert is muted.")).to_be_visible()
    expect(page.locator(ROWS)).to_have_count(1)
    page.locator(".tabs").get_by_role("link", name="Snoozed").click()
    expect(page.locator(ROWS)).to_have_count(1)
    page.locator(ROWS, has_text="Late").get_by_role("checkbox").check()
    page.locator(BAR).get_by_role("button", name="Snooze", exact=True).first.click()
    page.get_by_role("button", name="Wake the snoozed ones").click()
    expect(page.locator("[role=status]", has_text="1 alert is back.")).to_be_visible()


def test_a_company_is_found_and_filtered_by(open_page: Any) -> None:
    page = open_page("/deals/?view=open")
    page.locator("#company-button").click()
    expect(page.locator("#companies label")).to_have_count(2)
    page.locator("#find").press_sequentially("energie")
    expect(page.locator("#companies label")).to_have_count(1)
    page.locator("#companies").get_by_label("Acme Énergie").check()
    page.wait_for_url("**/deals/?company=*")
    expect(page.locator(ROWS)).to_have_count(1)
    expect(page.locator(".chips")).to_contain_text("Acme Énergie")


def test_a_company_is_found_without_javascript(open_page: Any) -> None:
    page = open_page("/deals/?view=open", java_script_enabled=False)
    page.locator("#company-button").click()
    page.locator("#find").fill("énergie")
    page.locator("#company-menu").get_by_role("button", name="Apply").click()
    page.locator("#company-button").click()
    page.locator("#companies").get_by_label("Acme Énergie").check()
    page.locator("#company-menu").get_by_role("button", name="Apply").click()
    expect(page.locator(ROWS)).to_have_count(1)


def test_what_is_not_seen_at_once_is_asked_for_and_choices_are_kept(open_page: Any) -> None:
    page = open_page("/deals/?view=open")  # the first page, in one piece
    page.goto(page.url)
    with page.expect_response("**/deals/facets/owner/*"):
        page.locator("#owner-button").click()
    page.locator("#owner-menu").get_by_label("Moi").check()
    page.wait_for_url("**/deals/?owner=*")
    expect(page.locator("#owner-menu").get_by_label("Moi")).to_be_focused()
    page.keyboard.press("Escape")
    page.locator("#close-button").click()
    page.locator("#close-overdue").check()
    page.wait_for_url("**/deals/?owner=*&close=overdue")
    expect(page.locator(ROWS)).to_have_count(1)
    page.keyboard.press("Escape")
    page.locator("[data-card]").hover()
    expect(page.locator(".hover-card:popover-open")).to_contain_text("Expected to close on")


def test_a_family_is_chosen_at_once_and_the_menu_stays(open_page: Any) -> None:
    page = open_page("/deals/?view=open")
    page.locator("#alert-button").click()
    page.get_by_role("link", name="CRM hygiene: all").click()
    expect(page.locator("#alert-close_date_passed")).to_be_checked()
    expect(page.locator("#alert-menu")).to_be_visible()
    page.get_by_role("link", name="CRM hygiene: none").click()
    expect(page.locator("#alert-close_date_passed")).not_to_be_checked()


def test_what_is_filtered_is_exported(open_page: Any) -> None:
    page = open_page("/deals/?view=open&sort=amount")
    page.locator("#close-button").click()
    page.locator("#close-overdue").check()
    page.wait_for_url("**close=overdue**")
    page.keyboard.press("Escape")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").first.click()
    text = Path(download.value.path()).read_text("utf-8-sig")
    assert [row["Deal"] for row in csv.DictReader(text.splitlines())] == ["Late"]


def test_nothing_moves_while_the_list_loads_or_deals_are_chosen(open_page: Any) -> None:
    page = open_page("/deals/?view=open")
    page.evaluate(
        "() => new PerformanceObserver((list) => { for (const entry of list.getEntries())"
        " window.shift = (window.shift ?? 0) + entry.value; }).observe({ type: 'layout-shift', buffered: true })"
    )
    page.keyboard.press("a")
    page.wait_for_timeout(600)
    assert page.evaluate("window.shift ?? 0") < 0.02


def test_cards_on_a_phone_are_sorted_by_a_menu(open_page: Any) -> None:
    page = open_page("/deals/")
    expect(page.locator("[popovertarget=sort-menu]")).to_be_hidden()  # a table has headings
    page.set_viewport_size({"width": 390, "height": 844})
    page.locator("[popovertarget=sort-menu]").click()
    expect(page.locator("#sort-menu [aria-current]")).to_have_text("Alerts")
    page.locator("#sort-menu").get_by_text("Close date").click()
    page.wait_for_url("**/deals/?*sort=close*")
    page.locator("[popovertarget=sort-menu]").click()
    page.locator("#sort-menu").get_by_text("Close date").click()
    page.wait_for_url("**/deals/?*sort=-close*")


@pytest.mark.parametrize(("language", "scheme"), [("en", "light"), ("fr", "dark")])
def test_every_state_is_accessible_and_fits(open_page: Any, language: str, scheme: str) -> None:
    page = open_page("/deals/?view=open&alert=no_activity&alert=close_date_passed", language, color_scheme=scheme)
    for button in ("#alert-button", "#amount-button", "#close-button", "#company-button", "[popovertarget=view-menu]"):
        page.locator(button).click()
        expect_no_violations(page, button)
        page.keyboard.press("Escape")
    page.keyboard.press("a")
    page.locator("[popovertarget=snooze-menu]").click()
    expect_no_violations(page, "snooze")
    page.keyboard.press("Escape")
    expect_no_overflow(page, "list")
    page.set_viewport_size({"width": 390, "height": 844})
    expect_no_violations(page, "phone")
    page.locator("[popovertarget=sort-menu]").click()
    expect_no_violations(page, "order on a phone")
