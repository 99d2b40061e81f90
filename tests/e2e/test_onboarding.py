"""The first hour of an admin in a real browser: the set-up step by step, then a rate; axe, widths, keyboard."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from crm_sync.models import Connection, StreamProgress, SyncRun
from tests.e2e.conftest import expect_no_violations
from tests.pages import world_now
from tests.world import World

FORGIVEN = "422"  # of a form that is refused
STATES = [(language, scheme, width) for language, scheme in (("en", "dark"), ("fr", "light")) for width in (390, 1280)]


@pytest.fixture
def world(transactional_db: None) -> World:
    world = world_now()
    world.contact("zoe", title="Grand Vizier", roles=("Champion",))
    world.deal("late", title="Late", close_on=world.day(3))
    world.deal("dollar", title="Dollar", currency="USD", close_on=world.day(3))
    world.evaluate()
    with world.inside():
        mine = {"organisation": world.organisation}
        link = Connection.objects.create(
            **mine, source=world.source, provider="pipedrive", connected_at=world.clock.now, token="sealed"
        )
        run = SyncRun.objects.create(
            **mine, connection=link, kind=SyncRun.Kind.FIRST, until=world.clock.now, started_at=world.clock.now
        )
        StreamProgress.objects.create(**mine, run=run, position=0, stream="deals", records=1234)
    return world


def sound(page: Page, where: str) -> None:
    """No violation, nothing wider than the window."""
    expect_no_violations(page, where)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), where


def test_the_set_up_from_the_first_login_to_the_list(open_page: Any, world: World) -> None:
    page = open_page("/")
    page.wait_for_url("**/welcome/")
    expect(page.locator("[aria-current=step]")).to_contain_text("1,234")
    world.first_synced()
    with world.inside():
        world.source.synced_at = world.clock.now
        world.source.save()
        SyncRun.objects.update(finished_at=world.clock.now)
    # It goes on by itself.
    expect(page.get_by_role("status").filter(has_text="2 of 5 steps")).to_be_visible()
    page.get_by_role("link", name="Check roles and job titles").press("Enter")
    expect(page.locator("[aria-current=step]")).to_contain_text("Grand Vizier")
    page.get_by_role("button", name="Good as it is").press("Enter")
    expect(page.locator("[aria-current=step]")).to_contain_text("2 of 2 open deals are at risk")
    page.get_by_role("button", name="Skip this step").click()
    page.get_by_role("button", name="I work alone").click()
    expect(page.get_by_text("Everything is set up.")).to_be_visible()
    page.get_by_role("link", name="See your deals").click()
    expect(page.get_by_role("heading", name="Deals", exact=True)).to_be_visible()
    expect(page.locator(".set-up-card")).to_have_count(0)


def test_a_rate_is_entered_by_keyboard(open_page: Any) -> None:
    page = open_page("/settings/currencies/")
    expect(page.get_by_text("no rate", exact=True)).to_be_visible()
    page.get_by_role("link", name="Enter a rate of USD").press("Enter")
    page.get_by_label("What one unit is worth, in EUR").press_sequentially("0.9213")
    page.keyboard.press("Enter")
    expect(page.get_by_text("1 USD = 0.9213 EUR")).to_be_visible()
    page.get_by_role("link", name="1 rates of USD: history").press("Enter")
    expect(page.get_by_role("heading", name="Rates of USD into EUR")).to_be_visible()


@pytest.mark.parametrize(("language", "scheme", "width"), STATES)
def test_pages_are_sound_in_every_state(open_page: Any, language: str, scheme: str, width: int) -> None:
    page = open_page("/welcome/", language, color_scheme=scheme, viewport={"width": width, "height": 800})
    base = page.url.partition("/welcome/")[0]
    for step in ("connect", "people", "thresholds", "invite"):
        page.goto(f"{base}/welcome/?step={step}")
        sound(page, step)
    page.goto(f"{base}/deals/")
    sound(page, "deals")
    page.goto(f"{base}/settings/currencies/?enter=USD")
    sound(page, "currencies")
    page.locator("#rate").fill("many")
    page.locator("[name=enter]").click()
    sound(page, "wrong rate")
    page.locator("#text").fill("USD,2026-01-05,0.9\nUSD,2026-01-06,0.8\nGBP,2026-01-06,1.1")
    page.locator("[name=import]").click()
    page.goto(f"{base}/settings/currencies/?history=USD")
    sound(page, "history")
    page.locator("#text").fill("x" * 5000)
    page.locator("[name=import]").click()
    sound(page, "wrong import")


def test_without_javascript_everything_is_links_and_forms(open_page: Any) -> None:
    page = open_page("/welcome/?step=people", java_script_enabled=False)
    page.get_by_role("button", name="Good as it is").click()
    expect(page.get_by_role("link", name="Check roles and job titles")).to_be_visible()
    page.get_by_role("button", name="End the set-up here").click()
    page.wait_for_url("**/deals/")
