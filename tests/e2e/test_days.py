"""A rep's, a manager's and an admin's day by keyboard alone, in both languages, in one browser each."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.utils.translation import gettext as _
from django.utils.translation import override
from playwright.sync_api import Browser, BrowserContext, Page, expect

from alerts import settings as alert_settings
from alerts.models import Snooze
from deals.records import ColleagueRecord
from tests.e2e.conftest import cookies
from tests.pages import world_now
from tests.world import World
from workplace.models import Note, Review

LANGUAGES = pytest.mark.parametrize("language", ["en", "fr"])


@pytest.fixture
def world(transactional_db: None) -> World:
    """Ana sells two deals that are at risk, and one that is fine."""
    world = world_now()
    world.first_synced()
    world.configure(power_map=False)
    world.write(colleagues=[ColleagueRecord("ana", "Ana Ruiz", "ana@vigie.example", True)])
    world.contact("zoe")
    for ref, amount in (("late", 9000), ("later", 5000)):
        world.deal(ref, title=ref.title(), owner="ana", amount=Decimal(amount), close_on=world.day(3))
    world.deal("fine", title="Fine", owner="ana")
    world.deal("other", title="Other", close_on=world.day(3))
    for ref in ("late", "later", "fine", "other"):
        world.activity("meeting", -3, "zoe", deal=ref, state="planned")
    world.evaluate()
    return world


@pytest.fixture
def page_as(browser: Browser, url: str, world: World) -> Iterator[Any]:
    """The deal list as somebody of that role opens it: page_as("rep", "fr")."""
    contexts: list[BrowserContext] = []

    def page_as(role: str, language: str) -> Page:
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        contexts.append(context)
        context.add_cookies(cookies(world, url, language, role))
        page = context.new_page()
        page.goto(f"{url}/deals/?view=open")
        return page

    yield page_as
    for context in contexts:
        context.close()


def tab_to(page: Page, target: Any) -> None:
    """Press Tab until `target` has the focus; a person would give up after a hundred times."""
    for _n in range(100):
        if target.evaluate("node => node === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the keyboard does not reach {target}")


@LANGUAGES
def test_a_reps_monday(page_as: Any, url: str, world: World, language: str) -> None:
    page = page_as("rep", language)
    with override(language):
        mine, snooze = _("My deals"), _("Snooze")
    tab_to(page, page.get_by_role("link", name=mine))
    page.keyboard.press("Enter")
    expect(page.locator("tbody tr")).to_have_count(3)
    page.wait_for_load_state()
    page.keyboard.press("j")
    expect(page.locator("a[data-row]").first).to_be_focused()
    tab_to(page, page.locator("tbody .badges").first)
    expect(page.locator(".hover-card:popover-open")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Late")
    tab_to(page, page.get_by_role("button", name=snooze).first)
    page.keyboard.press("Enter")
    tab_to(page, page.locator("form.snooze:popover-open input[name=until]").first)
    page.keyboard.press("ArrowDown")
    tab_to(page, page.locator("form.snooze:popover-open button.primary"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_be_visible()
    with world.inside():
        assert Snooze.objects.get().kind == "close_date_passed"
    page.goto(f"{url}/deals/?view=mine")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Later")
    page.wait_for_load_state()
    page.keyboard.press("j")
    expect(page.get_by_role("heading", level=1)).not_to_have_text("Later")


@LANGUAGES
def test_a_managers_review(page_as: Any, world: World, language: str) -> None:
    page = page_as("manager", language)
    with override(language):
        review, start, end = _("Pipeline review"), _("Start the review"), _("End the review")
    tab_to(page, page.get_by_role("link", name=review))
    page.keyboard.press("Enter")
    tab_to(page, page.get_by_role("button", name=start))
    page.keyboard.press("Enter")
    expect(page.locator("#progress")).to_be_visible()
    page.wait_for_load_state()
    page.keyboard.press("j")
    page.keyboard.press("r")
    expect(page.locator("tr:has(.reviewed)")).to_have_count(1)
    page.keyboard.press("n")
    expect(page.locator("tbody textarea")).to_be_focused()
    page.keyboard.type("Call them")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".note-text")).to_have_text("Call them")
    tab_to(page, page.get_by_role("button", name=end))
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name=start)).to_be_visible()
    with world.inside():
        assert Review.objects.get().ended_at
        assert Note.objects.get().text == "Call them"


@LANGUAGES
def test_an_admins_change(page_as: Any, world: World, language: str) -> None:
    page = page_as("admin", language)
    with override(language):
        alerts, edit, save = _("Deal alerts"), _("Edit"), _("Save")
    tab_to(page, page.get_by_role("link", name=alerts))
    page.keyboard.press("Enter")
    tab_to(page, page.get_by_role("link", name=edit, exact=True))
    page.keyboard.press("Enter")
    tab_to(page, page.locator("input[name='no_activity.days']"))
    page.keyboard.press("Control+a")
    page.keyboard.type("4")
    expect(page.locator("#flagged-no_activity")).to_be_visible()
    tab_to(page, page.get_by_role("button", name=save, exact=True))
    page.keyboard.press("Enter")
    page.wait_for_url("**/settings/alerts/?run=*")
    with world.inside():
        assert alert_settings.current(world.organisation).rules["no_activity"]["days"] == 4
