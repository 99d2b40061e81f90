"""What has changed is evaluated, once a day everything, and nothing is lost on the way."""

import threading
import time
from datetime import UTC, datetime

import pytest
from django.db import connection

from alerts import engine, queue, tasks
from alerts.models import Alert, Pending, Run
from deals.clock import Clock
from deals.models import Deal
from tests.alerts.writing import held_back, write_together
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


def _waits_for_the_lock():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        return cursor.fetchone()[0] > 0


@pytest.mark.django_db(transaction=True)
def test_a_mark_that_comes_during_an_evaluation_stays():
    w = World()
    w.deal()
    mark(w, "d")
    done = []

    def work():
        try:
            done.append(evaluate_pending(w))
        finally:
            connection.close()

    worker = threading.Thread(target=work)
    with w.inside(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [engine._LOCK, w.organisation.pk])
        worker.start()  # reads the mark, then waits to evaluate
        end = time.monotonic() + 10
        while not _waits_for_the_lock():
            assert time.monotonic() < end
            time.sleep(0.01)
        queue.mark(w.organisation, [w.stored().pk])
    worker.join(10)
    assert done == [1]
    assert marks(w) == {"d": 2}
    assert evaluate_pending(w) == 1
    assert marks(w) == {}


# ---- Runs over everything


def start(w):
    with w.inside():
        return tasks.start_run(w.organisation, Run.Cause.DAILY, w.clock.today.isoformat(), w.clock)


def now(w):
    """The tasks ask the machine's clock, so these worlds live today."""
    w.clock = Clock.of(w.organisation)
    w.first_synced()
    return w


def test_a_run_takes_every_deal_in_chunks_and_says_how_far_it_is(monkeypatch):
    monkeypatch.setattr(tasks, "CHUNK", 2)
    w = now(World())
    for n in range(5):
        w.deal(f"d{n}")
    run = start(w)
    assert (run.done, run.total, run.finished_at) == (0, 5, None)
    tasks.evaluate_all(w.organisation.pk, run.pk)
    with w.inside():
        run.refresh_from_db()
    assert (run.done, run.total) == (5, 5)
    assert run.finished_at is not None
    assert judged(w) == {f"d{n}" for n in range(5)}


def test_an_interrupted_run_goes_on_from_where_it_stood():
    w = now(World())
    for n in range(3):
        w.deal(f"d{n}")
    run = start(w)
    with w.inside():
        Run.objects.update(position=w.stored("d0").pk, done=1)
    tasks.evaluate_all(w.organisation.pk, run.pk)
    assert judged(w) == {"d1", "d2"}
    with w.inside():
        run.refresh_from_db()
    assert (run.done, run.total) == (3, 3)


def test_a_finished_run_does_nothing_when_it_is_rung_again():
    w = now(World())
    run = start(w)
    tasks.evaluate_all(w.organisation.pk, run.pk)
    w.deal()
    tasks.evaluate_all(w.organisation.pk, run.pk)
    assert judged(w) == set()


def test_the_daily_run_starts_once_per_organisation_and_local_date():
    worlds = [World(zone=zone) for zone in ("Europe/Paris", "Pacific/Auckland", "America/Los_Angeles")]
    before = datetime.now(UTC)
    tasks.start_daily()
    tasks.start_daily()
    after = datetime.now(UTC)
    for w in worlds:
        with w.inside():
            # A midnight that passes between the two calls starts a second day.
            days = {Clock.of(w.organisation, moment).today.isoformat() for moment in (before, after)}
            runs = list(Run.objects.values_list("cause", "key"))
            assert runs
            assert len(runs) == len(set(runs))
            assert {key for _, key in runs} <= days


def test_everything_marked_is_evaluated_by_the_task_until_none_is_left(monkeypatch):
    monkeypatch.setattr(queue, "BATCH", 2)
    w = now(World())
    for n in range(5):
        w.deal(f"d{n}")
    mark(w, *(f"d{n}" for n in range(5)))
    tasks.evaluate_changed(w.organisation.pk)
    assert marks(w) == {}
    assert judged(w) == {f"d{n}" for n in range(5)}


@pytest.mark.django_db(transaction=True)
def test_the_sweep_finds_a_meeting_that_has_become_past() -> None:
    w = now(World())
    w.deal()
    w.activity("meeting", -1)
    with w.inside():
        Deal.objects.update(roll_at=w.at(1))  # as if its time had come by the machine's clock
    tasks.sweep()
    with w.inside():
        assert Pending.objects.filter(deal__external_id="d").exists()
