"""Every page says how fresh it is, and hears of an evaluation that came after it."""

import json
import re
from datetime import timedelta

import pytest
from django.urls import reverse

from accounts.tenancy import tenant
from alerts import queue
from alerts.freshness import freshness
from alerts.models import Run
from alerts.tasks import start_run
from deals.clock import Clock
from deals.models import Deal
from tests.pages import log_in, world_now
from tests.world import World

ADDRESS = reverse("workplace:freshness")
pytestmark = pytest.mark.django_db


def told(w: World, seconds_later: float = 0) -> object:
    with w.inside():
        return freshness(w.organisation, Clock(w.clock.now + timedelta(seconds=seconds_later), w.clock.zone))


def mark(w: World, ref: str = "d") -> None:
    pk = w.stored(ref).pk
    with w.inside():
        queue.mark(w.organisation, [pk])


def evaluate(w: World) -> None:
    with w.inside():
        queue.evaluate_pending(w.organisation, w.clock)


def stamp(page) -> str:
    return re.search(r"seen=(\w+)", page.content.decode())[1]


def test_a_change_is_told_until_it_is_evaluated():
    w = World()
    w.deal()
    assert (told(w).text, told(w).updating) == ("", False)
    mark(w)
    assert (told(w).text, told(w).updating) == ("Alerts are being brought up to date", True)
    evaluate(w)
    assert (told(w, 130).text, told(w, 130).updating) == ("Alerts evaluated 2 min ago", False)


@pytest.mark.parametrize(("done", "text"), [(0, "0%"), (1, "33%"), (3, "99%")])
def test_a_run_is_told_with_its_share(done, text):
    w = World()
    for n in range(3):
        w.deal(str(n))
    w.first_synced()
    with w.inside():
        run = start_run(w.organisation, Run.Cause.DAILY, "2026-11-22", w.clock)
        Run.objects.filter(pk=run.pk).update(done=done)
    assert told(w).text == f"Alerts are being brought up to date: {text}"
    with w.inside():
        Run.objects.filter(pk=run.pk).update(finished_at=w.clock.now)
    assert told(w, 3600).text == "Alerts evaluated 1 hr ago"


def test_only_an_evaluation_of_ones_own_organisation_makes_another_stamp():
    w, other = world_now(), World()
    w.deal()
    other.deal()
    client = log_in(w)
    seen = stamp(client.get(reverse("alerts:titles")))
    mark(other)
    evaluate(other)
    assert "HX-Trigger" not in client.get(ADDRESS, {"seen": seen})
    mark(w)
    later = client.get(ADDRESS, {"seen": seen})
    assert json.loads(later["HX-Trigger"]) == {"changed": {}}
    assert stamp(later) != seen
    assert "HX-Trigger" not in client.get(ADDRESS, {"seen": stamp(later)})


@pytest.mark.parametrize("deals", [1, 3])
def test_it_takes_one_statement(deals, django_assert_num_queries):
    w = World()
    for n in range(deals):
        w.deal(str(n))
        mark(w, str(n))
    with tenant(w.organisation), django_assert_num_queries(1):
        freshness(w.organisation, w.clock)
    assert Deal.objects.count() == 0  # outside the organisation


def test_strangers_are_led_to_the_login(client):
    assert client.get(ADDRESS).status_code == 302
