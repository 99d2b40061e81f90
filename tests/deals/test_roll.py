"""What the passing of time makes of the columns is what a rebuild from the whole history makes of them."""

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.tenancy import tenant
from deals import summaries
from deals.clock import Clock
from deals.models import Deal, DealPerson
from deals.records import ActivityRecord, ParticipantRecord
from tests.world import World

PEOPLE = ("ana", "bea", "carl")
ACTIVITY = st.tuples(
    st.integers(-6, 10),  # half days from now: hours at which several happen at once
    st.sampled_from(["meeting", "call", "email"]),
    st.lists(st.sampled_from(PEOPLE), max_size=2, unique=True),
    st.sampled_from(["held", "held", "held", "planned", "attempt"]),
    st.booleans(),  # of the second deal too
)


def written(activities):
    w = World()
    for name, title in zip(PEOPLE, ("CEO", "", "Buyer"), strict=True):
        w.contact(name, title, roles=("Champion",) if name == "carl" else ())
    w.on_deal(*PEOPLE, ref="d")
    w.on_deal("carl", ref="e")
    records = [
        ActivityRecord(
            f"a/{n}",
            kind,
            state,
            "",
            w.clock.now + timedelta(hours=12 * half_days),
            w.at(0),
            deals=("d", "e") if both else ("d",),
            participants=tuple(ParticipantRecord("attendee", contact=one) for one in who),
        )
        for n, (half_days, kind, who, state, both) in enumerate(activities)
    ]
    w.write(activities=records)
    return w


def columns(organisation):
    """All that is derived of its deals and of who was engaged on them."""
    deals = Deal.objects.filter(organisation=organisation).order_by("pk").values()
    people = DealPerson.objects.filter(organisation=organisation).order_by("deal", "person")
    return list(deals), list(people.values("deal", "person", "first_on", "last_on", "last_activity", "interactions"))


@pytest.mark.django_db
@settings(max_examples=50)
@given(activities=st.lists(ACTIVITY, max_size=9), steps=st.lists(st.integers(1, 7), min_size=1, max_size=3))
def test_rolling_forward_ends_as_a_rebuild(activities, steps):
    with transaction.atomic():
        w = written(activities)
        now = w.clock.now
        with tenant(w.organisation):
            for half_days in steps:
                now += timedelta(hours=12 * half_days)
                clock = Clock(now, w.clock.zone)
                summaries.roll(w.organisation.pk, clock)
                rolled = columns(w.organisation)
                summaries.rebuild(w.organisation.pk, [deal["id"] for deal in rolled[0]], clock)
                assert rolled == columns(w.organisation)
        transaction.set_rollback(True)


@pytest.mark.django_db
@pytest.mark.parametrize("deals", [1, 3])
def test_rolling_forward_takes_the_same_statements_for_one_deal_and_three(deals):
    w = World()
    w.contact("ana")
    for n in range(deals):
        w.on_deal("ana", ref=str(n))
        w.activity("meeting", -1, "ana", deal=str(n))
    with tenant(w.organisation), CaptureQueriesContext(connection) as statements:
        found = summaries.roll(w.organisation.pk, Clock(w.at(-2), w.clock.zone))
    assert len(found) == deals
    assert len(statements) == 3
