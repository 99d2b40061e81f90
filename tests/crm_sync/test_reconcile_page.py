"""The connection page says how what is here compares with the CRM; the state at the top of every page follows."""

import html
import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from crm_sync import reconcile
from crm_sync.models import Connection, Reconciliation
from crm_sync.providers.hubspot.client import HubSpot
from crm_sync.status import Status, status
from deals.clock import Clock
from deals.models import Source
from tests.pages import log_in, world_now
from tests.world import World

pytestmark = pytest.mark.django_db
PAGE = "/settings/crm/"


@pytest.fixture
def w() -> World:
    w = world_now()
    w.first_synced()
    with w.inside():
        Source.objects.update(synced_at=w.clock.now)
        Connection.objects.create(
            organisation=w.organisation,
            source=w.source,
            provider="hubspot",
            connected_at=w.clock.now,
            synced_until=w.clock.now,
        )
    return w


def report(w: World, stream: str = "deals", **facts: Any) -> Reconciliation:
    """The last comparison of a stream."""
    values = {"in_crm": 120, "here": 120, "finished_at": w.clock.now, "is_latest": True, "phase": "done", **facts}
    with w.inside():
        mine = {"organisation": w.organisation, "connection": Connection.objects.get(), "asked_at": w.clock.now}
        return Reconciliation.objects.create(**mine, stream=stream, position=0, key="2026-11-22", **values)


def text(client: Client) -> str:
    answer = client.get(PAGE)
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())))


def state(w: World, later: timedelta = timedelta()) -> Status:
    with w.inside():
        Source.objects.update(synced_at=w.clock.now + later)
        return status(w.organisation, Clock.of(w.organisation, w.clock.now + later))


def test_before_the_first_comparison_the_page_says_so_and_is_green_until_one_was_due(w: World) -> None:
    assert "Not yet compared." in text(log_in(w))
    assert state(w).tone == "ok"
    assert state(w, timedelta(days=2)).tone == "ok"
    late = state(w, timedelta(days=2, minutes=1))
    assert (late.state, late.tone) == ("differs", "")
    assert "not compared for days" in late.text


def test_the_page_tells_the_counts_of_each_stream(w: World) -> None:
    report(w)
    report(w, "contacts", in_crm=4567, here=4567, missing=2, repaired=2, named={"missing": ["77", "<b>78</b>"]})
    shown = text(log_in(w))
    assert "Deals 120 120 complete" in shown
    assert "People 4,567 4,567 complete, 2 records repaired" in shown
    assert "missing: 77, <b>78</b>" in shown
    assert state(w).tone == "ok"


@pytest.mark.parametrize(("left", "tone"), [(0, "ok"), (1, "")])
def test_it_is_green_only_when_nothing_was_left(w: World, left: int, tone: str) -> None:
    report(w, missing=3, repaired=3 - left, left=left, here=120 - left)
    assert state(w).tone == tone
    if left:
        assert "1 record still differs" in text(log_in(w))
        assert "some records differ" in state(w).text


def test_what_the_brake_holds_is_told_and_only_an_admin_lets_it_happen(w: World) -> None:
    held = report(w, in_crm=0, here=120, extra=120, held=120, left=120)
    assert state(w).tone == "bad"
    assert "Vigie has deleted none of them" in state(w).text
    member, admin = log_in(w, "member", "rep@vigie.example"), log_in(w)
    question = "120 records are here but not in the list that HubSpot gave. Nothing was deleted."
    assert question in text(member)
    assert "delete them here too" not in text(member)
    assert "They are gone: delete them here too" in text(admin)
    with w.inside():
        address = f"{PAGE}{Connection.objects.get().pk}/release/"
    assert member.post(address, {"stream": "deals"}).status_code == 403
    assert admin.get(address).status_code == 405
    admin.post(address, {"stream": "contacts"})
    with w.inside():
        held.refresh_from_db()
        assert held.held == 120
    assert admin.post(address, {"stream": "deals"}).status_code == 302
    with w.inside():
        held.refresh_from_db()
        assert (held.held, held.released_by) == (0, User.objects.get(email="ana@vigie.example"))


def test_compare_now_begins_what_is_not_under_way(w: World) -> None:
    with w.inside():
        address = f"{PAGE}{Connection.objects.get().pk}/compare/"
    assert log_in(w, "member", "rep@vigie.example").post(address).status_code == 403
    admin = log_in(w)
    every = set(HubSpot.compared)
    for stream, begun in (("deals", {"deals"}), ("nonsense", every), ("", every)):
        assert admin.post(address, {"stream": stream}).status_code == 302
        with w.inside():
            assert set(Reconciliation.objects.values_list("stream", flat=True)) == begun
            assert Reconciliation.objects.count() == len(begun)
    assert "Deals waiting" in text(admin)


def test_trouble_of_a_comparison_is_told_in_words(w: World) -> None:
    report(w)
    with w.inside():
        reconcile.begin(Connection.objects.get(), ["deals"])
        Reconciliation.objects.filter(finished_at=None).update(problem="crm_down", retry_at=w.clock.now)
    assert "HubSpot does not answer." in text(log_in(w))


def test_who_allowed_a_deletion_is_told(w: World) -> None:
    who = User.objects.create_user("karim@vigie.example", name="Karim Benali")
    report(w, extra=60, repaired=60, released_by=who, released_at=w.clock.now)
    assert "The deletion was allowed by Karim Benali" in text(log_in(w))
