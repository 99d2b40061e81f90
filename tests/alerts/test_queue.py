"""What has changed is evaluated: by one worker at a time, seldom when much changes, and nothing is lost on the way."""

import threading
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import DatabaseError, InterfaceError, connection
from django.test.utils import CaptureQueriesContext

from accounts.tenancy import tenant
from alerts import queue, tasks
from alerts.models import Alert, Pending
from config.celery import app
from deals.clock import Clock
from deals.models import Deal
from tests.alerts.sessions import held, in_background, waiting
from tests.alerts.writing import held_back, later, write_together
from tests.processes import wait_for, worker
from tests.world import World

pytestmark = pytest.mark.django_db


def mark(w, *refs):
    with w.inside():
        queue.mark(w.organisation, [w.stored(ref).pk for ref in refs])


def marks(w):
    with w.inside():
        return dict(Pending.objects.values_list("deal__external_id", "generation"))


def evaluate_pending(w):
    with w.inside():
        return queue.evaluate_pending(w.organisation, w.clock)


def judged(w):
    with w.inside():
        return set(Alert.objects.values_list("deal__external_id", flat=True))


def test_marked_deals_are_evaluated_and_no_others():
    w = World()
    for ref in ("d", "e", "f"):
        w.deal(ref)
    mark(w, "d", "e")
    assert evaluate_pending(w) == 2
    assert judged(w) == {"d", "e"}
    assert marks(w) == {}
    assert evaluate_pending(w) == 0


def test_many_marks_are_one_evaluation():
    w = World()
    w.deal()
    for _ in range(3):
        mark(w, "d")
    assert marks(w) == {"d": 3}
    assert evaluate_pending(w) == 1


def test_what_is_touched_by_a_write_is_what_must_be_marked():
    w = World()
    w.contact("ana")
    w.on_deal("ana", ref="d")
    w.deal("e")
    with held_back(w) as batches:
        w.contact("ana", "CEO", updated_at=w.at(0))
        w.activity("call", 3, "ana", deal="e")
    assert write_together(w, batches) == {w.stored("d").pk, w.stored("e").pk}


def test_more_than_a_batch_takes_several_rounds(monkeypatch):
    monkeypatch.setattr(queue, "BATCH", 2)
    w = World()
    for ref in ("d", "e", "f"):
        w.deal(ref)
    mark(w, "d", "e", "f")
    assert [evaluate_pending(w) for _ in range(3)] == [2, 1, 0]
    assert judged(w) == {"d", "e", "f"}


def test_marks_survive_a_failure():
    w = World()
    w.deal()
    mark(w, "d")

    def fail_after_the_evaluation():
        with w.inside():
            raise ZeroDivisionError(queue.evaluate_pending(w.organisation, w.clock))

    with pytest.raises(ZeroDivisionError, match="1"):
        fail_after_the_evaluation()
    assert marks(w) == {"d": 1}
    assert judged(w) == set()


@pytest.mark.django_db(transaction=True)
def test_a_mark_that_comes_during_an_evaluation_stays():
    w = World()
    w.deal()
    mark(w, "d")
    with held(w):
        done = in_background(evaluate_pending, w)  # reads the mark, then waits to write
        wait_for(waiting, 10)
        mark(w, "d")  # does not wait
    assert done.result(10) == 1
    assert marks(w) == {"d": 2}
    assert evaluate_pending(w) == 1
    assert marks(w) == {}


# ---- In turn


def try_turn(w, after=0.0):
    """(whether it was our turn, in how many seconds to ring), `after` seconds."""
    clock = replace(w.clock, now=w.clock.now + timedelta(seconds=after))
    with w.inside():
        attempt = queue.evaluate_in_turn(w.organisation, clock)
    return attempt.taken, attempt.ring_at and (attempt.ring_at - queue.MARGIN - clock.now).total_seconds()


def test_an_isolated_change_is_evaluated_at_once():
    w = World()
    w.deal()
    for after in (0, 10, 20):
        mark(w, "d")
        assert try_turn(w, after) == (True, None)
        assert marks(w) == {}


@pytest.mark.parametrize(("changes", "pause"), [(1, 1), (10, 1), (11, 5)])
def test_the_next_evaluation_waits_longer_when_much_has_changed(changes, pause):
    w = World()
    w.deal()
    for _ in range(changes):
        mark(w, "d")
    assert try_turn(w) == (True, None)
    mark(w, "d")
    assert try_turn(w, pause - 0.25) == (False, 0.25)  # whoever comes first in the pause asks to be rung
    assert try_turn(w, pause - 0.2) == (False, None)
    assert marks(w) == {"d": 1}
    assert try_turn(w, pause) == (True, None)
    assert marks(w) == {}


def test_there_is_no_pause_while_more_than_a_batch_waits(monkeypatch):
    monkeypatch.setattr(queue, "BATCH", 2)
    w = World()
    for ref in ("d", "e", "f"):
        w.deal(ref)
    mark(w, "d", "e", "f")
    assert [try_turn(w), try_turn(w)] == [(True, None), (True, None)]
    assert marks(w) == {}


def test_a_ring_for_nothing_begins_no_pause():
    w = World()
    w.deal()
    assert try_turn(w) == (True, None)
    mark(w, "d")
    assert try_turn(w) == (True, None)
    assert marks(w) == {}


def test_a_pause_that_a_wrong_clock_has_written_is_no_pause():
    w = World()
    w.deal()
    mark(w, "d")
    with w.inside():
        w.organisation.turns.update(rests_until=w.clock.now + timedelta(hours=1), rung=True)
    assert try_turn(w) == (True, None)
    assert marks(w) == {}


def test_the_pause_is_of_one_organisation():
    busy, quiet = World(), World()
    for w in (busy, quiet):
        w.deal()
        mark(w, "d")
    assert try_turn(busy) == (True, None)
    assert try_turn(quiet) == (True, None)


@pytest.mark.django_db(transaction=True)
def test_two_workers_never_evaluate_the_same_deals():
    w = World()
    w.deal("d")
    w.deal("e")
    mark(w, "d")
    with held(w):
        done = in_background(try_turn, w)
        wait_for(waiting, 10)
        mark(w, "d", "e")
        assert try_turn(w, 20) == (False, None)  # leaves the marks to the other, and does not wait
    assert done.result(10) == (True, None)
    assert marks(w) == {"d": 2, "e": 1}
    assert try_turn(w, 21) == (True, None)


@pytest.mark.django_db(transaction=True)
def test_the_task_evaluates_what_was_marked_while_its_turn_lasted(monkeypatch):
    """A second ring that found the turn taken went away; the first one sees to its marks."""
    w = now(World())
    w.deal("d")
    w.deal("e")
    mark(w, "d")
    rings = []
    monkeypatch.setattr(tasks.evaluate_changed, "apply_async", lambda args, eta: rings.append((args, eta)))
    with held(w):
        done = in_background(tasks.evaluate_changed, w.organisation.pk)
        wait_for(waiting, 10)
        mark(w, "e")
        tasks.evaluate_changed(w.organisation.pk)
    done.result(10)
    assert marks(w) == {"e": 1}
    [(args, eta)] = rings
    assert args == (w.organisation.pk,)
    later(w, seconds=(eta - w.clock.now).total_seconds())
    assert try_turn(w) == (True, None)
    assert marks(w) == {}


@pytest.mark.django_db(transaction=True)
def test_a_lease_that_ran_out_is_taken_over(monkeypatch):
    monkeypatch.setattr(queue, "LEASE", 1)
    w = World()
    w.deal()
    mark(w, "d")
    silent = threading.Event()

    def fall_silent():
        with tenant(w.organisation):
            queue.evaluate_in_turn(w.organisation, w.clock)
            silent.set()
            time.sleep(3)  # as a worker whose machine has stopped
            Alert.objects.all().delete()  # it can no longer do anything

    done = in_background(fall_silent)
    assert silent.wait(10)
    assert try_turn(w) == (False, None)
    assert wait_for(lambda: try_turn(w)[0], 2.5)
    assert marks(w) == {}
    assert isinstance(done.exception(10), DatabaseError | InterfaceError)
    assert judged(w) == {"d"}


def test_one_change_costs_as_many_statements_as_many():
    w = World()
    refs = [f"d{n}" for n in range(queue.parking.FEW)]
    for ref in refs:
        w.deal(ref)
    with w.inside():
        queue.mark(w.organisation, [w.stored("d0").pk])
        queue.evaluate_in_turn(w.organisation, w.clock)
    counts = []
    for some in (refs[:1], refs):
        mark(w, *some)
        later(w, minutes=1)
        with w.inside(), CaptureQueriesContext(connection) as queries:
            queue.evaluate_in_turn(w.organisation, w.clock)
        counts.append(len(queries))
    assert marks(w) == {}
    assert counts[0] == counts[1] <= 12


# ---- A real worker


def now(w):
    """The tasks ask the machine's clock, so these worlds live today."""
    w.clock = Clock.of(w.organisation)
    w.first_synced()
    return w


def change(w, ref, **fields):
    """As the synchronisation does: a write and its mark in one transaction, then a ring."""
    with w.inside():
        deals = Deal.objects.filter(external_id=ref)
        deals.update(**fields)
        queue.mark(w.organisation, deals.values_list("pk", flat=True))
    tasks.evaluate_changed.delay(w.organisation.pk)


def evaluations(process):
    return process.log.read_text().count("deals evaluated")


@pytest.fixture
def running(tmp_path, transactional_db):
    app.control.purge()
    process = worker(tmp_path)
    with process.running():
        wait_for(lambda: "ready." in process.log.read_text(), 30)
        yield process
    app.control.purge()


def test_a_hundred_changes_in_five_seconds_are_three_evaluations_and_the_last_state_wins(running):
    w = now(World())
    refs = [f"d{n}" for n in range(10)]
    for ref in refs:
        w.deal(ref)
    begun = time.monotonic()
    change(w, "d0", amount=1)
    wait_for(lambda: not marks(w), 2)
    assert time.monotonic() - begun < 1  # an isolated change is evaluated at once
    time.sleep(queue.PAUSE.total_seconds())
    before = evaluations(running)
    begun = time.monotonic()
    for n in range(99):
        change(w, refs[n % 10], close_on=w.day(5))
        time.sleep(max(0.0, begun + n * 0.05 - time.monotonic()))
    change(w, "d3", close_on=w.day(-90))
    assert time.monotonic() - begun < 6
    wait_for(lambda: not marks(w), 10)
    assert 1 <= evaluations(running) - before <= 3
    with w.inside():
        passed = Alert.objects.filter(kind="close_date_passed", resolved_at=None)
        assert set(passed.values_list("deal__external_id", flat=True)) == {*refs} - {"d3"}


def test_the_sweep_finds_what_a_lost_message_left(running):
    w = now(World())
    w.deal()
    with held(w):
        mark(w, "d")
        tasks.evaluate_changed.delay(w.organisation.pk)
        wait_for(waiting, 10)
        running.kill()  # in the middle of the evaluation
    app.control.purge()
    app.connection_for_write().default_channel.client.delete("unacked", "unacked_index")
    assert marks(w) == {"d": 1}
    assert judged(w) == set()
    running.start()
    time.sleep(1)
    assert marks(w) == {"d": 1}  # nobody has rung

    def swept():
        tasks.sweep.delay()  # as beat does
        time.sleep(0.3)
        return not marks(w)

    wait_for(swept, 30)
    assert judged(w) == {"d"}
