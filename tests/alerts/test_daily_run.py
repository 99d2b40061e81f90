"""Evaluations of everything: once a day from each organisation's midnight on, and when settings have been saved."""

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from accounts.models import Organisation
from alerts import engine, tasks
from alerts.models import Alert, Pending, Run
from config.celery import app
from deals.clock import Clock
from deals.models import Deal
from tests.alerts.sessions import held, in_background, waiting
from tests.alerts.writing import held_back, later, write_together
from tests.processes import wait_for, worker
from tests.world import World

pytestmark = pytest.mark.django_db


def now(w):
    """The tasks ask the machine's clock, so these worlds live today."""
    w.clock = Clock.of(w.organisation)
    w.first_synced()
    return w


def start(w, cause=Run.Cause.DAILY, key=None):
    with w.inside():
        return tasks.start_run(w.organisation, cause, key or w.clock.today.isoformat(), w.clock)


def runs(w):
    """{key: (done, total, whether it is finished)}"""
    with w.inside():
        found = Run.objects.order_by("pk").values_list("key", "done", "total", "finished_at")
        return {key: (done, total, finished is not None) for key, done, total, finished in found}


def judged(w):
    with w.inside():
        return set(Alert.objects.values_list("deal__external_id", flat=True))


# ---- When


NIGHTS = [
    ("Europe/Paris", (2026, 1, 15)),
    ("Europe/Paris", (2026, 3, 29)),
    ("Europe/Paris", (2026, 3, 30)),
    ("Europe/Paris", (2026, 10, 25)),
    ("Europe/Paris", (2026, 10, 26)),
    ("America/Los_Angeles", (2026, 3, 8)),
    ("America/Los_Angeles", (2026, 3, 9)),
    ("America/Los_Angeles", (2026, 11, 1)),
    ("America/Los_Angeles", (2026, 11, 2)),
    ("Pacific/Auckland", (2026, 4, 5)),
    ("Pacific/Auckland", (2026, 4, 6)),
    ("Pacific/Auckland", (2026, 9, 27)),
    ("Pacific/Auckland", (2026, 9, 28)),
    ("Africa/Cairo", (2026, 4, 24)),  # this day begins at one o'clock
    ("Africa/Cairo", (2026, 10, 30)),  # and its eve has the hour before midnight twice
]


@pytest.mark.parametrize(("zone", "day"), NIGHTS)
def test_the_run_of_a_day_starts_at_its_midnight_and_not_before(zone, day):
    w = World(zone=zone)
    today = datetime(*day, 12, tzinfo=ZoneInfo(zone)).date()
    # The first moment of the day, found on the time line: where the clocks change it need not be called midnight.
    moment = datetime(*day, 12, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    while (moment - timedelta(minutes=1)).astimezone(ZoneInfo(zone)).date() == today:
        moment -= timedelta(minutes=1)
    yesterday = (today - timedelta(days=1)).isoformat()
    tasks.start_daily_runs(moment - timedelta(hours=2))
    tasks.start_daily_runs(moment - timedelta(seconds=1))
    assert list(runs(w)) == [yesterday]
    tasks.start_daily_runs(moment)
    tasks.start_daily_runs(moment + timedelta(hours=2))
    assert list(runs(w)) == [yesterday, today.isoformat()]


def test_beats_before_and_after_the_clocks_change_start_one_run_a_day():
    worlds = [World(zone=zone) for zone in ("Europe/Paris", "Pacific/Auckland", "America/Los_Angeles")]
    moment, end = datetime(2026, 10, 24, tzinfo=UTC), datetime(2026, 11, 3, tzinfo=UTC)
    while moment < end:
        tasks.start_daily_runs(moment)
        moment += timedelta(hours=2)
    for w in worlds:
        days = [datetime.fromisoformat(key).date() for key in runs(w)]
        assert days == [days[0] + timedelta(days=n) for n in range(len(days))]
        assert len(days) in (10, 11)


def test_after_an_outage_of_three_days_there_is_one_run_and_it_is_todays():
    w = World()
    tasks.start_daily_runs(w.clock.now)
    later(w, days=3)
    tasks.start_daily_runs(w.clock.now)
    assert list(runs(w)) == ["2026-11-22", "2026-11-25"]


def test_a_run_that_was_left_behind_ends_with_todays(monkeypatch):
    w = now(World())
    w.deal()
    old = start(w, key="2026-01-01")
    new = start(w)
    tasks.evaluate_all(w.organisation.pk, old.pk)
    assert judged(w) == set()  # nothing is done twice
    tasks.evaluate_all(w.organisation.pk, new.pk)
    assert runs(w) == {"2026-01-01": (0, 1, True), w.clock.today.isoformat(): (1, 1, True)}
    assert judged(w) == {"d"}


@pytest.mark.django_db(transaction=True)
def test_two_beats_at_the_same_moment_start_one_run():
    worlds = [World(zone=zone) for zone in ("Europe/Paris", "Pacific/Auckland", "America/Los_Angeles")]
    beats = [in_background(tasks.start_daily_runs, worlds[0].clock.now) for _ in range(4)]
    for beat in beats:
        beat.result(20)
    assert [len(runs(w)) for w in worlds] == [1, 1, 1]


def test_the_task_takes_the_machines_time():
    w = World()
    before = datetime.now(UTC)
    tasks.start_daily()
    days = {Clock.of(w.organisation, moment).today.isoformat() for moment in (before, datetime.now(UTC))}
    assert set(runs(w)) <= days
    assert runs(w)


def test_one_organisation_that_fails_does_not_keep_the_others_waiting(caplog):
    lost, found = World(), World()
    Organisation.objects.filter(pk=lost.organisation.pk).update(time_zone="Europe/Atlantis")
    tasks.start_daily_runs(found.clock.now)
    assert len(runs(found)) == 1
    assert f"organisation {lost.organisation.pk}" in caplog.text


# ---- How


def test_a_run_takes_every_deal_in_chunks_and_says_how_far_it_is(monkeypatch):
    monkeypatch.setattr(tasks, "CHUNK", 2)
    w = now(World())
    for n in range(5):
        w.deal(f"d{n}")
    run = start(w, key="x")
    assert runs(w) == {"x": (0, 5, False)}
    tasks.evaluate_all(w.organisation.pk, run.pk)
    assert runs(w) == {"x": (5, 5, True)}
    assert judged(w) == {f"d{n}" for n in range(5)}


def test_an_interrupted_run_goes_on_from_where_it_stood():
    w = now(World())
    for n in range(3):
        w.deal(f"d{n}")
    run = start(w, key="x")
    with w.inside():
        Run.objects.update(position=w.stored("d0").pk, done=1)
    tasks.evaluate_all(w.organisation.pk, run.pk)
    assert judged(w) == {"d1", "d2"}
    assert runs(w) == {"x": (3, 3, True)}


def test_a_finished_run_does_nothing_when_it_is_rung_again():
    w = now(World())
    run = start(w)
    tasks.evaluate_all(w.organisation.pk, run.pk)
    w.deal()
    tasks.evaluate_all(w.organisation.pk, run.pk)
    assert judged(w) == set()


def test_a_long_run_makes_room_for_others(monkeypatch):
    monkeypatch.setattr(tasks, "CHUNK", 1)
    monkeypatch.setattr(tasks, "SHIFT", -1)
    w = now(World())
    for n in range(3):
        w.deal(f"d{n}")
    rings = []
    monkeypatch.setattr(tasks.evaluate_all, "delay", lambda *args: rings.append(args))
    run = start(w, key="x")
    for _ in range(3):
        tasks.evaluate_all(w.organisation.pk, run.pk)
    assert rings == [(w.organisation.pk, run.pk)] * 3
    tasks.evaluate_all(w.organisation.pk, run.pk)
    assert len(rings) == 3
    assert runs(w) == {"x": (3, 3, True)}


def test_the_daily_run_rolls_forward_a_meeting_that_has_become_past():
    w = World()
    w.first_synced()
    w.deal()
    w.activity("meeting", -1)
    with w.inside():
        Deal.objects.update(roll_at=w.at(1))  # as if its time had come by the machine's clock
    run = start(w)
    tasks.evaluate_all(w.organisation.pk, run.pk)
    with w.inside():
        assert not Deal.objects.filter(roll_at=w.at(1)).exists()


@pytest.mark.django_db(transaction=True)
def test_the_sweep_finds_a_meeting_that_has_become_past():
    w = now(World())
    w.deal()
    w.activity("meeting", -1)
    with w.inside():
        Deal.objects.update(roll_at=w.at(1))
    tasks.sweep()
    with w.inside():
        assert Pending.objects.filter(deal__external_id="d").exists()


# ---- Settings saved


def saved(w, **rules):
    """Save settings as the page does, and start the run."""
    w.configure(**rules)
    with w.inside():
        version = str(w.organisation.configurations.latest("version").version)
    return start(w, Run.Cause.SETTINGS, version)


def test_a_second_save_during_a_run_leaves_no_deal_with_the_older_settings(monkeypatch):
    monkeypatch.setattr(tasks, "CHUNK", 2)
    w = now(World())
    for n in range(6):
        w.deal(f"d{n}", created_at=w.at(20))
    first = saved(w, deal_too_old={"days": 15})
    judged_by = []
    evaluate = engine.evaluate

    def evaluate_and_save(organisation, deals, clock, **options):
        """Somebody saves again while the first chunk is evaluated."""
        outcome = evaluate(organisation, deals, clock, **options)
        judged_by.append(w.organisation.configurations.count())
        if len(judged_by) == 1:
            saved(w, deal_too_old={"days": 30})
        return outcome

    monkeypatch.setattr(engine, "evaluate", evaluate_and_save)
    tasks.evaluate_all(w.organisation.pk, first.pk)
    assert judged_by == [1]  # the first run has stopped after its chunk: no work is wasted
    assert runs(w) == {"1": (2, 6, False), "2": (0, 6, False)}  # and nobody is told yet that all is up to date
    with w.inside():
        second = Run.objects.get(key="2")
    tasks.evaluate_all(w.organisation.pk, second.pk)
    assert judged_by == [1, 2, 2, 2]
    assert runs(w) == {"1": (2, 6, True), "2": (6, 6, True)}
    with w.inside():
        assert not Alert.objects.filter(kind="deal_too_old", resolved_at=None).exists()


def test_a_run_judges_by_the_settings_in_force_and_not_by_those_it_was_started_for():
    w = now(World())
    w.deal(created_at=w.at(20))
    run = saved(w, deal_too_old={"days": 15})
    w.configure(deal_too_old={"days": 30})
    tasks.evaluate_all(w.organisation.pk, run.pk)
    with w.inside():
        assert not Alert.objects.filter(kind="deal_too_old").exists()


# ---- A real worker


@pytest.mark.django_db(transaction=True)
def test_a_run_whose_worker_is_killed_goes_on_from_its_position(tmp_path):
    w = now(World())
    w.deal("d")
    with held_back(w) as batches:
        for n in range(tasks.CHUNK):
            w.deal(f"e{n}", close_on=None)
    write_together(w, batches)
    with w.inside():
        Deal.objects.filter(external_id="d").delete()
    w.deal("last")
    app.control.purge()
    process = worker(tmp_path)
    with process.running():
        with held(w, "last"):
            start(w, key="x")
            wait_for(lambda: runs(w)["x"][0] == tasks.CHUNK and waiting(), 60)
            process.kill()
        app.control.purge()
        assert runs(w) == {"x": (tasks.CHUNK, tasks.CHUNK + 1, False)}
        with w.inside():
            before = set(Alert.objects.values_list("pk", "opened_at"))
            assert len(before) >= tasks.CHUNK
            assert not Alert.objects.filter(deal__external_id="last").exists()
        process.start()

        def finished():
            tasks.sweep.delay()  # as beat does every 30 seconds
            time.sleep(0.3)
            return runs(w)["x"][2]

        wait_for(finished, 60)
    assert runs(w) == {"x": (tasks.CHUNK + 1, tasks.CHUNK + 1, True)}
    with w.inside():
        assert before < set(Alert.objects.values_list("pk", "opened_at"))
        assert Alert.objects.filter(deal__external_id="last").exists()
