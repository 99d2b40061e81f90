"""The settings page in a real browser: effect while typing, overrides by keyboard, a draft that survives, axe."""

from typing import Any

import pytest
from django.contrib.sessions.models import Session
from playwright.sync_api import Page, expect

from alerts import settings as alert_settings
from deals.models import Pipeline, Team
from deals.records import PipelineRecord, StageRecord
from tests.e2e.conftest import cookies, expect_no_overflow, expect_no_violations
from tests.pages import world_now
from tests.world import World

PAGE = "/settings/alerts/"


@pytest.fixture
def world(transactional_db: None) -> World:
    """Deals without interaction for 5, 8 and 12 days; two overrides, of which the second's pipeline has no deal."""
    world = world_now()
    world.first_synced()
    world.write(
        pipelines=[PipelineRecord("q", "Partners", 2), PipelineRecord("r", "Renewals", 3)],
        stages=[StageRecord("q1", "q", "Start", 1)],
    )
    for days in (5, 8, 12):
        world.deal(f"d{days}", title=f"Quiet {days}", created_at=world.at(days))
    with world.inside():
        Team.objects.create(organisation=world.organisation, name="North")
        _sales, partners, renewals = Pipeline.objects.filter(organisation=world.organisation).order_by("position")
    world.configure(
        key_role={"roles": {"champion": 12}},
        overrides=[
            {"name": "Renewals", "pipelines": [renewals.pk], "teams": [], "rules": {"no_activity": {"days": 20}}},
            {
                "name": "Partners",
                "pipelines": [partners.pk],
                "teams": [],
                "rules": {"deal_too_old": {"enabled": False}},
            },
        ],
    )
    world.configure(no_activity={"days": 11})
    world.evaluate()
    return world


def in_force(world: World) -> dict[str, Any]:
    with world.inside():
        return alert_settings.draft_of(alert_settings.current(world.organisation))


def line(page: Page, kind: str) -> Any:
    return page.locator(".line", has=page.locator(f"#after-{kind}"))


def settled(page: Page) -> None:
    """The last change's effect has arrived: a request that the page's end cuts off is told in the console."""
    page.wait_for_timeout(450)
    expect(page.locator(".computing")).to_be_hidden()


def test_the_effect_follows_what_is_typed_and_leads_to_the_deals(open_page: Any) -> None:
    page = open_page(f"{PAGE}?edit=1")
    days = page.locator("input[name='no_activity.days']")
    days.fill("8")
    expect(line(page, "no_activity")).to_contain_text("+1")
    expect(page.locator("#effect-said")).to_have_text("1 alert changes if you save.")
    expect(days).to_be_focused()
    page.locator("#flagged-no_activity").click()
    expect(page.locator("#impact")).to_contain_text("Quiet 8")
    expect(page.locator("#impact")).not_to_contain_text("Quiet 12")
    expect(page.locator("#behind-back")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#flagged-no_activity")).to_be_visible()
    days.fill("")
    expect(page.locator("#impact")).to_contain_text("No activity, Days: Enter a whole number from 1 to 365.")
    days.press_sequentially("5", delay=20)
    expect(line(page, "no_activity")).to_contain_text("+2")
    days.press("Enter")  # shows the effect, saves nothing
    page.wait_for_timeout(300)
    expect(days).to_have_value("5")
    assert page.url.endswith("?edit=1")


def test_typing_goes_on_while_the_effect_is_computed(open_page: Any) -> None:
    page = open_page(f"{PAGE}?edit=1")
    waiting: list[Any] = []
    page.route("**/preview/", lambda route: route.continue_() if waiting else waiting.append(route))
    days = page.locator("input[name='no_activity.days']")
    days.fill("8")
    expect(page.locator(".computing")).to_be_visible()
    days.press("End")
    days.press("Backspace")
    days.press_sequentially("5")
    page.wait_for_timeout(600)
    waiting[0].continue_()
    expect(line(page, "no_activity")).to_contain_text("+2")
    expect(page.locator(".computing")).to_be_hidden()
    expect(days).to_have_value("5")
    expect(days).to_be_focused()


def test_an_admins_way_through_overrides_with_the_keyboard(open_page: Any, world: World) -> None:
    page = open_page(f"{PAGE}?edit=1")
    page.locator("#down-0").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".override h3").first).to_have_text("Partners")
    expect(page.locator("#up-1")).to_be_focused()
    expect(page.locator("#said")).to_have_text("“Renewals” is now number 2 of 2.")
    page.locator("#add").press("Enter")
    expect(page.locator("#o-name")).to_be_focused()
    page.keyboard.type("The North")
    page.locator(".override-form").get_by_label("North", exact=True).press("Space")
    page.locator("#o-no_activity-days").fill("8")
    expect(line(page, "no_activity")).to_be_visible()
    page.locator("#close").press("Enter")
    expect(page.locator("#edit-2")).to_be_focused()
    expect(page.locator(".override").last).to_contain_text("No activity, Days: 8")
    page.locator("#remove-0").press("Enter")
    expect(page.locator(".override")).to_have_count(2)
    expect(page.locator("#remove-0")).to_be_focused()
    settled(page)
    page.get_by_role("button", name="Save").press("Enter")
    page.wait_for_url(f"**{PAGE}?run=*")
    assert [each["name"] for each in in_force(world)["overrides"]] == ["Renewals", "The North"]


def test_overrides_effect_and_one_deal_work_without_javascript(open_page: Any, world: World) -> None:
    page = open_page(f"{PAGE}?edit=1", java_script_enabled=False)
    page.locator("input[name='no_activity.days']").fill("8")
    page.get_by_role("button", name="Show the effect").click()
    expect(line(page, "no_activity")).to_contain_text("+1")
    page.locator("#flagged-no_activity").click()
    expect(page.locator("#impact")).to_contain_text("Quiet 8")
    page.locator("#find").fill("quiet 8")
    page.locator(".one-deal").get_by_role("button", name="Search").click()
    page.locator(".one-deal").get_by_role("button", name="Quiet 8").click()
    expect(page.locator(".outcomes li").first).to_contain_text("fires")
    page.locator("#up-1").click()
    page.locator("#edit-0").click()
    page.locator("#o-deal_too_old-days").fill("77")
    page.get_by_role("button", name="Save").click()
    page.wait_for_url(f"**{PAGE}?run=*")
    draft = in_force(world)
    assert draft["rules"]["no_activity"]["days"] == 8
    assert [each["name"] for each in draft["overrides"]] == ["Partners", "Renewals"]
    assert draft["overrides"][0]["rules"] == {"deal_too_old": {"enabled": False, "days": 77}}


def test_one_deal_follows_the_draft(open_page: Any) -> None:
    page = open_page(f"{PAGE}?edit=1")
    page.locator("#find").fill("quiet 8")
    page.locator(".one-deal .as-link").click()
    outcome = page.locator(".outcomes li", has_text="No activity")
    expect(outcome).to_contain_text("clear")
    page.locator("input[name='no_activity.days']").fill("7")
    expect(outcome).to_contain_text("fires")
    page.locator("#unpick").click()
    expect(page.locator(".outcomes")).to_have_count(0)


def test_searching_a_deal_is_no_unsaved_change(open_page: Any) -> None:
    page = open_page(f"{PAGE}?edit=1")
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.locator("#find").fill("quiet")
    page.get_by_role("link", name="Job titles").click()
    page.wait_for_url("**/settings/titles/")
    assert asked == []


def test_moving_an_override_is_an_unsaved_change(open_page: Any) -> None:
    page = open_page(f"{PAGE}?edit=1")
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    page.locator("#down-0").click()
    expect(page.locator(".override h3").first).to_have_text("Partners")
    page.get_by_role("link", name="Job titles").click(no_wait_after=True)
    page.wait_for_timeout(300)
    assert asked == ["beforeunload"]


def test_a_draft_survives_the_end_of_the_session(open_page: Any, world: World, url: str) -> None:
    page = open_page(f"{PAGE}?edit=1")
    page.locator("input[name='no_activity.days']").fill("8")
    page.locator("#down-0").click()
    expect(page.locator(".override h3").first).to_have_text("Partners")
    settled(page)
    Session.objects.all().delete()
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/login/**")
    page.context.add_cookies(cookies(world, url, "en"))
    page.goto(f"{url}{PAGE}")
    page.get_by_role("button", name="Go on with them").click()
    expect(page.locator("input[name='no_activity.days']")).to_have_value("8")
    expect(page.locator(".override h3").first).to_have_text("Partners")
    settled(page)
    page.get_by_role("button", name="Save").click()
    page.wait_for_url(f"**{PAGE}?run=*")
    assert in_force(world)["rules"]["no_activity"]["days"] == 8
    page.goto(f"{url}{PAGE}")
    expect(page.get_by_role("button", name="Go on with them")).to_be_hidden()


def test_a_session_that_ends_while_one_types_leads_to_the_login_with_the_draft_kept(
    open_page: Any, world: World, url: str
) -> None:
    page = open_page(f"{PAGE}?edit=1")
    Session.objects.all().delete()
    page.locator("input[name='no_activity.days']").fill("8")
    page.wait_for_url("**/login/**")
    page.context.add_cookies(cookies(world, url, "en"))
    page.goto(f"{url}{PAGE}?edit=1")
    page.get_by_role("button", name="Go on with them").click()
    expect(page.locator("input[name='no_activity.days']")).to_have_value("8")
    settled(page)
    page.get_by_role("link", name="Cancel").click()
    page.wait_for_url(f"**{PAGE}")
    expect(page.get_by_role("button", name="Go on with them")).to_be_hidden()


def states(page: Page, base: str) -> Any:
    """Every state of the pages, each shown when its name is given."""
    yield "read"
    page.goto(f"{base}{PAGE}?edit=1")
    page.locator("input[name='no_activity.days']").fill("8")
    page.locator("#flagged-no_activity").wait_for()
    yield "edit"
    page.locator("#edit-0").click()
    page.locator("#o-name").fill("")
    page.locator("#close").click()
    page.locator("#o-name-help").wait_for()
    yield "open override"
    page.locator("#o-name").fill("A")
    page.locator("#close").click()
    page.locator("#edit-0").wait_for()
    settled(page)
    page.locator("#flagged-no_activity").click()
    page.locator("#behind").wait_for()
    page.locator("#find").fill("quiet")
    page.locator(".one-deal .as-link").first.click()
    page.locator(".outcomes").wait_for()
    yield "deals behind, one deal"
    settled(page)
    page.locator("[data-discard]").click()
    page.wait_for_url(f"{base}{PAGE}")
    for path in ("versions/?from=0&to=2", "versions/1/", "import/"):
        page.goto(f"{base}{PAGE}{path}")
        yield path
    page.locator("#text").fill("rules:\n  no_activity:\n    days: 7\n")
    page.locator(".import .primary").click()
    page.locator("#would").wait_for()
    yield "import checked"


@pytest.mark.parametrize(("language", "scheme"), [("en", "light"), ("fr", "dark")])
def test_axe_finds_nothing_and_nothing_is_too_wide(open_page: Any, url: str, language: str, scheme: str) -> None:
    page = open_page(PAGE, language, color_scheme=scheme)
    for state in states(page, url):
        expect_no_overflow(page, state)
        expect_no_violations(page, state)
