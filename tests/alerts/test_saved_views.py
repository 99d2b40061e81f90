"""Saved views: own and shared, counted in the list's one statement, changed by whom they belong to."""

import pytest
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Membership, User
from alerts import saved_views
from alerts.deal_query import LONGEST, DealQuery
from alerts.listing import DealList
from alerts.models import SavedView, StartView
from deals.models import Stage
from deals.records import StageRecord
from tests.pages import log_in, world_now
from tests.world import World

pytestmark = pytest.mark.django_db
BOB = "bob@vigie.example"


@pytest.fixture
def world() -> World:
    """Three deals: one at risk for its silence and its close date, one for its close date, one that is fine."""
    world = world_now()
    world.contact("zoe")
    world.deal("both", title="Both", created_at=world.at(30), stage_entered_at=world.at(2), close_on=world.day(3))
    world.deal("late", title="Late", close_on=world.day(3), stage="s2")
    world.deal("fine", title="Fine")
    for ref in ("both", "late", "fine"):
        world.activity("meeting", -3, "zoe", deal=ref, state="planned")
    world.evaluate()
    return world


def save(client: Client, name: str, query: str = "", **fields: str) -> str:
    """Saves, and returns where one is led."""
    answer = client.post("/deals/views/", {"name": name, "query": query, **fields})
    assert answer.status_code == 302
    return answer["Location"]


def listed(client: Client, address: str = "/deals/?view=open") -> DealList:
    answer = client.get(address)
    assert answer.status_code == 200
    found: DealList = answer.context["list"]
    return found


def tabs(client: Client, address: str = "/deals/?view=open") -> dict[str, int | None]:
    return {tab.label: tab.count for tab in listed(client, address).tabs if "saved=" in tab.url}


def said(client: Client, address: str = "/deals/?view=open") -> list[str]:
    return [str(message) for message in get_messages(client.get(address).wsgi_request)]


def view(name: str, world: World) -> SavedView:
    with world.inside():
        return SavedView.objects.get(organisation=world.organisation, name=name)


def test_a_saved_view_is_a_tab_with_its_count_and_opens_with_its_filters(world: World) -> None:
    client = log_in(world)
    address = save(client, "  Late   ones ", "alert=close_date_passed&sort=close&page=3")
    pk = view("Late ones", world).pk
    assert address == f"/deals/?saved={pk}&alert=close_date_passed&sort=close"
    found = listed(client, address)
    assert sorted(row.deal.title for row in found.rows) == ["Both", "Late"]
    assert tabs(client) == {"Late ones": 2}
    assert [tab.label for tab in found.tabs if tab.current] == ["Late ones"]


def test_counts_of_many_views_take_no_further_statement(world: World) -> None:
    client = log_in(world)

    def statements() -> int:
        with CaptureQueriesContext(connection) as captured:
            listed(client)
        return len(captured)

    listed(client)
    none = statements()
    for n, query in enumerate(["view=risk", "alert=no_activity", "q=fine", "close=overdue&amount=under-10k"] * 4):
        save(client, f"view {n:02}", query)
    assert statements() == none
    found = listed(client)
    assert list(tabs(client).values()) == [2, 1, 1, 2] * 3
    assert [tab.label for tab in found.more] == [f"view {n}" for n in range(12, 16)]
    last = listed(client, found.more[-1].url)
    assert [tab.label for tab in last.tabs if tab.current] == ["view 15"]


def test_a_private_view_is_seen_by_its_maker_alone_and_a_shared_one_by_all(world: World) -> None:
    ana, bob = log_in(world), log_in(world, role="rep", email=BOB)
    save(ana, "Mine", "view=risk")
    save(ana, "Ours", "view=clear", shared="on")
    assert set(tabs(ana)) == {"Mine", "Ours"}
    assert set(tabs(bob)) == {"Ours"}
    [shared] = [tab for tab in listed(bob).tabs if tab.label == "Ours"]
    assert shared.by == "Shared by Ana Ruiz"
    assert bob.post(f"/deals/views/{view('Mine', world).pk}/", {"do": "start"}).status_code == 404


def test_only_the_maker_changes_a_view_and_an_admin_may_delete_a_shared_one(world: World) -> None:
    bob = log_in(world, role="rep", email=BOB)
    cy = log_in(world, role="manager", email="cy@vigie.example")
    ana = log_in(world)
    save(bob, "Ours", "view=clear", shared="on")
    address = f"/deals/views/{view('Ours', world).pk}/"
    for client in (ana, cy):
        assert client.post(address, {"do": "rename", "name": "Theirs"}).status_code == 403
        assert client.post(address, {"do": "overwrite", "name": "Theirs"}).status_code == 403
    assert cy.post(address, {"do": "delete"}).status_code == 403
    assert view("Ours", world).query == "view=clear"
    assert ana.post(address, {"do": "delete"}).status_code == 302
    assert tabs(bob) == {}


def test_a_view_is_renamed_and_given_other_filters(world: World) -> None:
    client = log_in(world)
    address = save(client, "Risk", "view=risk")
    pk = view("Risk", world).pk
    assert not listed(client, address).is_changed
    assert listed(client, f"/deals/?saved={pk}&view=risk&alert=no_activity").is_changed
    client.post(f"/deals/views/{pk}/", {"do": "rename", "name": "Quiet", "query": f"saved={pk}&alert=no_activity"})
    assert view("Quiet", world).query == "view=risk"
    client.post(f"/deals/views/{pk}/", {"do": "overwrite", "name": "Quiet", "query": f"saved={pk}&alert=no_activity"})
    assert view("Quiet", world).query == "alert=no_activity"
    assert tabs(client) == {"Quiet": 1}


def test_a_name_is_taken_once_by_each_person_and_twice_by_two(world: World) -> None:
    ana, bob = log_in(world), log_in(world, role="rep", email=BOB)
    save(ana, "Late", "view=risk", shared="on")
    save(bob, "Late", "view=clear", shared="on")
    assert [tab.by for tab in listed(ana).tabs if tab.label == "Late"] == ["", f"Shared by {BOB}"] or len(
        [tab for tab in listed(ana).tabs if tab.label == "Late"]
    ) == 2
    assert save(ana, "LATE", "view=open") == "/deals/?view=open"
    assert "You already have a view named “LATE”." in said(ana)
    with world.inside():
        assert SavedView.objects.filter(organisation=world.organisation).count() == 2


@pytest.mark.parametrize("name", ["", "   ", "x" * 5_000, "\x00"])
def test_a_name_that_cannot_be_is_told_and_nothing_is_saved(world: World, name: str) -> None:
    client = log_in(world)
    assert save(client, name, "view=risk") == "/deals/?view=risk"
    assert "Give it a name of at most 60 characters." in said(client)
    assert tabs(client) == {}


def test_names_in_any_script_are_text(world: World) -> None:
    client = log_in(world)
    for name in ("<script>alert(1)</script>", "שלום עולם", "🚀 Q4"):
        save(client, name, "view=risk")
    page = client.get("/deals/?view=open").content.decode()
    assert "<script>alert" not in page
    assert "שלום עולם" in page
    assert set(tabs(client)) == {"<script>alert(1)</script>", "שלום עולם", "🚀 Q4"}


def test_the_list_opens_with_the_start_view_and_the_plain_list_stays_reachable(world: World) -> None:
    client = log_in(world)
    address = save(client, "Risk", "view=risk", start="on")
    assert client.get("/deals/")["Location"] == address
    plain = listed(client)
    assert [tab.label for tab in plain.tabs if tab.current] == ["All open deals"]
    assert len(plain.rows) == 3
    assert client.get("/deals/", headers={"HX-Request": "true"}).status_code == 302
    client.post("/deals/views/", {"do": "plain"})
    assert client.get("/deals/").status_code == 200


def test_a_start_view_that_is_shared_no_more_or_deleted_is_none(world: World) -> None:
    ana, bob = log_in(world), log_in(world, role="rep", email=BOB)
    save(ana, "Ours", "view=risk", shared="on")
    address = f"/deals/views/{view('Ours', world).pk}/"
    bob.post(address, {"do": "start"})
    assert bob.get("/deals/").status_code == 302
    ana.post(address, {"do": "rename", "name": "Ours"})  # not shared any more
    assert bob.get("/deals/").status_code == 200
    ana.post(address, {"do": "rename", "name": "Ours", "shared": "on"})
    assert bob.get("/deals/").status_code == 302
    ana.post(address, {"do": "delete"})
    assert bob.get("/deals/").status_code == 200
    with world.inside():
        assert not StartView.objects.filter(organisation=world.organisation).exists()


def test_a_view_that_names_what_has_vanished_says_so_and_works_with_the_rest(world: World) -> None:
    client = log_in(world)
    stage = world.stored("late").stage_id
    address = save(client, "Offers", f"stage={stage}&alert=close_date_passed")
    assert len(listed(client, address).rows) == 1
    world.write(stages=[StageRecord("s2", "p", "Offer", 2, deleted=True)])
    world.deal("late", title="Late", close_on=world.day(3), stage="s1")
    world.evaluate()
    found = listed(client, address)
    assert found.query.refused == ("This stage no longer exists; the filter was left out.",)
    assert len(found.rows) == 2
    assert not found.is_changed
    assert tabs(client) == {"Offers": None}
    with world.inside():
        assert Stage.objects.get(pk=stage).deleted


def test_a_view_that_is_gone_or_of_others_is_told_and_its_filters_stay(world: World) -> None:
    client, bob = log_in(world), log_in(world, role="rep", email=BOB)
    save(bob, "Bob's", "view=risk")
    for pk in (view("Bob's", world).pk, 999_999_999):
        found = listed(client, f"/deals/?saved={pk}&view=risk")
        assert found.query.refused == ("This saved view no longer exists.",)
        assert len(found.rows) == 2
        assert found.query.url == "/deals/?view=risk"
    for odd in ("-1", "x", "9" * 30, "1%00"):
        assert listed(client, f"/deals/?saved={odd}&view=risk").query.refused


def test_the_shared_view_of_somebody_who_left_stays_and_says_so(world: World) -> None:
    client, bob = log_in(world), log_in(world, role="rep", email=BOB)
    save(bob, "Ours", "view=risk", shared="on")
    Membership.objects.filter(user__email=BOB).delete()
    [tab] = [tab for tab in listed(client).tabs if tab.label == "Ours"]
    assert tab.by == f"Shared by {User.objects.get(email=BOB)}, who has left"
    assert listed(client, tab.url).count == 2


def test_a_hundred_views_at_most_and_a_hundred_shared_ones(world: World) -> None:
    client, bob = log_in(world), log_in(world, role="rep", email=BOB)
    with world.inside():
        ana = User.objects.get(email="ana@vigie.example")
        SavedView.objects.bulk_create(
            SavedView(organisation=world.organisation, user=ana, name=f"v{n}", shared=True, created_at=world.clock.now)
            for n in range(saved_views.MOST)
        )
    save(client, "one more", "view=risk")
    assert "You have 100 saved views already. Delete one first." in said(client)
    save(bob, "shared", "view=risk", shared="on")
    assert "100 views are shared already. Keep this one private." in said(bob)
    save(bob, "private", "view=risk")
    assert view("private", world).query == "view=risk"


def test_what_is_too_long_to_be_stored_is_told(world: World) -> None:
    client = log_in(world)
    query = "&".join(f"owner={n}" for n in range(10_000))
    assert len(query) > LONGEST
    save(client, "Long", query)
    assert len(view("Long", world).query) <= LONGEST
    assert DealQuery.stored("saved=3&view=risk&page=4").text == "view=risk"
