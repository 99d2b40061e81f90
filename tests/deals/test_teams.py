"""Teams: kept as the CRM's owners name them, or made by an admin; who moves has deals that are judged again."""

import pytest
from django.core.exceptions import ValidationError

from accounts.models import Organisation
from deals import teams
from deals.models import Colleague, Deal, Team, TeamMember
from deals.records import ColleagueRecord, TeamRecord
from tests.world import World, but_statistics

pytestmark = pytest.mark.django_db

NORTH, SOUTH = TeamRecord("1", "North"), TeamRecord("2", "South")


def owner(ref, *names):
    return ColleagueRecord(ref, ref.title(), f"{ref}@vigie.example", True, names)


def world():
    """Ana sells for North, Bea for North and South, each has a deal; Ana a lost one too."""
    w = World()
    w.write(colleagues=[owner("ana", NORTH), owner("bea", NORTH, SOUTH)])
    w.deal("a", owner="ana")
    w.deal("b", owner="bea")
    w.deal("lost", owner="ana", status="lost")
    return w


def members(w):
    """{team: refs of its colleagues}; a stale one is in brackets."""
    with w.inside():
        found = {f"({team})" if team.stale else str(team): set() for team in w.organisation.teams.all()}
        rows = TeamMember.objects.filter(organisation=w.organisation)
        for team, ref in rows.values_list("team__name", "colleague__external_id"):
            found[team].add(ref)
    return found


def deals(w, *refs):
    with w.inside():
        return set(Deal.objects.filter(external_id__in=refs).values_list("pk", flat=True))


def colleagues(w, *refs):
    with w.inside():
        return set(Colleague.objects.filter(external_id__in=refs).values_list("pk", flat=True))


def team(w, name):
    with w.inside():
        return Team.objects.get(name=name)


# ---- The CRM's


def test_owners_name_their_teams_and_may_be_in_several():
    assert members(world()) == {"North": {"ana", "bea"}, "South": {"bea"}}


def test_the_same_again_touches_nothing():
    w = world()
    assert w.write(colleagues=[owner("ana", NORTH), owner("bea", SOUTH, NORTH, NORTH)]) == set()


def test_a_colleague_who_moves_has_deals_that_are_judged_again_the_open_ones():
    w = world()
    assert w.write(colleagues=[owner("ana", SOUTH)]) == deals(w, "a")
    assert members(w) == {"North": {"bea"}, "South": {"ana", "bea"}}


def test_owners_come_in_pages_and_one_page_says_nothing_of_the_others():
    w = world()
    w.write(colleagues=[owner("carl", NORTH)])
    assert members(w) == {"North": {"ana", "bea", "carl"}, "South": {"bea"}}
    w.write(pipelines=[], deals=[])
    assert members(w)["South"] == {"bea"}


def test_a_team_that_no_owner_names_any_more_is_stale_until_one_does():
    w = world()
    assert w.write(colleagues=[owner("bea", NORTH)]) == deals(w, "b")
    assert members(w) == {"North": {"ana", "bea"}, "(South)": set()}
    pk = team(w, "South").pk
    w.write(colleagues=[owner("ana", NORTH, SOUTH)])
    assert members(w) == {"North": {"ana", "bea"}, "South": {"ana"}}
    assert team(w, "South").pk == pk


def test_a_renamed_team_stays_the_same_and_nothing_is_judged_again():
    w = world()
    pk = team(w, "North").pk
    assert w.write(colleagues=[owner("ana", TeamRecord("1", "Nord"))]) == set()
    assert team(w, "Nord").pk == pk


def test_an_owner_who_arrives_after_the_deal_brings_the_team_to_it():
    w = World()
    w.deal("a", owner="ana")
    assert w.write(colleagues=[owner("ana", NORTH)]) == deals(w, "a")


def test_settings_of_a_team_count_for_those_who_join_it_and_no_longer_for_those_who_leave():
    w = world()
    north = team(w, "North").pk
    w.configure(overrides=[{"name": "N", "pipelines": [], "teams": [north], "rules": {"no_activity": {"days": 3}}}])
    assert "no_activity" in w.alerts("a")
    w.write(colleagues=[owner("ana")])
    assert "no_activity" not in w.alerts("a")
    assert ("no_activity", "settings_changed") in w.reasons("a")
    w.write(colleagues=[owner("ana", NORTH)])
    assert "no_activity" in w.alerts("a")


def test_many_colleagues_take_as_many_statements_as_one(django_assert_max_num_queries):
    w = World()
    w.write(colleagues=[owner("first", NORTH)])
    with django_assert_max_num_queries(60) as one:
        w.write(colleagues=[owner("ana", NORTH)])
    with django_assert_max_num_queries(60) as many:
        w.write(colleagues=[owner(f"n{n}", TeamRecord(str(n), str(n))) for n in range(500)])
    assert but_statistics(many) == but_statistics(one)


# ---- An admin's


def test_an_admin_makes_a_team_and_chooses_who_is_in_it():
    w = world()
    with w.inside():
        east = teams.create(w.organisation, "  East \x00 side ")
        assert str(east) == "East side"
        assert teams.set_members(east, colleagues(w, "ana", "me")) == deals(w, "a")
        assert teams.set_members(east, colleagues(w, "ana", "me")) == set()
        assert teams.set_members(east, colleagues(w, "bea", "me")) == deals(w, "a", "b")
    assert members(w)["East side"] == {"bea", "me"}


def test_the_crm_leaves_the_teams_of_an_admin_alone():
    w = world()
    with w.inside():
        teams.set_members(teams.create(w.organisation, "East"), colleagues(w, "ana"))
    w.write(colleagues=[owner("ana"), owner("bea")])
    assert members(w) == {"(North)": set(), "(South)": set(), "East": {"ana"}}


def test_a_deleted_team_is_empty_and_known_by_its_name_to_settings_that_speak_of_it():
    w = world()
    with w.inside():
        east = teams.create(w.organisation, "East")
        teams.set_members(east, colleagues(w, "ana"))
    w.configure(overrides=[{"name": "E", "pipelines": [], "teams": [east.pk], "rules": {"no_activity": {"days": 3}}}])
    assert "no_activity" in w.alerts("a")
    with w.inside():
        assert teams.delete(east) == deals(w, "a")
    assert members(w)["(East)"] == set()
    assert "no_activity" not in w.alerts("a")
    w.configure(no_activity={"days": 10})  # and they can still be saved
    with w.inside(), pytest.raises(ValidationError, match="no longer exists"):
        teams.set_members(east, [])


def test_a_team_gets_another_name_and_its_old_one_is_free():
    w = world()
    with w.inside():
        east = teams.create(w.organisation, "East")
        assert str(teams.rename(east, "east")) == "east"
        teams.rename(east, "West")
        teams.create(w.organisation, "East")
    assert {"East", "West"} < members(w).keys()


@pytest.mark.parametrize(
    ("name", "sentence"), [("", "a name"), (" \x00 ", "a name"), ("x" * 101, "100"), ("NORTH", "already")]
)
def test_a_name_that_makes_no_sense_is_refused(name, sentence):
    w = world()
    with w.inside():
        east = teams.create(w.organisation, "East")
        for refused in (lambda: teams.create(w.organisation, name), lambda: teams.rename(east, name)):
            with pytest.raises(ValidationError, match=sentence):
                refused()


def test_a_team_of_the_crm_is_changed_there():
    w = world()
    north = team(w, "North")
    with w.inside():
        for refused in (
            lambda: teams.rename(north, "Nord"),
            lambda: teams.delete(north),
            lambda: teams.set_members(north, []),
        ):
            with pytest.raises(ValidationError, match="kept in the CRM"):
                refused()


def test_colleagues_and_teams_of_another_organisation_do_not_exist():
    w, other = world(), world()
    theirs = min(colleagues(other, "ana"))
    with w.inside():
        east = teams.create(w.organisation, "East")
        with pytest.raises(ValidationError, match=f"number {theirs}"):
            teams.set_members(east, [theirs])
        foreign = Team(pk=east.pk + 10**6, organisation=Organisation(pk=w.organisation.pk), name="x")
        with pytest.raises(ValidationError, match="no longer exists"):
            teams.rename(foreign, "y")


def test_there_are_not_endlessly_many_teams(monkeypatch):
    w = world()
    monkeypatch.setattr(teams, "MOST_TEAMS", 3)
    with w.inside():
        teams.create(w.organisation, "East")
        with pytest.raises(ValidationError, match="3 teams"):
            teams.create(w.organisation, "West")
