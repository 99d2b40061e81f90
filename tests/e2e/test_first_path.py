"""From an empty organisation to an alert that explains itself, in the browser."""

import re

from playwright.sync_api import Page, expect

from accounts.models import Membership
from accounts.tenancy import tenant
from alerts.models import Alert
from tests.e2e.conftest import log_in
from tests.processes import wait_for


def shown(page: Page, selector: str) -> int:
    return int(re.sub(r"\D", "", page.locator(selector).first.inner_text()) or 0)


def records(page: Page) -> int:
    return sum(int(re.sub(r"\D", "", text) or 0) for text in page.locator(".streams .number").all_inner_texts())


def save(page: Page) -> None:
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#evaluation")).to_contain_text("up to date", timeout=30_000)


def test_connect_watch_filter_hover_and_change_the_settings(
    page: Page, working_url: str, admin: Membership, console: list[str]
) -> None:
    organisation = admin.organisation
    log_in(page, working_url, admin)
    expect(page.locator("#list")).to_contain_text("Connect")

    # A wrong token is told with what to do; the right one starts the first synchronisation.
    page.goto(f"{working_url}/settings/crm/")
    page.get_by_role("radio", name="HubSpot").check()
    page.locator("input[name=token]").fill("wrong-token")
    page.get_by_role("button", name="Check and connect").click()
    expect(page.locator("form .error").first).to_be_visible()
    page.get_by_role("radio", name="HubSpot").check()
    page.locator("input[name=token]").fill("sandbox-hubspot-token")
    page.get_by_role("button", name="Check and connect").click()
    expect(page.locator(".streams")).to_be_visible()

    counts = [records(page)]

    def rising() -> bool:
        if (now := records(page)) > counts[-1]:
            counts.append(now)
        page.wait_for_timeout(200)
        return len(counts) > 3

    wait_for(rising, 60)
    expect(page.locator("#connections h3").first).to_have_text("Last reading", timeout=60_000)

    # The list: alerts as icons, a filter that keeps what has any of the chosen ones, a card on hover.
    def evaluated() -> bool:
        with tenant(organisation):
            return Alert.objects.filter(kind="no_meeting", resolved_at=None).exists()

    wait_for(evaluated)
    page.goto(f"{working_url}/deals/")
    everything = shown(page, ".totals strong")
    page.locator("#alert-button").click()
    page.locator("#alert-no_meeting").check()
    expect(page).to_have_url(re.compile("alert=no_meeting"))
    expect(page.locator(".chips")).to_contain_text("No meeting planned")
    filtered = shown(page, ".totals strong")
    assert 0 < filtered < everything
    page.keyboard.press("Escape")

    badge = page.locator("tbody [data-alert=no_meeting]").first
    badge.hover()
    card = page.locator(".hover-card:popover-open")
    expect(card).to_be_visible()
    expect(card).to_contain_text("No meeting planned")
    expect(card).to_contain_text("Since")
    page.keyboard.press("Escape")
    expect(card).to_be_hidden()

    # The deal page shows the evidence.
    page.locator("tbody a[data-row]").first.click()
    expect(page.locator("main")).to_contain_text("No meeting planned")

    # A limit is changed and the list changes with it.
    page.goto(f"{working_url}/deals/?alert=no_activity")
    before = shown(page, ".totals strong")
    page.goto(f"{working_url}/settings/alerts/")
    page.get_by_role("link", name="Edit").click()
    page.locator("input[name='no_activity.days']").fill("0")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".error").first).to_contain_text("1")
    page.locator("input[name='no_activity.days']").fill("3")
    save(page)
    page.goto(f"{working_url}/deals/?alert=no_activity")
    assert shown(page, ".totals strong") > before

    # A rule is switched off: its alerts resolve with that reason; on again, they are back.
    for enabled in (False, True):
        page.goto(f"{working_url}/settings/alerts/?edit=1")
        page.locator("input[name='no_meeting.enabled']").set_checked(enabled)
        save(page)
        with tenant(organisation):
            alerts = Alert.objects.filter(kind="no_meeting")
            assert alerts.filter(resolved_at=None).exists() is enabled
            assert alerts.filter(reason="rule_off").exists()
    assert [line for line in console if "422" not in line] == []
