"""`close_date_passed`, `amount_empty` and `deal_too_old`."""

from decimal import Decimal

import pytest

from tests.world import World

pytestmark = pytest.mark.django_db


# ---- close_date_passed: close date < today


@pytest.mark.parametrize(("ago", "since"), [(-1, None), (0, None), (1, 0), (2, 1), (90, 60)])
def test_close_date_passed(ago, since):
    w = World()
    w.deal(created_at=w.at(60), close_on=w.day(ago))
    assert w.alerts().get("close_date_passed") == (None if since is None else w.day(since))


def test_close_date_passed_cannot_be_judged_without_a_date():
    w = World()
    w.deal(close_on=None)
    verdict = w.verdict("close_date_passed")
    assert (verdict.outcome, verdict.reason, verdict.on) == ("unknown", "no_close_date", None)
    assert "close_date_passed" not in w.alerts()


def test_close_date_passed_holds_since_the_reopening_at_the_earliest():
    w = World()
    old = {"created_at": w.at(60), "close_on": w.day(30)}
    w.deal(**old, status="lost", updated_at=w.at(4))
    w.deal(**old, updated_at=w.at(3))
    assert w.alerts()["close_date_passed"] == w.day(3)


def test_a_close_date_of_today_tells_that_it_passes_tomorrow():
    w = World()
    w.deal(close_on=w.day(0))
    assert w.verdict("close_date_passed").on == w.day(-1)


# ---- amount_empty: missing, or zero while the option is on


@pytest.mark.parametrize(
    ("amount", "zero", "fires"),
    [
        (None, True, True),
        (None, False, True),
        (Decimal(0), True, True),
        (Decimal(0), False, False),
        (Decimal("0.01"), True, False),
        (Decimal(-1), True, False),
    ],
)
def test_amount_empty(amount, zero, fires):
    w = World()
    w.configure(amount_empty={"zero": zero})
    w.deal(amount=amount, created_at=w.at(7))
    assert w.alerts().get("amount_empty") == (w.day(7) if fires else None)


# amounts seen: (days ago, amount) · zero counts as empty · since when it holds (days ago), None: clear
SEEN = {
    "became missing": ([(20, 5), (3, None)], True, 3),
    "became zero": ([(20, 5), (3, 0)], True, 3),
    "became zero, then missing": ([(20, 5), (9, 0), (3, None)], True, 9),
    "became zero, then missing, zero is an amount": ([(20, 5), (9, 0), (3, None)], False, 3),
    "became missing, then zero": ([(20, 5), (9, None), (3, 0)], True, 9),
    "filled again": ([(20, 5), (9, None), (3, 7)], True, None),
    "emptied twice": ([(20, 5), (12, None), (9, 7), (3, None)], True, 3),
    "never had one": ([(20, None), (3, None)], True, 60),
}


@pytest.mark.parametrize(("seen", "zero", "since"), SEEN.values(), ids=SEEN)
def test_amount_empty_holds_since_it_became_empty(seen, zero, since):
    w = World()
    w.configure(amount_empty={"zero": zero})
    for days_ago, amount in seen:
        w.deal(created_at=w.at(60), updated_at=w.at(days_ago), amount=None if amount is None else Decimal(amount))
    assert w.alerts().get("amount_empty") == (None if since is None else w.day(since))


# ---- deal_too_old: days since creation


@pytest.mark.parametrize(("age", "limit", "since"), [(49, 50, None), (50, 50, 0), (51, 50, 1), (1, 1, 0), (0, 1, None)])
def test_deal_too_old(age, limit, since):
    w = World()
    w.configure(deal_too_old={"days": limit})
    w.deal(created_at=w.at(age))
    assert w.alerts().get("deal_too_old") == (None if since is None else w.day(since))


def test_reopening_does_not_make_a_deal_younger():
    w = World()
    w.deal(created_at=w.at(60), status="won", updated_at=w.at(4))
    w.deal(created_at=w.at(60), updated_at=w.at(3))
    assert w.alerts()["deal_too_old"] == w.day(10)
