"""The engine against the evaluator (`tests.evaluator`), and the evaluator against what a person reads."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from deals.records import (
    ActivityRecord,
    Batch,
    ColleagueRecord,
    ContactRecord,
    DealContactRecord,
    DealRecord,
    ParticipantRecord,
    RoleRecord,
)
from tests.evaluator import Days, Organisation, Verdict, evaluate
from tests.second_opinion import DEFAULTS

NOW = datetime(2026, 11, 22, 11, tzinfo=UTC)  # noon in Paris, a Sunday


def ago(days, hour=11):
    return (NOW - timedelta(days)).replace(hour=hour)


def day(ago):
    return NOW.date() - timedelta(ago)


def deal(**fields):
    values = {
        "external_id": "d",
        "title": "Deal",
        "status": "open",
        "amount": Decimal(1000),
        "currency": "EUR",
        "pipeline": "p",
        "stage": "s",
        "owner": "me",
        "company": None,
        "contacts": (DealContactRecord("ana"),),
        "created_at": ago(5),
        "updated_at": ago(5),
        "close_on": day(-90),
        **fields,
    }
    return DealRecord(**values)


def talk(kind, days_ago, *who, part="to", state="held", **fields):
    participants = tuple(ParticipantRecord(part, contact=one) for one in who)
    id = f"{kind}/{days_ago}/{'+'.join(who)}"
    return ActivityRecord(id, kind, state, "", ago(days_ago), NOW, deals=("d",), participants=participants, **fields)


def opinion(first, *activities, later=(), rules=None, draft=None):
    """The verdicts on deal "d": {kind: verdict}. Ana is a director and the champion, Bea has no title."""
    contacts = [
        ContactRecord("ana", "Ana", "Directrice achats", ("ana@customer.example",), None, ("Champion",), ago(400)),
        ContactRecord("bea", "Bea", "", ("bea@customer.example",), None, (), ago(400)),
    ]
    batch = Batch(
        colleagues=[ColleagueRecord("me", "Moi", "me@vigie.example", True)],
        roles=[RoleRecord("Champion")],
        contacts=contacts,
        deals=[first],
        activities=activities,
    )
    reads = [(ago(400), batch), *((one.updated_at, Batch(deals=[one])) for one in later)]
    said = {**DEFAULTS, "key_role": {"enabled": True, "roles": {"Champion": 12}}, **(rules or {})}
    settings = {"rules": said, "overrides": [], "pipelines": None, "business_days": False, **(draft or {})}
    found = evaluate(reads, Organisation(ZoneInfo("Europe/Paris")), settings, NOW)["d"]
    return {kind: verdict for (kind, _), verdict in found.items()}


def fires(days_ago):
    return Verdict("fires", day(days_ago))


def clear(days_ahead=None):
    return Verdict("clear", None if days_ahead is None else day(-days_ahead))


def unknown(reason):
    return Verdict("unknown", reason=reason)


OLD = {"created_at": ago(60), "updated_at": ago(60)}
# rule, verdict, deal, activities, later versions of the deal: worked out by hand from the product description
BY_HAND = [
    ("no_activity", clear(5), deal(), [], []),
    ("no_activity", fires(50), deal(**OLD), [], []),
    ("no_activity", fires(0), deal(**OLD), [talk("call", 10, "ana", part="other")], []),
    ("no_activity", fires(50), deal(**OLD), [talk("call", 9, "ana", part="other", state="attempt")], []),
    ("no_activity", clear(1), deal(**OLD), [talk("email", 9, "ana", part="cc")], []),
    ("no_meeting", fires(5), deal(), [], []),
    ("no_meeting", clear(1), deal(), [talk("meeting", 0, "ana", part="attendee")], []),
    ("no_meeting", fires(0), deal(), [talk("meeting", 1, "ana", part="attendee", state="no_show")], []),
    ("no_meeting", clear(4), deal(), [talk("call", -3, "ana", part="other", state="planned")], []),
    ("single_contact", clear(), deal(**OLD), [talk("email", 30, "ana")], []),
    ("single_contact", fires(20), deal(**OLD), [talk("email", 30, "ana"), talk("email", 25, "ana")], []),
    ("single_contact", fires(12), deal(**OLD), [talk("email", 30, "ana"), talk("email", 12, "ana")], []),
    ("single_contact", clear(), deal(**OLD), [talk("email", 30, "ana"), talk("email", 3, "ana", "bea")], []),
    ("key_role", fires(48), deal(**OLD), [], []),
    ("key_role", clear(9), deal(**OLD), [talk("email", 3, "ana")], []),
    ("key_role", unknown("no_holder"), deal(**OLD, contacts=(DealContactRecord("bea"),)), [], []),
    ("power_map", clear(80), deal(), [], []),
    ("power_map", fires(0), deal(close_on=day(-10)), [], []),
    ("power_map", clear(1), deal(close_on=day(-11)), [], []),
    ("power_map", fires(5), deal(close_on=day(2)), [], []),
    ("power_map", clear(), deal(close_on=day(2)), [talk("email", 3, "ana")], []),
    ("power_map", unknown("no_titles"), deal(close_on=day(2)), [talk("email", 3, "bea")], []),
    ("power_map", clear(), deal(close_on=day(-11)), [talk("email", 3, "bea")], []),
    ("power_map", unknown("no_close_date"), deal(close_on=None), [], []),
    ("stuck_in_stage", clear(7), deal(), [], []),
    ("stuck_in_stage", fires(48), deal(**OLD), [], []),
    ("stuck_in_stage", fires(0), deal(**OLD, stage_entered_at=ago(12)), [], []),
    ("stuck_in_stage", clear(9), deal(**OLD), [], [deal(stage="t", created_at=ago(60), updated_at=ago(3))]),
    ("close_date_passed", clear(1), deal(close_on=day(0)), [], []),
    ("close_date_passed", fires(0), deal(close_on=day(1)), [], []),
    ("close_date_passed", unknown("no_close_date"), deal(close_on=None), [], []),
    ("amount_empty", clear(), deal(), [], []),
    ("amount_empty", fires(5), deal(amount=None), [], []),
    ("amount_empty", fires(3), deal(), [], [deal(amount=Decimal(0), updated_at=ago(3))]),
    ("deal_too_old", fires(0), deal(created_at=ago(50)), [], []),
    ("deal_too_old", clear(1), deal(created_at=ago(49)), [], []),
    *(
        (kind, verdict, deal(**OLD), [], [deal(**OLD | {"status": "lost", "updated_at": ago(9)}), reopened])
        for reopened in [deal(**OLD | {"updated_at": ago(8)})]
        for kind, verdict in [
            ("no_activity", clear(2)),
            ("no_meeting", fires(8)),
            ("stuck_in_stage", clear(4)),
            ("deal_too_old", fires(10)),
        ]
    ),
]


@pytest.mark.parametrize(("kind", "verdict", "first", "activities", "later"), BY_HAND)
def test_the_evaluator_says_what_a_person_reads(kind, verdict, first, activities, later):
    assert opinion(first, *activities, later=later)[kind] == verdict


# In France, November 2026: the 1st is a Sunday, the 11th a Wednesday and a holiday.
@pytest.mark.parametrize(
    ("start", "days", "after"),
    [(6, 1, 9), (6, 2, 10), (6, 3, 12), (10, 1, 12), (7, 1, 9), (8, 1, 9), (9, 10, 24)],
)
def test_the_evaluator_counts_working_days(start, days, after):
    calendar = Days(NOW.date(), "FR", business=True)
    assert calendar.after(date(2026, 11, start), days) == date(2026, 11, after)


@pytest.mark.parametrize(("end", "days", "before"), [(12, 1, 10), (12, 0, 12), (11, 0, 10), (8, 0, 6), (9, 1, 6)])
def test_the_evaluator_counts_working_days_before_a_date(end, days, before):
    calendar = Days(NOW.date(), "FR", business=True)
    assert calendar.before(date(2026, 11, end), days) == date(2026, 11, before)
