"""Analytics and coming alerts in a real browser: axe, widths, keyboard, no JavaScript, print."""

from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import expect

from alerts.models import Alert
from deals.models import Colleague, Team, TeamMember
from tests.e2e.conftest import expect_no_overflow, expect_no_violations
from tests.pages import world_now
from tests.world import World

PAGES = (
    "/analytics/",
    "/analytics/?weeks=52&owner=none",
    "/analytics/?from=x",
    "/upcoming/",
    "/upcoming/?owner=none",
)


@pytest.fixture
def world(transactional_db: None) -> World:
    """Thirty deals, some with two alerts on a day, and a history of alerts that were resolved."""
    w = world_now()
    w.first_synced()
    long = "Établissements Grégoire-Vandenbroucke & Söhne " * 3
    for n in range(30):
        w.deal(f"d{n}", title=f"{long}{n}" if n % 7 == 0 else f"Deal {n}", created_at=w.at(n), amount=12_345 * n)
    w.evaluate()
    with w.inside():
        team = Team.objects.create(organisation=w.organisation, name="Nord")
        me = Colleague.objects.get(external_id="me")
        TeamMember.objects.create(organisation=w.organisation, team=team, colleague=me)
        for n, alert in enumerate(Alert.objects.order_by("pk")[:12]):
            alert.opened_at -= timedelta(days=20 + 3 * n)
            alert.resolved_at, alert.reason = alert.opened_at + timedelta(days=n), "won" if n % 3 else "fact_changed"
            alert.save()
    return w


def addresses(world: World) -> tuple[str, ...]:
    return *PAGES, f"/upcoming/?on={world.day(-1)}"


@pytest.mark.parametrize(("language", "scheme"), [("en", "light"), ("fr", "dark")])
def test_no_page_has_a_violation_or_is_too_wide(open_page: Any, world: World, language: str, scheme: str) -> None:
    for path in addresses(world):
        page = open_page(path, language, color_scheme=scheme)
        expect_no_violations(page, path)
        for summary in page.locator("main summary").all():
            summary.click()
        expect_no_overflow(page, path)
        if path == "/analytics/":
            expect_no_violations(page, "the numbers as a table")
        if path == "/upcoming/":
            page.locator("#calendar button[value=make]").click()
            expect(page.locator("#feed-address")).to_be_visible()
            expect_no_violations(page, "with an address")
            page.locator("#calendar button[value=revoke]").click()


def test_a_filter_changes_the_report_its_address_and_keeps_the_focus(open_page: Any) -> None:
    page = open_page("/analytics/")
    page.locator("#owner").focus()
    page.locator("#owner").select_option(label="No owner")
    page.wait_for_url("**/analytics/?owner=none")
    expect(page.locator("[role=status]").first).to_contain_text("0 alerts opened")
    expect(page.locator("#owner")).to_be_focused()
    page.get_by_role("link", name="26 weeks").click()
    page.wait_for_url("**/analytics/?weeks=26&owner=none")
    page.go_back()
    expect(page.locator("#owner")).to_have_value("none")


def test_a_day_is_chosen_from_the_keyboard_and_all_days_come_back(open_page: Any, world: World) -> None:
    page = open_page("/upcoming/")
    first = page.locator(".month a").first
    first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/upcoming/?on={world.day(-1)}")
    expect(page.locator(".month a[aria-current=date]")).to_have_count(1)
    expect(page.locator(".coming")).to_have_count(1)
    page.get_by_role("link", name="All days").click()
    page.wait_for_url("**/upcoming/")


def test_filters_and_the_calendar_address_work_without_javascript(open_page: Any) -> None:
    page = open_page("/upcoming/", java_script_enabled=False)
    page.locator("#owner").select_option(label="Moi")
    page.get_by_role("button", name="Apply").click()
    page.wait_for_url("**/upcoming/?*owner=*")
    page.get_by_role("button", name="Make an address").click()
    address = page.locator("#feed-address").input_value()
    expect(page.get_by_role("button", name="Copy")).to_be_hidden()
    assert page.request.get(address).headers["content-type"] == "text/calendar; charset=utf-8"
    page.get_by_role("button", name="Renew").click()
    expect(page.locator("#feed-address")).not_to_have_value(address)
    assert page.request.get(address).status == 404
    page = open_page("/analytics/", java_script_enabled=False)
    page.locator("#team").select_option(label="Nord")
    page.get_by_role("button", name="Apply").click()
    page.wait_for_url("**/analytics/?*team=*")
    page.locator("summary").click()
    expect(page.get_by_text("Open at the end", exact=True)).to_be_visible()


def test_the_address_is_copied(open_page: Any) -> None:
    page = open_page("/upcoming/", permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Make an address").click()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == page.locator("#feed-address").input_value()


def test_on_paper_the_report_is_there_and_the_menus_are_not(open_page: Any) -> None:
    page = open_page("/analytics/")
    page.emulate_media(media="print")
    expect(page.locator(".side")).to_be_hidden()
    expect(page.locator(".filters")).to_be_hidden()
    expect(page.locator(".plot").first).to_be_visible()
    expect(page.locator("#rules")).to_be_visible()
