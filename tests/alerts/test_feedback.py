"""Useful or a false alarm: who says what of an alert, one opinion a person, counted for the others."""

import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from alerts import feedback
from alerts.feedback import Opinions
from alerts.models import Alert, Feedback
from tests.pages import log_in, world_now
from tests.world import World

pytestmark = pytest.mark.django_db


@pytest.fixture
def w() -> World:
    world = world_now()
    world.deal(created_at=world.at(20), stage_entered_at=world.at(1))
    world.evaluate()
    return world


def alert(world: World, kind: str = "no_activity") -> Alert:
    with world.inside():
        return Alert.objects.get(organisation=world.organisation, kind=kind)


def say(world: World, client: Client, useful: str, comment: str = "", pk: Any = None) -> Any:
    given = {"alert": alert(world).pk if pk is None else pk, "useful": useful, "comment": comment}
    return client.post(f"/deals/{world.stored().pk}/feedback/", given)


def of(world: World, email: str = "ana@vigie.example") -> Opinions:
    reader = User.objects.get(email=email)
    with world.inside():
        pk = alert(world).pk
        return feedback.opinions(world.organisation, [pk], reader).get(pk, Opinions())


def test_everybody_may_say_what_they_think_and_the_others_see_how_many(w: World) -> None:
    ana, bob, cleo = (log_in(w, role="rep", email=f"{name}@vigie.example") for name in ("ana", "bob", "cleo"))
    say(w, ana, "1")
    say(w, bob, "0", "The customer is on holiday")
    say(w, cleo, "0")
    assert of(w) == Opinions(useful=1, false_alarms=2, mine=True)
    assert of(w, "bob@vigie.example") == Opinions(1, 2, False, "The customer is on holiday")
    page = ana.get(f"/deals/{w.stored().pk}/").content.decode()
    assert re.search(r'aria-pressed="true">.*?Useful <span class="count">1</span>', page)
    assert re.search(r'aria-pressed="false">.*?False alarm <span class="count">2</span>', page)
    assert "on holiday" not in page


def test_the_last_opinion_of_a_person_counts_and_it_can_be_taken_back(w: World) -> None:
    ana = log_in(w)
    say(w, ana, "1")
    say(w, ana, "0", "no")
    assert of(w) == Opinions(0, 1, False, "no")
    say(w, ana, "")
    assert of(w) == Opinions()


def test_a_false_alarm_offers_to_mute_it_with_the_comment_as_the_reason(w: World) -> None:
    ana = log_in(w)
    say(w, ana, "0", "Paid already")
    page = ana.get(f"/deals/{w.stored().pk}/").content.decode()
    assert page.count("Mute it on this deal") == 1
    assert 'name="until" value="mute"' in page
    assert 'name="reason" value="Paid already"' in page


def test_comments_of_any_kind_are_kept_and_escaped(w: World) -> None:
    ana = log_in(w)
    assert say(w, ana, "0", "<script>\x00alert(1)</script> مرحبا 🎈 " + "x" * 5000).status_code == 302
    page = ana.get(f"/deals/{w.stored().pk}/").content.decode()
    assert "<script>alert" not in page
    assert len(of(w).comment) == feedback.COMMENT_LENGTH


@pytest.mark.parametrize("wrong", ["", "x", "-1", "9" * 30, "999999999"])
def test_an_unknown_alert_is_not_found(w: World, wrong: str) -> None:
    assert say(w, log_in(w), "1", pk=wrong).status_code == 404


def test_neither_another_deals_alert_nor_another_organisations_is_found(w: World) -> None:
    w.deal("other", created_at=w.at(20), stage_entered_at=w.at(1))
    w.evaluate()
    elsewhere = world_now()
    elsewhere.deal(created_at=elsewhere.at(20))
    elsewhere.evaluate()
    with w.inside():
        other = Alert.objects.get(deal=w.stored("other"), kind="no_activity")
    with elsewhere.inside():
        foreign = Alert.objects.get(kind="no_activity")
    client = log_in(w)
    for pk in (other.pk, foreign.pk):
        given = {"alert": pk, "useful": "1"}
        assert client.post(f"/deals/{w.stored().pk}/feedback/", given).status_code == 404
    for world in (w, elsewhere):
        with world.inside():
            assert not Feedback.objects.exists()


def test_an_answer_that_was_not_offered_is_not_found(w: World) -> None:
    assert say(w, log_in(w), "2").status_code == 404
    assert of(w) == Opinions()


def test_one_statement_for_any_number_of_alerts(w: World) -> None:
    ana = log_in(w)
    say(w, ana, "1")
    reader = User.objects.get(email="ana@vigie.example")
    with w.inside():
        ids = list(Alert.objects.values_list("pk", flat=True))
        with CaptureQueriesContext(connection) as captured:
            feedback.opinions(w.organisation, ids, reader)
    assert len(captured) == 1
