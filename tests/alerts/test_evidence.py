"""What an alert tells: the facts that decide, the arithmetic, and what was rejected and why, in both languages."""

import re
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from alerts import wording
from alerts.engine import verdicts
from alerts.evidence import NEWEST, names_for
from alerts.facts import Case
from alerts.models import Alert
from deals.models import Activity, Deal, Person
from deals.records import DealContactRecord, ParticipantRecord, PipelineRecord, RoleRecord, StageRecord
from tests.world import World

pytestmark = pytest.mark.django_db


def alert(w: World, kind: str, language: str = "en", subject: str = "", evaluate: bool = True) -> SimpleNamespace:
    """What is shown of an open alert: its sentence, the rejected facts, the measures."""
    if evaluate:
        w.evaluate()
    with w.inside(), translation.override(language):
        found = Alert.objects.get(kind=kind, subject=subject, resolved_at=None)
        case = Case.of(found, Deal.objects.select_related("stage").get(pk=found.deal_id))
        names = names_for(w.organisation, [case], w.clock)
        return SimpleNamespace(
            sentence=plain(wording.sentence(case, names, w.clock)),
            rejected=[plain(text) for text in wording.rejections(case, names, w.clock, NEWEST)],
            measures={name: plain(value) for name, value in wording.measures(found, case, names, w.clock)},
        )


def clear(w: World, kind: str, language: str = "en", subject: str = "") -> str:
    """What is shown of a rule that does not fire: its margin or reason, and the facts."""
    with w.inside(), translation.override(language):
        deals = Deal.objects.filter(organisation=w.organisation).select_related("stage")
        [(_pk, found)] = verdicts(w.organisation, deals, w.clock, facts=True)
        verdict = next(v for v in found if (v.rule.kind, v.subject) == (kind, subject))
        assert verdict.outcome != "fires"
        case = Case.judged(verdict, deals.get())
        names = names_for(w.organisation, [case], w.clock)
        why = wording.margin(case, w.clock) if verdict.outcome == "clear" else wording.unknown(verdict.reason)
        return plain(f"{why} {wording.sentence(case, names, w.clock)}".strip())


def plain(text: str) -> str:
    """With ordinary spaces."""
    return re.sub(r"[\s\u00a0\u202f]+", " ", text)


def silent(w: World, **fields: object) -> None:
    """A deal of 60 days with Zoe, CEO Boss and Yan as contacts."""
    w.contact("zoe", "Buyer")
    w.contact("yan", "Buyer")
    w.contact("boss", "CEO", ("Champion",))
    w.on_deal("zoe", "yan", "boss", created_at=w.at(60), **fields)


# ---- The facts that decide, and the arithmetic (today is 22 November 2026)


def test_no_activity_names_the_last_interaction_its_day_its_distance_and_the_limit() -> None:
    w = World()
    silent(w)
    w.activity("call", 14, "zoe")
    shown = alert(w, "no_activity")
    assert shown.sentence == "Last interaction: call with Zoe on 8 Nov, 14 days ago (limit: 10 days)."
    assert shown.measures == {"Limit": "10 days", "Measured": "14 days", "Since": "18 Nov", "First seen": "22 Nov"}
    french = alert(w, "no_activity", "fr")
    assert french.sentence == "Dernier échange : appel avec Zoe le 8 nov., il y a 14 jours (seuil : 10 jours)."


@pytest.mark.parametrize(
    ("calls", "told"),
    [
        ([], "No interaction since the deal was created on 23 Sept, 60 days ago (limit: 10 days)."),
        ([70], "No interaction since the deal was created on 23 Sept, 60 days ago (limit: 10 days)."),
        ([60], "Last interaction: call with Zoe on 23 Sept, 60 days ago (limit: 10 days)."),
        ([30, 11], "Last interaction: call with Zoe on 11 Nov, 11 days ago (limit: 10 days)."),
    ],
    ids=["none", "before creation", "on the day of creation", "the later of two"],
)
def test_no_activity_tells_from_when_it_counts(calls: list[int], told: str) -> None:
    w = World()
    silent(w)
    for days in calls:
        w.activity("call", days, "zoe")
    assert alert(w, "no_activity").sentence == told


def reopen(w: World, days_ago: int) -> None:
    """Lost the day before, and opened again."""
    with w.inside():
        deal = Deal.objects.get(external_id="d")
    fields = {"created_at": deal.created_at, "close_on": deal.close_on, "amount": deal.amount, "contacts": None}
    w.deal(**fields, status="lost", updated_at=w.at(days_ago + 1))
    w.deal(**fields, updated_at=w.at(days_ago))


REOPENED = {
    "no_activity": "No interaction since the deal was reopened on 8 Nov, 14 days ago (limit: 10 days).",
    "no_meeting": "No meeting or call has been planned since the deal was reopened on 8 Nov, 14 days ago.",
    "key_role": "Champion (Boss): no interaction since the deal was reopened on 8 Nov, 14 days ago (limit: 12 days).",
    "stuck_in_stage": "In the stage “Demo” since 8 Nov: 14 days (limit: 12 days).",
    "single_contact": "The last 2 interactions were all with Zoe, since 13 Oct: 40 days (limit: 10 days). "
    "Counted from the reopening of the deal on 8 Nov.",
    "power_map": "The close date passed on 3 Oct, 50 days ago, and nobody of the level Director or above has been "
    "engaged. Counted from the reopening of the deal on 8 Nov.",
    "close_date_passed": "Expected to close on 3 Oct, 50 days ago. Counted from the reopening of the deal on 8 Nov.",
    "amount_empty": "The CRM holds no amount. Since when is not known. "
    "Counted from the reopening of the deal on 8 Nov.",
    "deal_too_old": "Created on 23 Sept, 60 days ago (limit: 50 days).",
}


@pytest.mark.parametrize(("kind", "told"), REOPENED.items(), ids=REOPENED)
def test_a_deal_that_was_reopened_says_so_where_it_counts_from_there(kind: str, told: str) -> None:
    w = World()
    w.configure(key_role={"roles": {"champion": 12}})
    silent(w, close_on=w.day(50), amount=None, updated_at=w.at(60))
    for days in (40, 30):
        w.activity("meeting", days, "zoe")
    reopen(w, 14)
    shown = alert(w, kind, subject="champion" if kind == "key_role" else "")
    assert shown.sentence.split(" With earlier stays")[0] == told
    if kind == "deal_too_old":
        assert shown.rejected == ["Reopened on 8 Nov: that does not start the count again"]


def test_no_meeting_names_the_last_one_planned() -> None:
    w = World()
    silent(w)
    w.activity("meeting", 3, "zoe")
    told = "Nothing lies ahead since the last one planned: meeting with Zoe on 19 Nov, 3 days ago."
    assert alert(w, "no_meeting").sentence == told


def test_no_meeting_says_when_none_was_ever_planned() -> None:
    w = World()
    silent(w)
    told = "No meeting or call has been planned since the deal was created on 23 Sept, 60 days ago."
    assert alert(w, "no_meeting").sentence == told


def test_single_contact_names_the_person_the_number_and_the_first_day() -> None:
    w = World()
    silent(w)
    for days in (20, 11, 2):
        w.activity("email", days, "zoe")
    told = "The last 3 interactions were all with Zoe, since 2 Nov: 20 days (limit: 10 days)."
    assert alert(w, "single_contact").sentence == told


def test_single_contact_tells_the_interaction_that_made_them_enough() -> None:
    w = World()
    silent(w)
    for days in (20, 2):
        w.activity("email", days, "zoe")
    told = "(limit: 10 days). They were enough on 20 Nov (minimum: 2)."
    assert alert(w, "single_contact").sentence.endswith(told)


def test_single_contact_counts_from_creation_what_is_older() -> None:
    w = World()
    silent(w)
    for days in (90, 80):
        w.activity("email", days, "zoe")
    shown = alert(w, "single_contact")
    assert "since 23 Sept: 60 days" in shown.sentence
    assert shown.measures["Measured"] == "60 days"


@pytest.mark.parametrize(
    ("calls", "told"),
    [
        ({"boss": 14}, "Champion (Boss): last interaction on 8 Nov, 14 days ago, call with Boss (limit: 12 days)."),
        ({"zoe": 14}, "Champion (Boss): no interaction yet; role known since 23 Sept, 60 days ago (limit: 12 days)."),
        (
            {"boss": 70},
            "Champion (Boss): no interaction since the deal was created on 23 Sept, 60 days ago (limit: 12 days).",
        ),
    ],
    ids=["engaged", "never", "before creation"],
)
def test_key_role_names_role_holders_and_the_last_interaction(calls: dict[str, int], told: str) -> None:
    w = World()
    w.configure(key_role={"roles": {"champion": 12}})
    silent(w)
    for who, days in calls.items():
        w.activity("call", days, who)
    assert alert(w, "key_role", subject="champion").sentence == told


POWER = {
    "nobody": (
        [],
        "The deal closes on 25 Nov, in 3 days (limit: 10 days), and nobody has been engaged yet "
        "(expected: Director or above).",
    ),
    "nobody senior": (
        ["Buyer"],
        "The deal closes on 25 Nov, in 3 days (limit: 10 days), and nobody of the level Director or above "
        "has been engaged.",
    ),
    "one untitled": (["Buyer", ""], "has been engaged. P1 has no job title."),
    "many untitled": (["Buyer", "", "", "", "", ""], "has been engaged. P1, P2 and 3 others have no job title."),
}


@pytest.mark.parametrize(("titles", "told"), POWER.values(), ids=POWER)
def test_power_map_tells_the_close_date_and_lists_the_untitled(titles: list[str], told: str) -> None:
    w = World()
    w.deal(created_at=w.at(60), close_on=w.day(-3))
    for n, title in enumerate(titles):
        w.contact(f"p{n}", title)
        w.activity("call", 20 + n, f"p{n}")
    assert alert(w, "power_map").sentence.endswith(told)


def test_power_map_says_whom_it_looks_for_beyond_those_engaged() -> None:
    w = World()
    w.configure(power_map={"level": 3})
    w.contact("dan", "Sales director")
    w.deal(created_at=w.at(60), close_on=w.day(0))
    w.activity("call", 5, "dan")
    told = "The deal closes today, and nobody above Director has been engaged (expected: C-level or above)."
    assert alert(w, "power_map").sentence == told


STAGES = {
    "known": ([(60, "s1", 20)], "since 2 Nov: 20 days (limit: 12 days)."),
    "not known": ([(60, "s1", None)], "since 23 Sept at the latest: at least 60 days (limit: 12 days)."),
    "again": (
        [(60, "s2", 60), (50, "s1", 50), (40, "s2", 40), (20, "s1", 20)],
        "since 2 Nov: 20 days (limit: 12 days). With earlier stays: 30 days in all.",
    ),
    "again, the first stay not seen to begin": (
        [(60, "s1", 60), (40, "s2", 40), (20, "s1", 20)],
        "since 2 Nov: 20 days (limit: 12 days). With earlier stays: at least 20 days in all.",
    ),
    "a third time": (
        [(60, "s2", 60), (55, "s1", 55), (50, "s2", 50), (45, "s1", 45), (30, "s2", 30), (20, "s1", 20)],
        "since 2 Nov: 20 days (limit: 12 days). With earlier stays: 40 days in all.",
    ),
}


@pytest.mark.parametrize(("seen", "told"), STAGES.values(), ids=STAGES)
def test_stuck_in_stage_tells_the_entry_and_the_time_of_all_stays(
    seen: list[tuple[int, str, int | None]], told: str
) -> None:
    w = World()
    for days_ago, stage, entered in seen:
        w.deal(
            created_at=w.at(60),
            updated_at=w.at(days_ago),
            stage=stage,
            stage_entered_at=None if entered is None else w.at(entered),
        )
    assert alert(w, "stuck_in_stage").sentence.removeprefix("In the stage “Demo” ") == told


def test_a_stage_left_by_losing_the_deal_is_an_earlier_stay_too() -> None:
    w = World()
    w.deal(created_at=w.at(60), updated_at=w.at(60), stage="s2")
    w.deal(created_at=w.at(60), updated_at=w.at(50))
    w.deal(created_at=w.at(60), updated_at=w.at(40), status="lost")
    w.deal(created_at=w.at(60), updated_at=w.at(20))
    told = "In the stage “Demo” since 2 Nov: 20 days (limit: 12 days). With earlier stays: 30 days in all."
    assert alert(w, "stuck_in_stage").sentence == told


def test_amount_empty_tells_since_when_if_that_was_seen() -> None:
    w = World()
    w.deal(updated_at=w.at(5), amount=None)
    assert alert(w, "amount_empty").sentence == "The CRM holds no amount. Since when is not known."
    w.deal(updated_at=w.at(4), amount=Decimal(5))
    w.deal(updated_at=w.at(3), amount=None)
    assert alert(w, "amount_empty").sentence == "The CRM has held no amount since 19 Nov."
    w.deal(updated_at=w.at(2), amount=Decimal(5))
    w.deal(updated_at=w.at(1), amount=Decimal(0))
    assert alert(w, "amount_empty").sentence == "Zero since 21 Nov."


def test_close_date_and_age_tell_their_day_and_distance() -> None:
    w = World()
    w.deal(created_at=w.at(60), close_on=w.day(4))
    assert alert(w, "close_date_passed").sentence == "Expected to close on 18 Nov, 4 days ago."
    assert alert(w, "deal_too_old").sentence == "Created on 23 Sept, 60 days ago (limit: 50 days)."


# ---- Rules that do not fire tell their facts too


def test_clear_rules_tell_the_facts_behind_their_margin() -> None:
    w = World()
    w.configure(key_role={"roles": {"champion": 12}}, power_map={"days": 10})
    w.contact("boss", "CEO", ("Champion",))
    w.on_deal("boss", created_at=w.at(9), close_on=w.day(-30), amount=Decimal(1500))
    w.activity("call", 3, "boss")
    w.activity("meeting", -2, "boss", state="planned")
    told = {
        "no_activity": "Fires in 7 days, on 29 Nov, if nothing happens. "
        "Last interaction: call with Boss on 19 Nov, 3 days ago (limit: 10 days).",
        "no_meeting": "Something lies ahead; fires in 3 days, on 25 Nov, unless more is planned. "
        "Last one planned: meeting with Boss on 24 Nov, in 2 days.",
        "single_contact": "Too few interactions in a row with the same person. "
        "1 interaction in a row with Boss (minimum: 2).",
        "power_map": "Somebody of this level has been engaged. Engaged: Boss (expected: Director or above).",
        "stuck_in_stage": "Fires in 3 days, on 25 Nov, if nothing happens. "
        "In the stage “Demo” since 13 Nov: 9 days (limit: 12 days).",
        "close_date_passed": "Fires in 4 weeks, on 23 Dec, if nothing happens. "
        "Expected to close on 22 Dec, in 30 days.",
        "amount_empty": "The amount is filled in. The CRM holds €1,500.",
        "deal_too_old": "Fires in 6 weeks, on 2 Jan 2027, if nothing happens. "
        "Created on 13 Nov, 9 days ago (limit: 50 days).",
    }
    assert {kind: clear(w, kind) for kind in told} == told
    assert clear(w, "key_role", subject="champion") == (
        "Fires in 9 days, on 1 Dec, if nothing happens. "
        "Champion (Boss): last interaction on 19 Nov, 3 days ago, call with Boss (limit: 12 days)."
    )


def test_a_rule_that_cannot_be_judged_tells_what_is_known() -> None:
    w = World()
    w.contact("zoe")
    w.deal(close_on=w.day(-3))
    w.activity("call", 3, "zoe")
    assert clear(w, "power_map") == "None of the people engaged has a job title in the CRM. Zoe has no job title."


# ---- Rejected facts


def copied(who: str) -> ParticipantRecord:
    return ParticipantRecord("cc", contact=who)


ME = ParticipantRecord("attendee", colleague="me", address="me@vigie.example")

# kind, days ago, who, fields, what is told
NO_INTERACTION = {
    "unanswered": ("call", 3, ["zoe"], {"state": "attempt"}, "Call with Zoe on 19 Nov: not answered, not counted"),
    "cancelled": ("meeting", 3, ["zoe"], {"state": "cancelled"}, "Meeting with Zoe on 19 Nov: cancelled, not counted"),
    "rescheduled": (
        *("meeting", 3, ["zoe"], {"state": "rescheduled"}),
        "Meeting with Zoe on 19 Nov: rescheduled, not counted",
    ),
    "no-show": ("meeting", 3, ["zoe"], {"state": "no_show"}, "Meeting with Zoe on 19 Nov: nobody came, not counted"),
    "draft": ("email", 3, ["zoe"], {"state": "draft"}, "E-mail to Zoe on 19 Nov: never sent, not counted"),
    "bounced": ("email", 3, ["zoe"], {"state": "bounced"}, "E-mail to Zoe on 19 Nov: not delivered, not counted"),
    "internal": ("meeting", 3, [ME], {}, "Meeting on 19 Nov: colleagues only, not counted"),
    "never done": (
        *("meeting", 3, ["zoe"], {"state": "planned"}),
        "Meeting with Zoe on 19 Nov: planned, never marked as done, not counted",
    ),
    "ahead": ("meeting", -3, ["zoe"], {"state": "planned"}, "Meeting with Zoe on 25 Nov: planned, lies ahead"),
    "deleted": ("call", 3, ["zoe"], {"deleted": True}, "Call with Zoe on 19 Nov: deleted in the CRM, not counted"),
    "older than the fact used": ("call", 15, ["zoe"], {"state": "attempt"}, None),
    "an interaction": ("email", 20, ["zoe"], {}, None),
}


@pytest.mark.parametrize(("kind", "days", "who", "fields", "told"), NO_INTERACTION.values(), ids=NO_INTERACTION)
def test_no_activity_tells_what_was_none(kind, days, who, fields, told) -> None:
    w = World()
    silent(w)
    w.activity("call", 14, "zoe")
    w.activity(kind, days, *who, **fields)
    assert alert(w, "no_activity").rejected == ([] if told is None else [told])


DECLINED = ParticipantRecord("attendee", contact="zoe", declined=True)
# A meeting held 10 days ago is the last one planned.
NO_MEETING = {
    "cancelled": ("meeting", -3, ["zoe"], {"state": "cancelled"}, "Meeting with Zoe on 25 Nov: cancelled, not counted"),
    "rescheduled": (
        *("meeting", -3, ["zoe"], {"state": "rescheduled"}),
        "Meeting with Zoe on 25 Nov: rescheduled, not counted",
    ),
    "internal": ("meeting", -3, [ME], {"state": "planned"}, "Meeting on 25 Nov: colleagues only, not counted"),
    "declined": (
        *("meeting", -3, [DECLINED, ME], {"state": "planned"}),
        "Meeting on 25 Nov: nobody invited is coming, not counted",
    ),
    "unanswered": ("call", 2, ["zoe"], {"state": "attempt"}, "Call with Zoe on 20 Nov: not answered, not counted"),
    "deleted": (
        *("meeting", -3, ["zoe"], {"state": "planned", "deleted": True}),
        "Meeting with Zoe on 25 Nov: deleted in the CRM, not counted",
    ),
    "an e-mail": ("email", 2, ["zoe"], {"state": "draft"}, None),
    "cancelled, before the last one": ("meeting", 12, ["zoe"], {"state": "cancelled"}, None),
    "cancelled, on the day of the last one": ("meeting", 10, ["zoe"], {"state": "cancelled"}, None),
}


@pytest.mark.parametrize(("kind", "days", "who", "fields", "told"), NO_MEETING.values(), ids=NO_MEETING)
def test_no_meeting_tells_what_does_not_lie_ahead(kind, days, who, fields, told) -> None:
    w = World()
    silent(w)
    w.activity("meeting", 10, "zoe")
    w.activity(kind, days, *who, **fields)
    assert alert(w, "no_meeting").rejected == ([] if told is None else [told])


def test_no_meeting_tells_a_meeting_that_was_marked_done_early() -> None:
    w = World()
    silent(w)
    w.activity("meeting", 10, "zoe", starts_at=w.at(-3), ends_at=w.at(-3), done_at=w.at(10))
    assert alert(w, "no_meeting").rejected == [
        "Meeting with Zoe on 25 Nov: marked as done already, no longer lies ahead"
    ]


# A second person (single_contact), the holder of the role (key_role), somebody senior (power_map), as Boss.
ABSENT = {
    "in copy": ("email", ["zoe", copied("boss")], {}, "E-mail to Zoe on 19 Nov: Boss in copy only"),
    "in blind copy": (
        *("email", ["zoe", ParticipantRecord("bcc", contact="boss")], {}),
        "E-mail to Zoe on 19 Nov: Boss in copy only",
    ),
    "declined": (
        *("meeting", ["zoe", ParticipantRecord("attendee", contact="boss", declined=True)], {}),
        "Meeting with Zoe on 19 Nov: Boss declined",
    ),
    "unanswered": ("call", ["boss"], {"state": "attempt"}, "Call with Boss on 19 Nov: not answered, not counted"),
    "cancelled": ("meeting", ["boss"], {"state": "cancelled"}, "Meeting with Boss on 19 Nov: cancelled, not counted"),
    "no-show": ("meeting", ["boss"], {"state": "no_show"}, "Meeting with Boss on 19 Nov: nobody came, not counted"),
    "bounced": ("email", ["boss"], {"state": "bounced"}, "E-mail to Boss on 19 Nov: not delivered, not counted"),
    "never done": (
        *("call", ["boss"], {"state": "planned"}),
        "Call with Boss on 19 Nov: planned, never marked as done, not counted",
    ),
    "ahead": (
        *("meeting", ["boss"], {"state": "planned", "days": -3}),
        "Meeting with Boss on 25 Nov: planned, lies ahead",
    ),
    "deleted": ("call", ["boss"], {"deleted": True}, "Call with Boss on 19 Nov: deleted in the CRM, not counted"),
    "somebody else": ("call", ["zoe"], {"state": "attempt"}, None),
}


@pytest.mark.parametrize("rule", ["single_contact", "key_role", "power_map"])
@pytest.mark.parametrize(("kind", "who", "fields", "told"), ABSENT.values(), ids=ABSENT)
def test_whoever_was_there_without_being_engaged_is_told(rule, kind, who, fields, told) -> None:
    w = World()
    w.configure(key_role={"roles": {"champion": 12}})
    silent(w, close_on=w.day(-3))
    for days in (20, 16):
        w.activity("call", days, "zoe")
    fields = dict(fields)
    w.activity(kind, fields.pop("days", 3), *who, **fields)
    shown = alert(w, rule, subject="champion" if rule == "key_role" else "")
    assert shown.rejected == ([] if told is None else [told])


@pytest.mark.parametrize(("days", "told"), [(13, 1), (14, 0), (15, 0)])
def test_key_role_tells_only_what_is_newer_than_the_last_interaction(days: int, told: int) -> None:
    w = World()
    w.configure(key_role={"roles": {"champion": 12}})
    silent(w)
    w.activity("call", 14, "boss")
    w.activity("email", days, "zoe", copied("boss"))
    assert len(alert(w, "key_role", subject="champion").rejected) == told


@pytest.mark.parametrize(("days", "told"), [(19, 1), (20, 1), (21, 0)])
def test_single_contact_tells_only_what_falls_into_the_streak(days: int, told: int) -> None:
    w = World()
    silent(w)
    for ago in (20, 12):
        w.activity("call", ago, "zoe")
    w.activity("call", days, "yan", state="attempt")
    assert len(alert(w, "single_contact").rejected) == told


def test_rejected_facts_are_newest_first_and_the_others_are_counted() -> None:
    w = World()
    silent(w)
    w.activity("call", 14, "zoe")
    for days in (9, 1, 5, 3, 7, 2):
        w.activity("call", days, "zoe", state="attempt")
    shown = alert(w, "no_activity")
    assert shown.rejected == [
        "Call with Zoe on 21 Nov: not answered, not counted",
        "Call with Zoe on 20 Nov: not answered, not counted",
        "Call with Zoe on 19 Nov: not answered, not counted",
        "and 3 more",
    ]
    assert shown.sentence.endswith("(limit: 10 days). 6 unanswered calls since.")
    french = alert(w, "no_activity", "fr")
    assert french.rejected[0] == "Appel avec Zoe le 21 nov. : sans réponse, ne compte pas"
    assert french.rejected[-1] == "et 3 autres"


def test_one_activity_with_two_who_were_left_out_for_two_reasons_is_told_twice() -> None:
    w = World()
    w.configure(key_role={"roles": {"champion": 12}})
    w.contact("ann", roles=("Champion",))
    w.contact("bob", roles=("Champion",))
    w.on_deal("ann", "bob", created_at=w.at(60))
    w.activity("meeting", 3, copied("ann"), ParticipantRecord("attendee", contact="bob", declined=True), ME)
    assert sorted(alert(w, "key_role", subject="champion").rejected) == [
        "Meeting on 19 Nov: Ann in copy only",
        "Meeting on 19 Nov: Bob declined",
    ]


def test_other_rules_have_nothing_that_speaks_against_them() -> None:
    w = World()
    silent(w, close_on=w.day(3), amount=None)
    w.activity("call", 3, "zoe", state="attempt")
    for kind in ("stuck_in_stage", "close_date_passed", "amount_empty", "deal_too_old"):
        assert alert(w, kind).rejected == []


# ---- Facts that vanish


def test_a_sentence_reads_well_when_its_activity_has_gone() -> None:
    w = World()
    w.configure(key_role={"roles": {"champion": 12}})
    silent(w)
    w.activity("meeting", 14, "boss")
    w.evaluate()
    with w.inside():
        Activity.objects.filter(organisation=w.organisation).delete()
    told = {kind: alert(w, kind, evaluate=False).sentence for kind in ("no_activity", "no_meeting")}
    assert told == {
        "no_activity": "Last interaction on 8 Nov, 14 days ago (limit: 10 days).",
        "no_meeting": "Nothing lies ahead since the last one planned, on 8 Nov, 14 days ago.",
    }
    role = alert(w, "key_role", subject="champion", evaluate=False)
    assert role.sentence == "Champion (Boss): last interaction on 8 Nov, 14 days ago (limit: 12 days)."


def test_a_sentence_reads_well_when_its_people_have_gone() -> None:
    w = World()
    w.configure(key_role={"roles": {"champion": 12}})
    w.contact("boss", "", ("Champion",))
    w.on_deal("boss", created_at=w.at(60), close_on=w.day(-3))
    for days in (14, 13):
        w.activity("call", days, "boss")
    w.evaluate()
    with w.inside():
        Person.objects.filter(organisation=w.organisation).delete()
    role = alert(w, "key_role", subject="champion", evaluate=False)
    assert role.sentence == "Champion: last interaction on 9 Nov, 13 days ago, call (limit: 12 days)."
    alone = alert(w, "single_contact", evaluate=False)
    assert alone.sentence.startswith("The last 2 interactions were all with the same person, since 8 Nov")


def test_a_merged_person_is_told_by_the_name_that_is_left() -> None:
    w = World()
    silent(w)
    for days in (20, 11):
        w.activity("call", days, "yan")
    w.evaluate()
    w.contact("zoe", emails=("zoe@customer.example", "yan@customer.example"), updated_at=w.at(0))
    assert "were all with Zoe" in alert(w, "single_contact").sentence


# ---- Settings that applied


def test_the_override_that_set_the_limit_is_named() -> None:
    w = World()
    w.write(pipelines=[PipelineRecord("e", "Enterprise", 2)], stages=[StageRecord("e1", "e", "Pilot", 1)])
    silent(w, pipeline="e", stage="e1", amount=Decimal(0), close_on=w.day(3))
    w.activity("call", 25, "zoe")
    with w.inside():
        pipeline = Deal.objects.get(external_id="d").pipeline_id
    rules = {"no_activity": {"days": 20}, "power_map": {"level": 3}, "amount_empty": {"zero": True}}
    w.configure(overrides=[{"name": "Enterprise", "pipelines": [pipeline], "teams": [], "rules": rules}])
    shown = alert(w, "no_activity")
    assert shown.sentence.endswith("25 days ago (limit: 20 days by the override “Enterprise”).")
    assert "(seuil : 20 jours" in alert(w, "no_activity", "fr").sentence
    assert "« Enterprise »" in alert(w, "no_activity", "fr").sentence
    assert alert(w, "power_map").sentence.endswith("By the override “Enterprise”.")
    assert "override" not in alert(w, "stuck_in_stage").sentence
    assert "override" not in alert(w, "amount_empty").sentence


def test_a_clear_rule_names_the_override_too() -> None:
    w = World()
    silent(w)
    w.activity("call", 15, "zoe")
    with w.inside():
        pipeline = Deal.objects.get(external_id="d").pipeline_id
    rules = {"no_activity": {"days": 20}}
    w.configure(overrides=[{"name": "Key <accounts>", "pipelines": [pipeline], "teams": [], "rules": rules}])
    assert clear(w, "no_activity").endswith("15 days ago (limit: 20 days by the override “Key <accounts>”).")


def test_business_days_are_called_working_days() -> None:
    w = World()  # 22 November 2026 is a Sunday; 11 November is a public holiday in France
    w.configure(business_days=True)
    silent(w, close_on=w.day(-5))
    w.activity("call", 19, "zoe")  # Tuesday 3 November: 4, 5, 6, 9, 10, 12, 13, 16 to 20 are 12 working days
    shown = alert(w, "no_activity")
    assert shown.sentence == "Last interaction: call with Zoe on 3 Nov, 12 working days ago (limit: 10 working days)."
    assert (shown.measures["Limit"], shown.measures["Measured"]) == ("10 working days", "12 working days")
    french = alert(w, "no_activity", "fr").sentence
    assert french.endswith("le 3 nov., il y a 12 jours ouvrés (seuil : 10 jours ouvrés).")
    power = alert(w, "power_map")
    assert power.sentence.startswith("The deal closes on 27 Nov, in 5 working days (limit: 10 working days)")
    assert power.measures["Days left"] == "5 working days"
    # No limit in days: calendar days.
    assert alert(w, "no_meeting").sentence.endswith("call with Zoe on 3 Nov, 19 days ago.")


# ---- Stored and shown


def test_evidence_holds_no_day_counter_and_is_the_same_tomorrow() -> None:
    w = World()
    w.configure(key_role={"roles": {"champion": 12}})
    silent(w, close_on=w.day(3), amount=None)
    for days in (20, 14):
        w.activity("call", days, "zoe")
    w.activity("call", 3, "boss", state="attempt")
    w.evaluate()

    def evidence() -> dict[str, object]:
        with w.inside():
            return {a.kind: a.evidence for a in Alert.objects.filter(resolved_at=None)}

    before = evidence()
    assert len(before) == 9
    w.clock = replace(w.clock, now=w.clock.now + timedelta(days=1))
    assert w.evaluate().refreshed == 0
    assert evidence() == before


def test_every_alert_and_verdict_is_told_in_both_languages() -> None:
    w = World()
    w.configure(key_role={"roles": {"champion": 12}})
    silent(w, close_on=w.day(3), amount=None)
    for days in (20, 14):
        w.activity("call", days, "zoe")
    w.evaluate()
    with w.inside():
        kinds = list(Alert.objects.filter(resolved_at=None).values_list("kind", "subject"))
    assert len(kinds) == 9
    for kind, subject in kinds:
        english, french = (alert(w, kind, language, subject).sentence for language in ("en", "fr"))
        assert english
        assert french
        assert english != french


def test_as_many_statements_for_one_alert_as_for_many() -> None:
    w = World()
    w.write(roles=[RoleRecord("Champion"), RoleRecord("Decision maker")])
    w.contact("zoe", "Buyer", ("Champion", "Decision maker"))
    w.contact("yan")

    def build(ref: str) -> None:
        on = (DealContactRecord("zoe"), DealContactRecord("yan"))
        fields = {"contacts": on, "created_at": w.at(60), "close_on": w.day(3), "amount": None}
        w.deal(ref, **fields, stage="s2", updated_at=w.at(40))
        w.deal(ref, **fields, stage="s1", updated_at=w.at(30), stage_entered_at=w.at(30))
        w.activity("call", 50, "yan", deal=ref)
        for days in (20, 14):
            w.activity("call", days, "zoe", deal=ref)
        w.activity("email", 3, "zoe", copied("yan"), deal=ref, state="bounced")

    def statements() -> int:
        w.evaluate()
        with w.inside():
            cases = [Case.of(a, a.deal) for a in Alert.objects.filter(resolved_at=None).select_related("deal__stage")]
            with CaptureQueriesContext(connection) as captured:
                names = names_for(w.organisation, cases, w.clock)
                for case in cases:
                    assert wording.sentence(case, names, w.clock)
            assert {case.kind for case in cases} >= {"no_activity", "single_contact", "power_map", "stuck_in_stage"}
        return len(captured)

    w.configure(key_role={"roles": {"champion": 12}})
    build("d0")
    one = statements()  # of eight alerts
    w.configure(key_role={"roles": {"champion": 12, "decision maker": 12}})
    for n in range(1, 10):
        build(f"d{n}")
    assert statements() == one == 1
