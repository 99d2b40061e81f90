"""One bad deal is parked and told, the others are evaluated. What is bad is written by SQL: no CRM can deliver it."""

import logging
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import OperationalError, ProgrammingError, connection
from django.db.models import DateField
from django.db.models.expressions import RawSQL

from alerts import parking, queue, tasks
from alerts.models import Alert, Parked, Pending, Run
from alerts.rules.no_meeting import NoMeeting
from crm_sync.providers.hubspot import mapping as hubspot
from crm_sync.providers.pipedrive import mapping as pipedrive
from deals.clock import Clock
from deals.models import Deal
from tests.alerts.sessions import held
from tests.pages import log_in
from tests.world import World

pytestmark = pytest.mark.django_db


BAD = {
    "a role since a day that is none": """roles = '{"champion": {"since": "yesterday-ish", "holders": [1]}}'""",
    "a close date that has no day after": "close_on = '5874897-12-31'",
    "created on the last day that there is": "created_on = '5874897-12-31', last_touch_on = '5874897-12-31'",
}
any_damage = pytest.mark.parametrize("how", BAD.values(), ids=BAD)


def world(deals=3):
    """Every deal has an alert when it is judged: no meeting is planned."""
    w = World()
    w.clock = Clock.of(w.organisation)
    w.first_synced()
    w.configure(key_role={"roles": {"champion": 12}})
    for n in range(deals):
        w.deal(f"d{n}")
    return w


def damage(w, how, *refs):
    with w.inside(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE deals_deal SET {how} WHERE external_id = ANY(%s)", [list(refs)])


def mend(w, *refs):
    damage(w, "roles = '{}', close_on = NULL, created_on = '2026-01-01', last_touch_on = '2026-01-01'", *refs)


def mark(w, *refs):
    with w.inside():
        queue.mark(w.organisation, Deal.objects.filter(external_id__in=refs).values_list("pk", flat=True))


def evaluate_changed(w):
    with w.inside():  # the pause after the last one is over
        w.organisation.turns.update(rests_until=w.at(1))
    tasks.evaluate_changed(w.organisation.pk)


def parked(w):
    with w.inside():
        return dict(Parked.objects.values_list("deal__external_id", "attempts"))


def judged(w):
    with w.inside():
        return set(Alert.objects.filter(kind="no_meeting").values_list("deal__external_id", flat=True))


def page_of(w, ref):
    with w.inside():
        return f"/deals/{Deal.objects.values_list('pk', flat=True).get(external_id=ref)}/"


@any_damage
def test_a_deal_that_makes_the_evaluation_fail_is_parked_and_the_others_are_evaluated(how):
    w = world()
    damage(w, how, "d1")
    mark(w, "d0", "d1", "d2")
    evaluate_changed(w)
    assert parked(w) == {"d1": 1}
    assert judged(w) == {"d0", "d2"}
    with w.inside():
        assert not Pending.objects.exists()


def test_bad_deals_are_found_among_many(caplog):
    w = world(40)
    bad = {f"d{n}" for n in (0, 7, 8, 21, 39)}
    damage(w, BAD["a close date that has no day after"], *bad)
    mark(w, *(f"d{n}" for n in range(40)))
    with caplog.at_level(logging.ERROR, "alerts.parking"):
        evaluate_changed(w)
    assert parked(w) == dict.fromkeys(bad, 1)
    assert judged(w) == {f"d{n}" for n in range(40)} - bad
    assert len(caplog.records) == len(bad)


def test_a_parked_deal_keeps_its_alerts_as_they_were():
    w = world(1)
    mark(w, "d0")
    evaluate_changed(w)
    damage(w, BAD["a close date that has no day after"] + ", planned_until_on = '2099-01-01'", "d0")
    mark(w, "d0")
    evaluate_changed(w)
    assert parked(w) == {"d0": 1}
    with w.inside():
        assert Alert.objects.get(kind="no_meeting").resolved_at is None


def test_a_parked_deal_is_tried_again_when_it_changes():
    w = world()
    damage(w, BAD["a close date that has no day after"], "d1")
    mark(w, "d1")
    evaluate_changed(w)
    evaluate_changed(w)
    assert parked(w) == {"d1": 1}  # nothing has changed: it is left alone
    mark(w, "d1")
    evaluate_changed(w)
    assert parked(w) == {"d1": 2}
    with w.inside():
        row = Parked.objects.get()
    assert row.parked_at < row.tried_at
    mend(w, "d1")
    mark(w, "d1")
    evaluate_changed(w)
    assert parked(w) == {}
    assert judged(w) == {"d1"}


@any_damage
def test_every_run_tries_parked_deals_again(how, monkeypatch):
    monkeypatch.setattr(tasks, "CHUNK", 2)
    w = world(5)
    damage(w, how, "d2")

    def run(key):
        with w.inside():
            run = tasks.start_run(w.organisation, Run.Cause.DAILY, key, w.clock)
        tasks.evaluate_all(w.organisation.pk, run.pk)
        with w.inside():
            run.refresh_from_db()
        return run.done, run.total, run.finished_at is not None

    assert run("one") == (5, 5, True)
    assert parked(w) == {"d2": 1}
    assert judged(w) == {"d0", "d1", "d3", "d4"}
    assert run("two") == (5, 5, True)
    assert parked(w) == {"d2": 2}
    mend(w, "d2")
    assert run("three") == (5, 5, True)
    assert parked(w) == {}
    assert judged(w) == {f"d{n}" for n in range(5)}


def test_a_deal_that_cannot_be_rolled_forward_stops_nobody():
    w = world(2)
    w.contact("ana", "", ("Champion",))
    w.on_deal("ana", ref="d2")
    w.activity("meeting", -1, "ana", deal="d1")
    w.activity("meeting", -1, "ana", deal="d2")
    damage(w, "roll_at = now() - interval '1 hour'", "d1", "d2")
    damage(
        w, "roles = jsonb_set(roles, '{champion,held}', (SELECT jsonb_object_agg(id, 'none') FROM deals_person))", "d2"
    )
    mark(w, "d0")
    evaluate_changed(w)
    assert parked(w) == {"d2": 1}
    assert judged(w) >= {"d0"}
    with w.inside():
        assert set(Deal.objects.filter(roll_at__lte=w.clock.now).values_list("external_id", flat=True)) == set()
    mark(w, "d1")
    evaluate_changed(w)  # and from now on nothing fails on its account
    assert parked(w) == {"d2": 1}


def test_nobody_is_parked_because_the_database_was_busy(transactional_db):
    w = world(1)
    mark(w, "d0")

    def evaluate_impatiently():
        with w.inside(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '50ms'")
            tasks.evaluate_changed(w.organisation.pk)

    with held(w, "d0"), pytest.raises(OperationalError, match="lock timeout"):
        evaluate_impatiently()
    with w.inside():
        assert not Parked.objects.exists()
        assert Pending.objects.exists()


@pytest.mark.parametrize(
    ("raised", "kept"),
    [
        ("'2026-13-45'::date", 'date/time field value out of range: "2026-13-45"'),
        ("'eyJhbGciOiJIUzI1NiIsInR5cCI6'::date", 'invalid input syntax for type date: "…"'),
        ("'someone.who.writes@customer.example'::date", 'invalid input syntax for type date: "…"'),
        (f"'{'x ' * 2000}'::date", None),
    ],
)
def test_what_is_kept_of_an_error_is_short_and_without_keys(raised, kept):
    w = World()

    def fail(deals):
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {raised}")

    with w.inside():
        [(deal, sentence)] = parking.find_bad(fail, [7]).items()
    assert deal == 7
    assert len(sentence) <= 500
    assert kept in (None, sentence)


def test_what_fails_only_together_is_nobodys_fault():
    w = World()
    done = []

    def fail_together(deals):
        if len(deals) > 2:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 / 0")
        done.extend(deals)

    with w.inside():
        assert parking.find_bad(fail_together, list(range(7))) == {}
    assert done == list(range(7))


def test_a_wrong_statement_is_not_blamed_on_the_deals(monkeypatch):
    w = world(1)
    mark(w, "d0")
    w.configure(no_activity={"days": 17})  # of other settings the statement is made already
    monkeypatch.setattr(NoMeeting, "fires_on", lambda *args: RawSQL("no_such_column", (), DateField()))
    with pytest.raises(ProgrammingError, match="no_such_column"):
        evaluate_changed(w)
    assert parked(w) == {}


# ---- What the admin sees


def notice(w, role="admin"):
    page = log_in(w, role, f"{role}{w.organisation.pk}@vigie.example").get("/settings/alerts/")
    assert page.status_code == 200
    return page.content.decode()


def test_admins_are_told_which_deals_are_parked():
    w = world(3)
    with w.inside():
        Deal.objects.filter(external_id="d1").update(title="Big <b>order</b>")
    damage(w, BAD["a close date that has no day after"], "d1", "d2")
    mark(w, "d0", "d1", "d2")
    evaluate_changed(w)
    page = notice(w)
    assert "2 deals cannot be evaluated" in page
    assert f'href="{page_of(w, "d1")}"' in page
    assert "Big &lt;b&gt;order&lt;/b&gt;" in page
    assert f'href="{page_of(w, "d0")}"' not in page


def test_others_are_not_told_nor_is_anybody_when_all_is_well():
    w = world(1)
    assert "cannot be evaluated" not in notice(w)
    with w.inside():
        Parked.objects.create(
            organisation=w.organisation, deal=w.stored("d0"), error="x", parked_at=w.clock.now, tried_at=w.clock.now
        )
    assert "cannot be evaluated" not in notice(w, role="rep")
    assert "cannot be evaluated" in notice(w)
    assert "cannot be evaluated" not in notice(world(1))


def test_of_many_parked_deals_the_oldest_are_named():
    w = world(25)
    with w.inside():
        for n, deal in enumerate(Deal.objects.order_by("pk")):
            then = w.clock.now - timedelta(hours=n)
            Parked.objects.create(
                organisation=w.organisation, deal=deal, error="x", parked_at=then, tried_at=w.clock.now
            )
    page = notice(w)
    assert "25 deals cannot be evaluated" in page
    named = [n for n in range(25) if f'href="{page_of(w, f"d{n}")}"' in page]
    assert named == list(range(15, 25))
    assert "and 15 more" in page


# ---- Odd dates, as CRMs deliver them


ODD = {
    "before computers": "1900-01-01T00:00:00Z",
    "before records": "1899-12-31T23:59:59Z",
    "the epoch": "1970-01-01T00:00:00Z",
    "a placeholder": "2099-12-31T23:59:59Z",
    "the farthest that counts": "8999-12-31T23:59:59Z",
    "the last of all": "9999-12-31T23:59:59Z",
    "none": "soon",
    "too late to write": "10000-01-01T00:00:00Z",
    "the first of all": "0001-01-01T00:00:00Z",
}


def odd_hubspot(moment):
    properties = {"dealname": "Odd", "pipeline": "p", "dealstage": "s1", "createdate": moment, "closedate": moment}
    entered = {"hs_v2_date_entered_current_stage": moment}
    deal = {"id": "1", "createdAt": moment, "updatedAt": moment, "properties": properties | entered}
    meeting = {
        "id": "2",
        "updatedAt": moment,
        "properties": {
            "hs_timestamp": moment,
            "hs_meeting_start_time": moment,
            "hs_meeting_end_time": "2026-01-01T00:00:00Z",  # mostly before it starts
            "hs_meeting_outcome": "COMPLETED",
        },
    }
    call = {"id": "3", "updatedAt": moment, "properties": {"hs_timestamp": moment, "hs_call_duration": "9" * 30}}
    link = hubspot.Association("1", primary=False, labels=())
    return hubspot.deal(deal, ZoneInfo("Europe/Paris")), [
        hubspot.activity("meetings", meeting, [link]),
        hubspot.activity("calls", call, [link]),
    ]


def odd_pipedrive(moment):
    day, of_day = moment[:10], moment[11:16]
    deal = {"id": 1, "title": "Odd", "add_time": moment, "update_time": moment, "stage_change_time": moment}
    deal |= {"expected_close_date": day, "status": "open", "last_incoming_mail_time": moment}
    activity = {"update_time": moment, "due_date": day, "deal_id": 1, "subject": "x"}
    kinds = [
        {"id": 2, "type": "meeting", "due_time": of_day, "duration": "999:59", "done": False},
        {"id": 3, "type": "call", "due_time": of_day, "done": True, "marked_as_done_time": moment},
        {"id": 4, "type": "call", "done": True, "marked_as_done_time": "2026-01-01 00:00:00"},
        {"id": 5, "type": "meeting", "done": False},
    ]
    return pipedrive.deal(deal), [made for kind in kinds if (made := pipedrive.activity(activity | kind))]


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/Los_Angeles"])
@pytest.mark.parametrize("moment", ODD.values(), ids=ODD)
@pytest.mark.parametrize("deliver", [odd_hubspot, odd_pipedrive], ids=["hubspot", "pipedrive"])
def test_odd_dates_stop_nothing(deliver, moment, zone):
    w = World(now=datetime.now(UTC), zone=zone)
    w.first_synced()
    w.deal("good")
    deal, activities = deliver(moment)
    touched = w.write(deals=[deal], activities=activities)
    with w.inside():
        queue.mark(w.organisation, touched)
    mark(w, "good")
    evaluate_changed(w)
    assert parked(w) == {}
    assert "good" in judged(w)
    assert {w.verdict(kind, "1").outcome for kind in ("no_activity", "close_date_passed", "deal_too_old")} <= {
        "fires",
        "clear",
        "unknown",
    }
    client = log_in(w)
    assert client.get(page_of(w, "1")).status_code == 200
    assert b"Odd" in client.get("/deals/").content


def test_a_deal_created_in_the_future_is_old_only_then():
    w = World()
    w.deal(created_at=w.at(-30), stage_entered_at=w.at(-30), close_on=w.day(5))
    assert w.alerts() == {}
    assert w.verdict("deal_too_old").on == w.day(-80)


def test_a_meeting_that_ends_before_it_starts_counts_on_the_day_on_which_it_starts():
    w = World()
    w.deal()
    w.activity("meeting", -3, state="planned", starts_at=w.at(-3), ends_at=w.at(2))
    assert w.verdict("no_meeting").on == w.day(-4)
