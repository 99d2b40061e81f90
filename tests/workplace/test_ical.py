"""The calendar feed: an address that needs no login, what is in it, and that it ends."""

import logging
import re
from datetime import timedelta
from typing import Any
from urllib.parse import urlparse

import pytest
from django.core.signing import Signer
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from icalendar import Calendar

from accounts.models import Membership, User
from config.logs import WithoutTokens
from deals.models import Colleague, Team, TeamMember
from deals.records import ColleagueRecord, CompanyRecord
from tests.pages import log_in, world_now
from tests.world import World
from workplace import ical
from workplace.models import CalendarFeed

pytestmark = pytest.mark.django_db
MAKE = "/upcoming/calendar/"


@pytest.fixture
def world() -> World:
    """Ana is an admin. Two deals of "me", one of "you", each with an alert to come."""
    w = world_now()
    w.first_synced()
    w.write(
        colleagues=[ColleagueRecord("you", "Vous", "you@vigie.example", True)],
        companies=[CompanyRecord("c", "Café Été", w.at(9))],
    )
    w.deal("d1", title="First", company="c", created_at=w.at(5))
    w.deal("d2", title="Second", created_at=w.at(6), amount=None)
    w.deal("d3", title="Third", created_at=w.at(7), owner="you")
    w.evaluate()
    return w


def address(client: Client, deals: str = "all") -> str:
    """The path that the page shows after an address was made."""
    client.post(MAKE, {"do": "make", "deals": deals})
    return shown(client)


def shown(client: Client) -> str:
    found = re.search(r'value="(http[^"]+\.ics)"', client.get("/upcoming/").content.decode())
    return urlparse(found[1]).path if found else ""


def read(path: str) -> Any:
    answer = Client().get(path)
    assert answer.status_code == 200, answer.content
    return Calendar.from_ical(answer.content)


def titles(path: str) -> set[str]:
    return {str(event["summary"]).partition(":")[0] for event in read(path).walk("VEVENT")}


# ---- The address


def test_it_is_read_without_a_login_and_holds_the_coming_alerts(world: World) -> None:
    path = address(log_in(world))
    answer = Client().get(path)
    assert answer["Content-Type"] == "text/calendar; charset=utf-8"
    assert "private" in answer["Cache-Control"]
    assert answer["X-Robots-Tag"] == "noindex"
    assert titles(path) == {"Café Été", "Second", "Third"}


def test_a_new_address_ends_the_old_one(world: World) -> None:
    client = log_in(world)
    old = address(client)
    client.post(MAKE, {"do": "renew"})
    new = shown(client)
    assert new != old
    assert Client().get(old).status_code == 404
    assert Client().get(new).status_code == 200


def test_a_revoked_address_is_not_found_any_more(world: World) -> None:
    client = log_in(world)
    path = address(client)
    client.post(MAKE, {"do": "revoke"})
    assert shown(client) == ""
    assert Client().get(path).status_code == 404


def test_renewing_what_was_revoked_meanwhile_is_told(world: World) -> None:
    client = log_in(world)
    page = client.post(MAKE, {"do": "renew"}, follow=True).content.decode()
    assert "There is no address to be renewed" in page
    assert shown(client) == ""


def test_another_choice_of_deals_keeps_the_address(world: World) -> None:
    client = log_in(world)
    path = address(client)
    assert address(client, "own") == path
    assert titles(path) == set()


def test_two_members_have_an_address_each(world: World) -> None:
    ana, you = log_in(world), log_in(world, "rep", "you@vigie.example")
    first, second = address(ana), address(you, "own")
    assert first != second
    you.post(MAKE, {"do": "revoke"})
    assert Client().get(first).status_code == 200
    assert Client().get(second).status_code == 404


def test_who_is_no_member_any_more_has_no_calendar(world: World) -> None:
    path = address(log_in(world))
    Membership.objects.all().delete()
    assert Client().get(path).status_code == 404


def test_a_deactivated_user_has_no_calendar(world: World) -> None:
    path = address(log_in(world))
    User.objects.update(is_active=False)
    assert Client().get(path).status_code == 404


@pytest.mark.parametrize("token", ["x", "1-1-1", "1-1-1.abc", "x" * 5000, "é.è", "1-1-1." + "a" * 43])
def test_an_address_that_was_never_given_is_not_found(world: World, token: str) -> None:
    address(log_in(world))
    assert Client().get(f"/calendar/{token}.ics").status_code == 404


def test_a_signature_over_something_else_opens_nothing(world: World) -> None:
    address(log_in(world))
    with world.inside():
        feed = CalendarFeed.objects.get()
    text = ical.token_of(feed).partition(".")[0]
    for signer in (Signer(sep="."), Signer(salt="other", sep=".")):
        assert Client().get(f"/calendar/{signer.sign(text)}.ics").status_code == 404
    assert Client().get(f"/calendar/{Signer(salt='workplace.ical', sep='.').sign('x-y-z')}.ics").status_code == 404


def test_the_organisation_in_the_address_is_the_only_one_that_is_read(world: World) -> None:
    """A reader who is logged in elsewhere gets the calendar of the address, and afterwards their own pages again."""
    other = world_now()
    other.first_synced()
    other.deal("o", title="Theirs")
    client = log_in(other, email="olga@other.example")
    answer = client.get(address(log_in(world)))
    assert b"Theirs" not in answer.content
    assert b"Second" in answer.content
    assert "Theirs" in client.get("/upcoming/").content.decode()


def test_posting_needs_a_login_and_an_answer_that_is_known(world: World) -> None:
    assert Client().post(MAKE, {"do": "make"}).status_code == 302
    client = log_in(world)
    for said in ({}, {"do": "x"}, {"do": "make", "deals": "999999"}, {"do": "make", "deals": "9" * 400}):
        page = client.post(MAKE, said, follow=True)
        assert "Choose whose deals" in page.content.decode()
    assert client.get(MAKE).status_code == 405
    with world.inside():
        assert not CalendarFeed.objects.exists()


# ---- Whose deals


def test_a_rep_has_their_own_deals_and_the_page_proposes_them(world: World) -> None:
    client = log_in(world, "rep", "you@vigie.example")
    assert re.search(r'<option value="own" selected>', client.get("/upcoming/").content.decode())
    assert titles(address(client, "own")) == {"Third"}


def test_a_team_has_the_deals_of_its_members_and_gone_it_leaves_the_readers_own(world: World) -> None:
    with world.inside():
        team = Team.objects.create(organisation=world.organisation, name="Nord")
        me = Colleague.objects.get(external_id="me")
        TeamMember.objects.create(organisation=world.organisation, team=team, colleague=me)
    client = log_in(world, "manager", "you@vigie.example")
    path = address(client, str(team.pk))
    assert titles(path) == {"Café Été", "Second"}
    with world.inside():
        Team.objects.update(stale=True)
    assert titles(path) == {"Third"}


# ---- What is in it


def test_it_is_a_calendar_as_the_standard_has_it(world: World) -> None:
    world.deal("d4", title="A; b, c\\d \r\n" + "é" * 5000 + "\x07\u202e😀", created_at=world.at(8))
    path = address(log_in(world))
    body = Client().get(path).content
    lines = body.split(b"\r\n")
    assert lines[-1] == b""
    assert b"\n" not in b"".join(lines)
    assert max(map(len, lines)) <= 75
    for line in lines:
        line.decode()  # no character is cut in two
    events = read(path).walk("VEVENT")
    for event in events:
        assert event["dtstart"].params["VALUE"] == "DATE"
        assert event["dtend"].dt - event["dtstart"].dt == timedelta(days=1)
        assert {"UID", "DTSTAMP", "SUMMARY", "URL", "TRANSP"} <= set(event)
    summaries = [str(event["summary"]) for event in events if str(event["summary"]).startswith("A; b, c\\d é")]
    assert summaries
    assert max(map(len, summaries)) <= 400
    assert not set("".join(summaries)) & {"\x07", "\r", "\n"}


def test_an_event_says_what_fires_and_what_to_do_and_leads_to_the_deal(world: World) -> None:
    with world.inside():
        pk = world.stored("d1").pk
    event = next(e for e in read(address(log_in(world))).walk("VEVENT") if str(e["url"]).endswith(f"/deals/{pk}/"))
    assert "No activity" in event["summary"]
    said = str(event["description"])
    assert "First" in said
    assert "Call or write today" in said
    assert "Moi" in said
    assert "€1,000" in said


def test_rules_of_a_deal_and_day_are_one_event(world: World) -> None:
    world.configure(deal_too_old={"days": 10})
    world.deal("d2", title="Second", created_at=world.at(6), updated_at=world.at(0))
    events = [e for e in read(address(log_in(world))).walk("VEVENT") if "Second" in e["summary"]]
    assert len(events) == len({e["dtstart"].dt for e in events})
    assert any("No activity" in e["summary"] and "too old" in e["summary"].lower() for e in events)


def test_it_speaks_its_owners_language(world: World) -> None:
    path = address(log_in(world))
    User.objects.update(language="fr")
    answer = Client().get(path, headers={"accept-language": "en"})
    assert "Aucune activité" in answer.content.decode().replace("\r\n ", "")


def test_what_has_not_changed_is_the_same_bytes_and_is_not_sent_twice(world: World) -> None:
    path = address(log_in(world))
    first = Client().get(path)
    again = Client().get(path)
    assert first.content == again.content
    answer = Client().get(path, headers={"if-none-match": first["ETag"]})
    assert answer.status_code == 304
    assert answer.content == b""
    world.deal("d9", title="New", created_at=world.at(1))
    assert Client().get(path, headers={"if-none-match": first["ETag"]}).status_code == 200


def test_an_event_keeps_its_name_from_one_read_to_the_next_and_differs_from_all_others(world: World) -> None:
    path = address(log_in(world))
    uids = [str(event["uid"]) for event in read(path).walk("VEVENT")]
    assert len(uids) == len(set(uids))
    log_in(world).post(MAKE, {"do": "renew"})
    assert [str(event["uid"]) for event in read(shown(log_in(world))).walk("VEVENT")] == uids


def test_a_day_with_too_many_deals_says_how_many_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ical, "SHOWN", 1)
    world.deal("d5", title="Fifth", created_at=world.at(5))
    summaries = [str(event["summary"]) for event in read(address(log_in(world))).walk("VEVENT")]
    assert "Alerts on 1 more deal" in summaries


def test_reading_takes_as_many_statements_for_many_deals_as_for_one(world: World) -> None:
    few = world_now()
    few.first_synced()
    few.deal()
    counts = []
    for w in (few, world):
        path = address(log_in(w, email=f"{w.organisation.pk}@vigie.example"))
        Client().get(path)
        with CaptureQueriesContext(connection) as asked:
            Client().get(path)
        counts.append(len(asked))
    assert counts[0] == counts[1] <= 10


def test_the_page_says_when_a_calendar_read_it(world: World) -> None:
    client = log_in(world)
    path = address(client)
    assert "No calendar has read it yet" in client.get("/upcoming/").content.decode()
    Client().get(path)
    assert "A calendar read it just now" in client.get("/upcoming/").content.decode()


def test_the_page_says_that_names_are_in_it(world: World) -> None:
    assert "can read the names and amounts" in log_in(world).get("/upcoming/").content.decode()


def test_the_token_is_not_in_the_log(world: World) -> None:
    path = address(log_in(world))
    record = logging.LogRecord("django.request", logging.WARNING, "", 1, "%s: %s", ("Not Found", path), None)
    assert WithoutTokens().filter(record)
    assert record.getMessage() == "Not Found: /calendar/…"
    plain = logging.LogRecord("x", logging.INFO, "", 1, "Not Found: %s", ("/deals/12/",), None)
    assert WithoutTokens().filter(plain)
    assert plain.getMessage() == "Not Found: /deals/12/"
