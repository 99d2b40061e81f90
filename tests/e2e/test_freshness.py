"""Pages show what has changed by themselves, and leave whoever is in the middle of something alone."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from alerts import queue
from tests.e2e import test_pages
from tests.world import World

world = test_pages.world


def change(world: World, page: Page) -> None:
    """Another deal gets alerts, and the page asks whether there is news, as it does four times a minute."""
    world.deal("new", title="New", created_at=world.at(80))
    with world.inside():
        queue.mark(world.organisation, [world.stored("new").pk])
    with world.inside():
        queue.evaluate_pending(world.organisation, world.clock)
    page.evaluate("htmx.trigger(document.body, 'poll')")


def test_the_list_grows_and_keeps_focus_and_scroll(open_page: Any, world: World) -> None:
    page = open_page("/deals/", viewport={"width": 1280, "height": 300})
    page.locator("tbody a[data-row]", has_text="Quiet").focus()
    page.evaluate("scrollTo(0, 120)")
    change(world, page)
    expect(page.locator("tbody tr")).to_have_count(4)
    expect(page.locator("tbody a[data-row]", has_text="Quiet")).to_be_focused()
    assert page.evaluate("scrollY") == 120
    assert page.url.endswith("/deals/")


def test_an_open_menu_is_left_alone_until_it_is_closed(open_page: Any, world: World) -> None:
    page = open_page("/deals/")
    page.locator("#alert-button").click()
    change(world, page)
    page.wait_for_timeout(1500)
    expect(page.locator("#alert-menu")).to_be_visible()
    expect(page.locator("tbody tr")).to_have_count(3)
    page.keyboard.press("Escape")
    expect(page.locator("tbody tr")).to_have_count(4)


def test_the_sign_of_an_update_turns_where_it_stands(open_page: Any, world: World) -> None:
    with world.inside():
        queue.mark(world.organisation, [world.stored("quiet").pk])
    page = open_page("/deals/")
    sign = page.locator("#freshness .spin").bounding_box()
    text = page.locator("#freshness > span").last.bounding_box()
    assert sign
    assert text
    assert sign["height"] < 30  # turned, it is wider than 18 px
    assert abs(sign["y"] - text["y"]) < 12


def test_the_deal_page_follows(open_page: Any, world: World) -> None:
    page = open_page(f"/deals/{world.stored('fine').pk}/")
    expect(page.locator("#main")).to_contain_text("No alert on this deal.")
    world.deal("fine", title="Fine", amount=None, updated_at=world.at(0))
    with world.inside():
        queue.mark(world.organisation, [world.stored("fine").pk])
    with world.inside():
        queue.evaluate_pending(world.organisation, world.clock)
    page.evaluate("htmx.trigger(document.body, 'poll')")
    expect(page.locator("#main .alert h3")).to_contain_text("Amount")


@pytest.mark.parametrize("path", ["/upcoming/", "/analytics/"])
def test_pages_with_filters_follow_by_the_address_they_have_now(open_page: Any, world: World, path: str) -> None:
    page = open_page(path)
    page.locator("#owner").select_option(label="No owner")
    page.wait_for_url(f"**{path}?owner=none")
    expect(page.locator("h1")).to_have_count(1)
    page.locator("#main").evaluate("node => { node.dataset.before = 'yes' }")
    change(world, page)
    expect(page.locator("#main:not([data-before])")).to_be_visible()
    expect(page.locator("#main h1")).to_be_visible()
    expect(page.locator("#owner")).to_have_value("none")
    assert page.url.endswith(f"{path}?owner=none")
