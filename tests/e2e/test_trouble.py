"""What a page says when a part of it does not come."""

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import expect_no_violations
from tests.pages import world_now
from tests.world import World

FORGIVEN = " 500"


@pytest.fixture
def world(transactional_db: None) -> World:
    world = world_now()
    world.deal(title="Quiet", created_at=world.at(70), stage_entered_at=world.at(1))
    world.evaluate()
    return world


@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_timeline_that_does_not_come_is_told_with_a_way_to_have_it(
    open_page: Any, world: World, language: str
) -> None:
    page = open_page("/deals/?q=nothing", language)
    page.route("**/details/**", lambda route: route.fulfill(status=500))
    page.goto(page.url.partition("/deals/")[0] + f"/deals/{world.stored().pk}/")
    note = page.locator("#aside .failed-note")
    expect(note).to_be_visible()
    expect(page.locator("article.alert").first).to_be_visible()
    expect(page.locator("#aside .late")).to_be_hidden()
    expect_no_violations(page, "without its timeline")
    note.get_by_role("link").click()
    expect(page.locator(".timeline li").first).to_be_visible()
