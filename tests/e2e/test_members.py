"""Members, profile and invitation in a real browser: axe, widths, and what an admin does here."""

from typing import Any

import pytest
from playwright.sync_api import expect

from accounts.models import User
from deals.records import ColleagueRecord, TeamRecord
from tests.e2e.conftest import expect_no_overflow, expect_no_violations
from tests.pages import world_now
from tests.world import World
from workplace import invitations

FORGIVEN = "410 (Gone)"  # of a void invitation


@pytest.fixture
def world(transactional_db: None) -> World:
    world = world_now()
    world.first_synced()
    teams = (TeamRecord("1", "North"),)
    for ref, name in (("ana", "Ana Ruiz"), ("bea", "Bea Lund"), ("carl", "Carl-Friedrich von Grünewald-Hohenstein")):
        world.write(colleagues=[ColleagueRecord(ref, name, f"{ref}@vigie.example", True, teams)])
        world.deal(ref, owner=ref, title=name)
    return world


def invited(world: World) -> str:
    """The address of an invitation."""
    with world.inside():
        by = User.objects.first() or User.objects.create_user("ana@vigie.example", name="Ana Ruiz")
        found = world.organisation.invitations.first() or invitations.invite(
            world.organisation, "zoe@vigie.example", "rep", by, world.clock.now
        )
        return f"/invitation/{invitations.token_of(found)}/"


def pages(world: World) -> list[tuple[str, bool]]:
    """(address, whether a stranger opens it)."""
    link = invited(world)
    with world.inside():
        carl = world.organisation.colleagues.get(external_id="carl").pk
    signed_in = ("/settings/members/", "/settings/owners/", f"/settings/owners/?change={carl}", "/settings/teams/")
    return [*((path, False) for path in (*signed_in, "/profile/")), (link, True), ("/invitation/void/", True)]


@pytest.mark.parametrize(("language", "scheme"), [("en", "light"), ("fr", "dark")])
def test_axe_finds_nothing_and_nothing_is_wider_than_the_window(
    open_page: Any, world: World, language: str, scheme: str
) -> None:
    for path, stranger in pages(world):
        page = open_page(path, language, stranger, color_scheme=scheme)
        expect_no_violations(page, path)
        expect_no_overflow(page, path)


@pytest.mark.parametrize("scripts", [True, False])
def test_an_admin_says_who_is_who_makes_a_team_and_invites(open_page: Any, scripts: bool) -> None:
    page = open_page("/settings/owners/", java_script_enabled=scripts)
    page.locator("tr", has_text="Bea Lund").get_by_role("link", name="Change").click()
    page.get_by_label("Member who is Bea Lund").select_option(label="Ana Ruiz · ana@vigie.example")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("tr", has_text="Bea Lund")).to_contain_text("said by an admin")
    page.get_by_role("link", name="Teams").click()
    page.get_by_label("Name").fill("East")
    page.get_by_role("button", name="Make the team").click()
    page.get_by_label("Bea Lund").check()
    page.get_by_role("button", name="Save").click()
    expect(page.locator("section", has_text="East").first).to_contain_text("Bea Lund")
    page.get_by_role("link", name="CRM users").click()
    page.get_by_role("link", name="Invite Carl").click()
    expect(page.get_by_label("E-mail")).to_have_value("carl@vigie.example")
    page.get_by_role("button", name="Make the invitation").click()
    expect(page.get_by_label("Link of the invitation of carl@vigie.example")).to_be_visible()


def test_who_is_invited_joins_from_the_keyboard(open_page: Any, world: World) -> None:
    page = open_page(invited(world), stranger=True)
    expect(page.get_by_label("Your name")).to_be_focused()
    for text in ("Zoé Martin", "correct horse battery", "correct horse battery"):
        page.keyboard.type(text)
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/deals/")
    expect(page.get_by_role("status").first).to_contain_text("Welcome to Test.")


@pytest.mark.parametrize("scripts", [True, False])
def test_theme_and_language_of_the_side_bar_are_found_in_the_profile(open_page: Any, scripts: bool) -> None:
    page = open_page("/settings/teams/", java_script_enabled=scripts)
    if scripts:
        with page.expect_response("**/profile/theme/"):
            page.get_by_role("button", name="Dark").click()
    else:
        page.get_by_role("button", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.get_by_role("button", name="Français").click()
    page.get_by_role("link", name="Profil").click()
    expect(page.get_by_label("Apparence").locator("option:checked")).to_have_text("Sombre")
    expect(page.get_by_label("Langue").locator("option:checked")).to_have_text("Français")
