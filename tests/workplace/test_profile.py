"""The profile: language, time zone, theme and digest; password; sessions; and the switches of the side bar."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.test import Client

from accounts.models import Membership, SignIn, User
from accounts.sign_ins import EVERY, KEY, device_in_words
from crm_sync.models import Connection, SyncRun
from tests.pages import PASSWORD, log_in, world_now
from tests.world import World

pytestmark = pytest.mark.django_db

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:144.0) Gecko/20100101 Firefox/144.0"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.6 Mobile/15E148 Safari/604.1"
)
EDGE = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0"
)
PROFILE = {"name": "Ana", "language": "", "time_zone": "", "theme": "", "digest": "never"}


@pytest.fixture
def world() -> World:
    return world_now()


def ana() -> User:
    return User.objects.get(email="ana@vigie.example")


def with_password(world: World, agent: str = FIREFOX) -> Client:
    """Ana, logged in by the login page as a browser would."""
    user = User.objects.filter(email="ana@vigie.example").first()
    if user is None:
        user = User.objects.create_user("ana@vigie.example", PASSWORD, name="Ana Ruiz")
        Membership.objects.create(user=user, organisation=world.organisation, role="admin")
    client = Client(headers={"user-agent": agent})
    assert client.post("/login/", {"username": user.email, "password": PASSWORD}).status_code == 302
    return client


# ---- Preferences


def test_the_language_of_the_profile_wins_over_browser_and_cookie(world: World) -> None:
    client = log_in(world, language="en")
    client.cookies["django_language"] = "en"
    client.post("/profile/", PROFILE | {"language": "fr"})
    assert '<html lang="fr"' in client.get("/deals/").content.decode()
    client.post("/profile/", PROFILE)
    assert '<html lang="en"' in client.get("/deals/").content.decode()


def test_the_switches_of_the_side_bar_write_the_profile(world: World) -> None:
    client = log_in(world)
    client.post("/language/", {"language": "fr", "next": "/deals/"})
    assert client.post("/profile/theme/", {"theme": "dark", "next": "/profile/"})["Location"] == "/profile/"
    assert (ana().language, ana().theme) == ("fr", "dark")
    elsewhere = log_in(world, language="en")
    page = elsewhere.get("/deals/").content.decode()
    assert '<html lang="fr" data-theme="dark"' in page
    answer = elsewhere.post("/profile/theme/", {"theme": ""}, headers={"HX-Request": "true"})
    assert answer.status_code == 204
    assert "data-theme=" not in client.get("/deals/").content.decode()


def test_the_theme_leads_back_to_no_other_site_and_knows_three_values(world: World) -> None:
    client = log_in(world)
    for there in ("https://elsewhere.example/", "//elsewhere.example", "javascript:alert(1)"):
        assert client.post("/profile/theme/", {"theme": "x" * 5_000, "next": there})["Location"] == "/deals/"
    assert ana().theme == ""


def test_times_of_day_are_shown_in_the_zone_of_the_reader_and_days_stay_the_organisations(world: World) -> None:
    client = log_in(world)
    with world.inside():
        link = Connection.objects.create(
            organisation=world.organisation, source=world.source, provider="hubspot", connected_at=world.clock.now
        )
        SyncRun.objects.create(
            organisation=world.organisation,
            connection=link,
            kind=SyncRun.Kind.FIRST,
            until=world.clock.now,
            started_at=datetime(2026, 1, 15, 20, 30, tzinfo=UTC),
            finished_at=world.clock.now,
        )
    assert "21:30" in client.get("/settings/crm/").content.decode()
    client.post("/profile/", PROFILE | {"time_zone": "Asia/Tokyo"})
    answer = client.get("/settings/crm/")
    assert "5:30" in answer.content.decode()
    assert answer.context["clock"].zone.key == "Europe/Paris"


@pytest.mark.parametrize(
    "change",
    [
        {"time_zone": "Mars/Olympus"},
        {"language": "de"},
        {"theme": "pink"},
        {"digest": "hourly"},
        {"digest": ""},
        {"name": "x" * 5_000},
        {"name": "a\x00b"},
    ],
)
def test_what_cannot_be_chosen_is_told_and_nothing_is_saved(world: World, change: dict[str, str]) -> None:
    client = log_in(world)
    answer = client.post("/profile/", PROFILE | change)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.content.decode()
    assert ana().name == "Ana Ruiz"


def test_the_digest_is_chosen_for_each_organisation(world: World) -> None:
    client, other = log_in(world), world_now()
    log_in(other)
    client.post("/profile/", PROFILE | {"digest": "weekly"})
    assert Membership.objects.get(organisation=world.organisation).digest == "weekly"
    assert Membership.objects.get(organisation=other.organisation).digest == "never"


# ---- Password


def test_a_new_password_keeps_this_session_and_ends_the_others(world: World) -> None:
    here, there = with_password(world), with_password(world, IPHONE)
    answer = here.post(
        "/profile/password/",
        {"old_password": PASSWORD, "new_password1": "a new one, longer", "new_password2": "a new one, longer"},
        follow=True,
    )
    assert "Your password is changed. All other sessions have ended." in answer.content.decode()
    assert ana().check_password("a new one, longer")
    assert there.get("/deals/").status_code == 302
    assert Session.objects.count() == SignIn.objects.count() == 1


@pytest.mark.parametrize(
    ("old", "new", "again", "sentence"),
    [
        ("wrong", "a new one, longer", "a new one, longer", "incorrect"),
        (PASSWORD, "short", "short", "too short"),
        (PASSWORD, "a new one, longer", "another", "match"),
        ("", "", "", "required"),
    ],
)
def test_a_password_that_will_not_do_is_told_and_never_shown(
    world: World, old: str, new: str, again: str, sentence: str
) -> None:
    client = with_password(world)
    data = {"old_password": old, "new_password1": new, "new_password2": again}
    answer = client.post("/profile/password/", data)
    assert answer.status_code == 422
    assert sentence in answer.content.decode()
    assert f'value="{new or "nothing"}"' not in answer.content.decode()
    assert ana().check_password(PASSWORD)


# ---- Sessions


def test_the_sessions_are_listed_in_words_and_this_one_is_marked(world: World) -> None:
    here = with_password(world)
    with_password(world, IPHONE)
    found = here.get("/profile/").context["sessions"]
    assert [(device, current) for _s, device, current in found] == [
        ("Safari on iPhone", False),
        ("Firefox on Windows", True),
    ]


def test_a_session_is_ended_from_elsewhere_and_never_this_one(world: World) -> None:
    here, there = with_password(world), with_password(world, IPHONE)
    [other, this] = [each.pk for each, _device, _current in here.get("/profile/").context["sessions"]]
    assert here.post(f"/profile/sessions/{this}/end/").status_code == 404
    here.post(f"/profile/sessions/{other}/end/")
    assert there.get("/deals/").status_code == 302
    assert here.get("/deals/").status_code == 200


def test_all_other_sessions_end_at_once_and_those_of_others_go_on(world: World) -> None:
    here, there, third = with_password(world), with_password(world, IPHONE), with_password(world, EDGE)
    bea = log_in(world, email="bea@vigie.example")
    here.post("/profile/sessions/end/")
    assert [c.get("/deals/").status_code for c in (here, there, third, bea)] == [200, 302, 302, 200]


def test_a_session_leaves_the_list_when_it_is_logged_out(world: World) -> None:
    here, there = with_password(world), with_password(world, IPHONE)
    there.post("/logout/")
    assert len(here.get("/profile/").context["sessions"]) == 1


def test_last_seen_is_kept_to_five_minutes_and_costs_nothing_in_between(
    world: World, django_assert_num_queries: Any
) -> None:
    client = with_password(world)

    def last_seen(ago: timedelta) -> datetime:
        session = client.session
        session[KEY] = int((datetime.now(UTC) - ago).timestamp())
        session.save()
        SignIn.objects.update(seen_at=datetime(2020, 1, 1, tzinfo=UTC))
        client.get("/settings/members/")
        return SignIn.objects.get().seen_at

    assert last_seen(EVERY - timedelta(seconds=30)).year == 2020
    assert datetime.now(UTC) - last_seen(EVERY) < timedelta(minutes=1)


def test_a_session_from_before_this_list_appears_with_its_next_page(world: World) -> None:
    client = with_password(world)
    SignIn.objects.all().delete()
    session = client.session
    del session[KEY]
    session.save()
    client.get("/deals/")
    assert SignIn.objects.get().user == ana()


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (FIREFOX, "Firefox on Windows"),
        (IPHONE, "Safari on iPhone"),
        (EDGE, "Edge on Mac"),
        ("curl/8.5", "Unknown device"),
        ("", "Unknown device"),
        ("Mozilla/5.0 (X11; Linux x86_64)", "Linux"),
    ],
)
def test_a_device_has_a_name(agent: str, words: str) -> None:
    assert device_in_words(agent) == words


def test_a_hostile_device_is_no_error(world: World) -> None:
    client = with_password(world, "<b>‮" + "x" * 5_000)
    assert client.get("/profile/").status_code == 200
    assert len(SignIn.objects.get().device) == 300


# ---- Several organisations


def test_a_user_of_two_organisations_changes_between_them(world: World) -> None:
    client, other = log_in(world), world_now()
    assert 'id="organisations"' not in client.get("/deals/").content.decode()
    log_in(other)
    page = client.get("/deals/")
    assert 'id="organisations"' in page.content.decode()
    assert page.context["org"] == world.organisation
    client.post("/profile/organisation/", {"organisation": other.organisation.pk})
    assert client.get("/deals/").context["org"] == other.organisation


@pytest.mark.parametrize("asked", ["", "x", "0", "9" * 40])
def test_an_organisation_of_others_does_not_exist(world: World, asked: str) -> None:
    client, other = log_in(world), World()
    for organisation in (asked, str(other.organisation.pk)):
        assert client.post("/profile/organisation/", {"organisation": organisation}).status_code == 404
    assert client.get("/deals/").context["org"] == world.organisation


def test_the_pages_of_a_profile_ask_for_a_login() -> None:
    for path in ("/profile/", "/settings/members/", "/settings/owners/", "/settings/teams/"):
        assert Client().get(path)["Location"].startswith("/login/")
