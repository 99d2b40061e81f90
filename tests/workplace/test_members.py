"""Members, their roles, who they are in the CRM, and their teams."""

import threading
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from accounts.models import Membership, User
from accounts.tenancy import tenant
from deals.models import Deal, OwnerLink
from deals.owners import colleagues_of
from deals.records import ColleagueRecord, TeamRecord
from tests.pages import log_in, world_now
from tests.world import World
from workplace import members

pytestmark = pytest.mark.django_db


def owner(ref: str, *teams: str, active: bool = True) -> ColleagueRecord:
    names = tuple(TeamRecord(name, name) for name in teams)
    return ColleagueRecord(ref, ref.title(), f"{ref}@vigie.example", active, names)


@pytest.fixture
def world() -> World:
    """Ana (North), Bea (North, South) and Carl own one, two and three open deals; Ana and Bea are members."""
    w = world_now()
    w.write(colleagues=[owner("ana", "North"), owner("bea", "North", "South"), owner("carl")])
    w.first_synced()
    for n, ref in enumerate(["ana", "bea", "bea", "carl", "carl", "carl"]):
        w.deal(f"{ref}{n}", owner=ref, title=f"{ref} {n}")
    return w


def member(w: World, email: str, role: str = "rep", name: str = "") -> Membership:
    user = User.objects.filter(email=email).first() or User.objects.create_user(email, name=name)
    return Membership.objects.create(user=user, organisation=w.organisation, role=role)


def said(answer: Any) -> str:
    return " ".join(str(message) for message in answer.context["messages"])


def post(client: Client, path: str, **data: Any) -> Any:
    return client.post(path, data, follow=True)


def names(w: World, user: User) -> set[str]:
    with w.inside():
        return set(colleagues_of(user, w.organisation).values_list("name", flat=True))


# ---- Roles


def test_an_admin_gives_another_role_and_removes_a_member(world: World) -> None:
    client, bea = log_in(world), member(world, "bea@vigie.example")
    answer = post(client, f"/settings/members/{bea.pk}/role/", role="manager")
    assert "bea@vigie.example has the role Manager now." in said(answer)
    bea.refresh_from_db()
    assert bea.role == "manager"
    assert "no longer a member" in said(post(client, f"/settings/members/{bea.pk}/remove/"))
    assert not Membership.objects.filter(pk=bea.pk).exists()
    assert User.objects.filter(pk=bea.user_id).exists()


def test_the_last_admin_is_neither_demoted_nor_removed(world: World) -> None:
    client = log_in(world)
    me = Membership.objects.get()
    for path, data in ((f"{me.pk}/role/", {"role": "rep"}), (f"{me.pk}/remove/", {})):
        answer = post(client, f"/settings/members/{path}", **data)
        assert "Ana Ruiz is the only admin" in said(answer)
    me.refresh_from_db()
    assert me.is_admin
    member(world, "bea@vigie.example", "admin")
    post(client, f"/settings/members/{me.pk}/role/", role="rep")
    me.refresh_from_db()
    assert me.role == "rep"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("remove", [False, True])
def test_two_admins_who_demote_or_remove_each_other_at_once_leave_one(remove: bool) -> None:
    w = World()
    pair = [member(w, f"{name}@vigie.example", "admin") for name in ("ana", "bea")]
    meet = threading.Barrier(2)
    failed: list[BaseException] = []

    def demote(by: Membership, other: Membership) -> None:
        try:
            with tenant(w.organisation):
                meet.wait(10)
                if remove:
                    members.remove(w.organisation, by, other.pk)
                else:
                    members.set_role(w.organisation, by, other.pk, "rep")
        except Exception as error:
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=demote, args=order) for order in (pair, pair[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert Membership.objects.filter(organisation=w.organisation, role="admin").count() == 1
    assert [type(error).__name__ for error in failed] == ["PermissionDenied"]


def test_others_read_and_change_nothing(world: World) -> None:
    client, bea = log_in(world, "rep"), member(world, "bea@vigie.example", "admin")
    with world.inside():
        carl = world.organisation.colleagues.get(name="Carl")
        north = world.organisation.teams.get(name="North")
    for path in ("members/", "owners/", "teams/", f"owners/?change={carl.pk}", f"teams/?team={north.pk}"):
        page = client.get(f"/settings/{path}")
        assert page.status_code == 200
        assert "Only admins can change this." in page.content.decode()
        assert '<form method="post" action="/settings/' not in page.content.decode()
    for path in (
        "members/",
        f"members/{bea.pk}/role/",
        f"members/{bea.pk}/remove/",
        f"owners/{carl.pk}/",
        "teams/",
        f"teams/{north.pk}/",
        f"teams/{north.pk}/delete/",
    ):
        assert client.post(f"/settings/{path}", {"role": "rep"}).status_code == 403
    bea.refresh_from_db()
    assert bea.is_admin


@pytest.mark.parametrize("role", ["", "owner", "x" * 5_000])
def test_a_role_that_does_not_exist_is_told(world: World, role: str) -> None:
    client, bea = log_in(world), member(world, "bea@vigie.example")
    assert "one of the roles" in said(post(client, f"/settings/members/{bea.pk}/role/", role=role))


def test_who_was_removed_is_let_in_nowhere_and_their_crm_user_is_free(world: World) -> None:
    admin, bea = log_in(world), member(world, "bea@vigie.example")
    hers = Client()
    hers.force_login(bea.user, backend="django.contrib.auth.backends.ModelBackend")
    with world.inside():
        carl = world.organisation.colleagues.get(name="Carl")
        members.link(world.organisation, carl, str(bea.user_id))
    assert hers.get("/deals/").status_code == 200
    post(admin, f"/settings/members/{bea.pk}/remove/")
    assert hers.get("/deals/").status_code == 403
    with world.inside():
        assert not OwnerLink.objects.exists()


# ---- Who is who in the CRM


def test_a_crm_user_is_the_member_of_the_same_address_until_an_admin_says_otherwise(world: World) -> None:
    client, bea = log_in(world), member(world, "BEA@vigie.example")
    ana = User.objects.get(email="ana@vigie.example")
    assert (names(world, ana), names(world, bea.user)) == ({"Ana"}, {"Bea"})
    with world.inside():
        ids = dict(world.organisation.colleagues.values_list("name", "pk"))
    answer = post(client, f"/settings/owners/{ids['Carl']}/", member=ana.pk)
    assert "Carl is Ana Ruiz." in said(answer)
    post(client, f"/settings/owners/{ids['Bea']}/", member="nobody")
    assert (names(world, ana), names(world, bea.user)) == ({"Ana", "Carl"}, set())
    answer = post(client, f"/settings/owners/{ids['Bea']}/", member="")
    assert "Bea is bea@vigie.example." in said(answer)
    assert names(world, bea.user) == {"Bea"}


def test_my_deals_follow_the_link(world: World) -> None:
    client = log_in(world)
    assert [row.deal.title for row in client.get("/deals/?view=mine").context["list"].rows] == ["ana 0"]
    with world.inside():
        carl = world.organisation.colleagues.get(name="Carl")
    post(client, f"/settings/owners/{carl.pk}/", member=User.objects.get(email="ana@vigie.example").pk)
    page = client.get("/deals/?view=mine").context["list"]
    assert {row.deal.title for row in page.rows} == {"ana 0", "carl 3", "carl 4", "carl 5"}
    assert page.count == 4
    ids = {hit["deal"]["id"] for hit in client.get("/api/v1/deals/verdicts/?view=mine").json()["results"]}
    with world.inside():
        assert ids == set(Deal.objects.filter(owner__name__in=["Ana", "Carl"]).values_list("pk", flat=True))


def test_owners_who_are_no_members_come_first_those_with_most_deals_before_all(world: World) -> None:
    world.write(colleagues=[owner("dan"), owner("eve", active=False), owner("fay")])
    world.deal("dan", owner="dan")
    world.deal("eve", owner="eve")
    world.deal("lost", owner="fay", status="lost")
    log_in(world)
    with world.inside():
        found = members.owners_of(world.organisation)
    assert [(o.colleague.name, o.deals, o.member is not None) for o in found] == [
        ("Carl", 3, False),
        ("Bea", 2, False),
        ("Dan", 1, False),
        ("Ana", 1, True),
    ]


def test_whom_an_admin_said_to_be_nobody_no_longer_asks_for_attention(world: World) -> None:
    client = log_in(world)
    assert "2 CRM users with open deals are not members" in client.get("/settings/owners/").content.decode()
    with world.inside():
        carl = world.organisation.colleagues.get(name="Carl")
    page = post(client, f"/settings/owners/{carl.pk}/", member="nobody").content.decode()
    assert "1 CRM user with open deals is not a member" in page
    assert "Nobody, said by an admin" in page


def test_an_owner_who_is_missing_is_invited_from_beside_their_name(world: World) -> None:
    client = log_in(world)
    page = client.get("/settings/owners/").content.decode()
    assert "/settings/members/?email=carl%40vigie.example#invite" in page
    assert 'value="carl@vigie.example"' in client.get("/settings/members/?email=carl%40vigie.example").content.decode()
    post(client, "/settings/members/", email="carl@vigie.example", role="rep")
    assert "email=carl%40vigie.example" not in client.get("/settings/owners/").content.decode()


@pytest.mark.parametrize("choice", ["999999999", "x", "-1", "9" * 40])
def test_a_crm_user_cannot_be_somebody_who_is_no_member(world: World, choice: str) -> None:
    client = log_in(world)
    with world.inside():
        carl = world.organisation.colleagues.get(name="Carl")
    assert "no longer a member" in said(post(client, f"/settings/owners/{carl.pk}/", member=choice))
    with world.inside():
        assert not OwnerLink.objects.exists()


# ---- Teams


def test_a_member_sees_the_teams_of_the_crm_users_that_they_are(world: World) -> None:
    bea = member(world, "bea@vigie.example")
    with world.inside():
        assert [team.name for team in members.teams_of(bea.user, world.organisation)] == ["North", "South"]
        ana = world.organisation.colleagues.get(name="Ana")
        members.link(world.organisation, ana, str(bea.user_id))
        members.link(world.organisation, world.organisation.colleagues.get(name="Bea"), members.NOBODY)
        assert [team.name for team in members.teams_of(bea.user, world.organisation)] == ["North"]


def test_an_admin_makes_fills_renames_and_deletes_a_team(world: World) -> None:
    client = log_in(world)
    page = post(client, "/settings/teams/", name="East")
    team = page.context["opened"]
    assert team.name == "East"
    with world.inside():
        ids = dict(world.organisation.colleagues.values_list("name", "pk"))
    post(client, f"/settings/teams/{team.pk}/", name="Far East", colleague=[ids["Ana"], ids["Carl"]])
    page = client.get("/settings/teams/").content.decode()
    assert "Far East" in page
    assert "Ana, Carl" in page
    with world.inside():
        assert world.organisation.pending.count() == 4
    assert "is deleted" in said(post(client, f"/settings/teams/{team.pk}/delete/"))
    assert "Far East" not in [team.name for team in client.get("/settings/teams/").context["teams"]]


def test_a_team_of_the_crm_is_shown_and_not_changed(world: World) -> None:
    client = log_in(world)
    with world.inside():
        north = world.organisation.teams.get(name="North")
    page = client.get(f"/settings/teams/?team={north.pk}").content.decode()
    assert "kept in the CRM" in page
    assert f'action="/settings/teams/{north.pk}/"' not in page
    answer = client.post(f"/settings/teams/{north.pk}/", {"name": "Nord"})
    assert answer.status_code == 422
    assert "Change it there." in answer.content.decode()
    assert "Change it there." in said(post(client, f"/settings/teams/{north.pk}/delete/"))


@pytest.mark.parametrize("name", ["", "x" * 5_000, "NORTH"])
def test_a_wrong_name_of_a_team_is_told_beside_the_field_and_kept(world: World, name: str) -> None:
    client = log_in(world)
    answer = client.post("/settings/teams/", {"name": name})
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.content.decode()
    team = post(client, "/settings/teams/", name="East").context["opened"]
    answer = client.post(f"/settings/teams/{team.pk}/", {"name": name, "colleague": ["x", "-4", "9" * 30]})
    assert answer.status_code == 422
    assert answer.content.decode().count('role="alert"') == 1


def test_strangers_are_not_put_into_a_team(world: World) -> None:
    client = log_in(world)
    team = post(client, "/settings/teams/", name="East").context["opened"]
    answer = client.post(f"/settings/teams/{team.pk}/", {"name": "West", "colleague": ["999999999"]})
    assert "There is no colleague with the number 999999999." in answer.content.decode()
    with world.inside():
        team.refresh_from_db()
    assert team.name == "East", "nothing is saved in part"


# ---- Pages


PAGES = ("/settings/members/", "/settings/owners/", "/settings/teams/")


def test_hostile_names_are_shown_as_they_are(world: World) -> None:
    evil = "<script>alert(1)</script>‮\U0001f680" + "x" * 5_000
    world.write(colleagues=[ColleagueRecord("ana", evil, "ana@vigie.example", True, (TeamRecord("9", evil),))])
    client = log_in(world)
    User.objects.update(name=evil[:200])
    for path in PAGES:
        page = client.get(path).content.decode()
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert" in page


@pytest.mark.parametrize(
    "query", ["?team=x", "?team=999999999999", "?change=%00", "?change=-1", "?email=%3Cb%3E", "?all"]
)
def test_any_parameter_is_a_page(world: World, query: str) -> None:
    client = log_in(world)
    for path in PAGES:
        assert client.get(path + query).status_code == 200


def test_many_members_owners_and_teams_take_as_many_statements_as_one(
    world: World, django_assert_max_num_queries: Any
) -> None:
    client = log_in(world)

    def statements(path: str) -> int:
        with django_assert_max_num_queries(25) as counted:
            client.get(path)
        return len(counted)

    few = [statements(path) for path in PAGES]
    for n in range(5):
        world.write(colleagues=[owner(f"n{n}", f"team {n}")])
        world.deal(f"n{n}", owner=f"n{n}")
        member(world, f"n{n}@vigie.example")
        post(client, "/settings/members/", email=f"i{n}@vigie.example", role="rep")
    client.get("/settings/members/")  # the messages
    assert [statements(path) for path in PAGES] == few


def test_an_organisation_without_crm_is_told_what_comes() -> None:
    w = World()
    client = log_in(w)
    assert "No owners of open deals yet" in client.get("/settings/owners/").content.decode()
    assert "No teams yet" in client.get("/settings/teams/").content.decode()
