"""Snoozed alerts: out of the mask until a date, until the deal changes, or for good; the rule goes on being judged."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Organisation, User
from alerts import engine, queue, snoozing, tasks
from alerts.deal_query import BITS
from alerts.models import Alert, Snooze
from alerts.preview import preview
from alerts.rules import COUNT_SHIFT
from alerts.settings import current, draft_of
from deals.records import DealContactRecord, StageRecord
from tests.world import World

pytestmark = pytest.mark.django_db


@pytest.fixture
def w() -> World:
    """A deal with two alerts: nothing happened for 20 days, and no meeting is planned."""
    world = World()
    world.first_synced()
    world.contact("zoe", roles=("Champion",))
    world.on_deal("zoe", created_at=world.at(40), stage_entered_at=world.at(1), updated_at=world.at(1))
    world.activity("email", 20, "zoe")
    world.evaluate()
    assert kinds(world) == {"no_activity", "no_meeting"}
    return world


def kinds(world: World, deal: str = "d") -> set[str]:
    """What the list shows, by the mask."""
    return {kind for kind, bit in BITS.items() if world.stored(deal).alert_mask & bit}


def snooze(world: World, *snoozed: str, deals: Any = None, subject: str | None = None, **how: Any) -> int:
    until_on, until_change = how.get("until_on"), how.get("until_change", False)
    with world.inside():
        return snoozing.snooze(
            world.organisation,
            [world.stored().pk] if deals is None else deals,
            list(snoozed or BITS),
            until_on,
            until_change,
            how.get("reason", ""),
            None,
            world.clock,
            subject,
        )


def wake(world: World, *woken: str) -> int:
    with world.inside():
        user, _ = User.objects.get_or_create(email="rep@vigie.example")
        return snoozing.wake(world.organisation, [world.stored().pk], list(woken or BITS), user, world.clock)


def lasting(world: World) -> int:
    with world.inside():
        return Snooze.objects.filter(ended_at=None).count()


def later(world: World, days: float) -> None:
    world.clock = replace(world.clock, now=world.clock.now + timedelta(days=days))


def test_a_snoozed_alert_leaves_the_mask_and_goes_on_being_judged(w: World) -> None:
    assert snooze(w, "no_activity") == 1
    mask = w.stored().alert_mask
    assert kinds(w) == {"no_meeting"}
    assert mask >> COUNT_SHIFT == 1, "one warning, nothing critical"
    assert set(w.alerts()) == {"no_activity", "no_meeting"}
    w.activity("email", 0, at=w.clock.now)
    assert set(w.alerts()) == {"no_meeting"}
    assert ("no_activity", "fact_changed") in w.reasons()


def test_a_deal_whose_alerts_are_all_snoozed_is_not_at_risk(w: World) -> None:
    assert snooze(w) == 2
    assert w.stored().alert_mask == 0


def test_a_snooze_ends_on_the_morning_of_its_date(w: World) -> None:
    snooze(w, "no_activity", until_on=w.day(-3))
    later(w, 2)
    w.evaluate()
    assert kinds(w) == {"no_meeting"}
    w.clock = replace(w.clock, now=w.at(-1, hour=0))  # local midnight
    w.evaluate()
    assert kinds(w) == {"no_activity", "no_meeting"}
    assert lasting(w) == 0


def test_the_sweep_finds_a_snooze_whose_date_came_while_nobody_worked(w: World, monkeypatch: Any) -> None:
    now = Organisation.objects.get(pk=w.organisation.pk)
    with w.inside():
        Snooze.objects.create(
            organisation=now, deal=w.stored(), kind="no_activity", until_on=w.day(0), created_at=w.at(3)
        )
        assert list(snoozing.due(now, w.clock)) == [w.stored().pk]
    monkeypatch.setattr(tasks.evaluate_changed, "delay", lambda *ids: None)
    monkeypatch.setattr(tasks.relevel_titles, "delay", lambda *ids: None)
    tasks._sweep(now)
    with w.inside():
        assert queue.is_marked(now)
        queue.evaluate_pending(now, w.clock)
    assert lasting(w) == 0


def test_a_muted_alert_stays_away_whatever_comes(w: World) -> None:
    snooze(w, "no_activity")
    w.deal(amount=Decimal(7), stage="s2", created_at=w.at(40), updated_at=w.at(0), contacts=None)
    later(w, 300)
    w.evaluate()
    assert "no_activity" not in kinds(w)
    assert lasting(w) == 1


CHANGES: dict[str, Any] = {
    "stage": {"stage": "s2"},
    "amount": {"amount": Decimal(2000)},
    "currency": {"currency": "USD"},
    "close date": {"close_on": "later"},
    "owner": {"owner": None},
    "won": {"status": "won"},
}


def again(world: World, **fields: Any) -> None:
    """The deal as the CRM tells it once more."""
    fields = {
        "created_at": world.at(40),
        "stage_entered_at": world.at(1),
        "updated_at": world.clock.now,
        "contacts": (DealContactRecord("zoe"),),
        **fields,
    }
    world.deal(**fields)


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_of_the_deal_ends_a_snooze_until_it_changes(w: World, what: str) -> None:
    snooze(w, until_change=True)
    change = {name: w.day(-50) if value == "later" else value for name, value in CHANGES[what].items()}
    again(w, **change)
    w.evaluate()
    assert lasting(w) == 0
    assert kinds(w) == (set() if what == "won" else {"no_activity", "no_meeting"})


def test_a_new_interaction_or_a_planned_meeting_ends_it(w: World) -> None:
    for happen in (
        lambda: w.activity("meeting", -3, "zoe", state="planned"),
        lambda: w.activity("email", 12, "zoe"),
    ):
        snooze(w, until_change=True)
        assert lasting(w) > 0
        happen()
        w.evaluate()
        assert lasting(w) == 0


def test_a_meeting_that_takes_place_by_itself_ends_it(w: World) -> None:
    w.activity("meeting", -1, "zoe", state="held")
    w.evaluate()
    snooze(w, "no_activity", until_change=True)
    later(w, 1.5)
    w.evaluate()
    assert lasting(w) == 0


def test_another_holder_of_a_role_ends_it(w: World) -> None:
    snooze(w, until_change=True)
    w.contact("yan", roles=("Decision maker",))
    again(w, contacts=(DealContactRecord("zoe"), DealContactRecord("yan")))
    w.evaluate()
    assert lasting(w) == 0


def same_again(w: World) -> None:
    again(w)


def renamed_stage(w: World) -> None:
    w.write(stages=[StageRecord("s1", "p", "Démo", 1)])


def retitled(w: World) -> None:
    again(w, title="Another name")


def unanswered(w: World) -> None:
    w.activity("call", 2, "zoe", state="attempt")


def other_settings(w: World) -> None:
    w.configure(no_activity={"days": 3}, deal_too_old={"days": 3})


def rebuilt(w: World) -> None:
    from deals import summaries

    with w.inside():
        summaries.rebuild(w.organisation.pk, [w.stored().pk], w.clock)


def days_pass(w: World) -> None:
    later(w, 9)


@pytest.mark.parametrize(
    "happen", [same_again, renamed_stage, retitled, unanswered, other_settings, rebuilt, days_pass]
)
def test_neither_a_sync_nor_time_nor_a_recalculation_ends_it(w: World, happen: Any) -> None:
    snooze(w, "no_activity", until_change=True)
    happen(w)
    w.evaluate()
    assert lasting(w) == 1
    assert "no_activity" not in kinds(w)


def test_waking_by_hand_brings_it_back_at_once(w: World) -> None:
    snooze(w)
    assert wake(w, "no_activity") == 1
    assert kinds(w) == {"no_activity"}
    assert wake(w, "no_activity") == 0
    assert wake(w) == 1
    assert kinds(w) == {"no_activity", "no_meeting"}


def test_a_second_snooze_takes_the_place_of_the_first(w: World) -> None:
    snooze(w, "no_activity", until_on=w.day(-2), reason="first")
    assert snooze(w, "no_activity", until_change=True, reason="second") == 1
    with w.inside():
        [only] = Snooze.objects.all()
    assert (only.until_on, only.reason, bool(only.state)) == (None, "second", True)


def test_a_kind_leaves_the_mask_when_all_its_alerts_are_snoozed(w: World) -> None:
    w.contact("yan", roles=("Decision maker",))
    again(w, contacts=(DealContactRecord("zoe"), DealContactRecord("yan")))
    w.configure(key_role={"roles": {"champion": 5, "decision maker": 5}})
    later(w, 6)
    assert {"key_role:champion", "key_role:decision maker"} <= set(w.alerts())
    before = w.stored().alert_mask >> COUNT_SHIFT & 255
    snooze(w, "key_role", subject="champion")
    assert "key_role" in kinds(w)
    assert w.stored().alert_mask >> COUNT_SHIFT & 255 == before - 1
    snooze(w, "key_role", subject="decision maker")
    assert "key_role" not in kinds(w)


def test_a_snoozed_deal_that_closes_has_its_alerts_resolved(w: World) -> None:
    snooze(w)
    assert w.stored().alert_mask == 0
    again(w, status="lost")
    w.evaluate()
    assert dict(w.reasons()) == {"no_activity": "lost", "no_meeting": "lost"}


def test_only_what_is_open_on_deals_of_the_organisation_is_snoozed(w: World) -> None:
    other = World()
    other.deal(created_at=other.at(30))
    other.evaluate()
    assert snooze(w, "amount_empty", "nonsense") == 0
    assert snooze(w, deals=[other.stored().pk, 10**15]) == 0
    with other.inside():
        assert other.stored().alert_mask > 0
        assert Snooze.objects.count() == 0


@pytest.mark.parametrize("days", [0, 1, -367])
def test_a_date_that_does_not_lie_within_the_year_ahead_is_refused(w: World, days: int) -> None:
    with pytest.raises(ValueError, match="within a year"):
        snooze(w, until_on=w.day(days))


def test_a_reason_of_any_length_and_kind_is_kept_readable(w: World) -> None:
    snooze(w, "no_activity", reason="<b>\x00 مرحبا 🎈\n" + "x" * 5000)
    with w.inside():
        assert Snooze.objects.get().reason.startswith("<b> مرحبا 🎈 xxx")
        assert len(Snooze.objects.get().reason) == snoozing.REASON_LENGTH


def test_a_deal_that_cannot_be_judged_is_snoozed_and_left_to_the_worker(w: World) -> None:
    w.configure(key_role={"roles": {"champion": 12}})
    with w.inside():
        w.organisation.deals.update(roles={"champion": {"since": "yesterday-ish", "holders": [1]}})
        assert snooze(w, "no_activity") == 1
        assert queue.is_marked(w.organisation)


def test_a_preview_of_unchanged_settings_changes_nothing_for_snoozed_alerts(w: World) -> None:
    snooze(w, "no_activity")
    with w.inside():
        effects = preview(w.organisation, draft_of(current(w.organisation)), w.clock)
    for effect in effects.values():
        assert effect["now"] == effect["after"]
        assert effect["flagged"].deals == effect["cleared"].deals == 0
    assert effects["no_activity"]["after"].deals == 0
    assert effects["no_meeting"]["after"].deals == 1


def test_the_list_finds_snoozed_deals_until_the_alert_has_gone(w: World) -> None:
    snooze(w, "no_activity")
    with w.inside():
        assert list(snoozing.snoozed_deals(w.organisation)) == [w.stored().pk]
        assert [a.kind for a in Alert.objects.filter(resolved_at=None).awake()] == ["no_meeting"]
    w.activity("email", 0, at=w.clock.now)
    w.evaluate()
    with w.inside():
        assert not snoozing.snoozed_deals(w.organisation).exists()


def test_as_many_statements_for_one_deal_as_for_three(w: World) -> None:
    for ref in ("two", "three"):
        w.on_deal("zoe", ref=ref, created_at=w.at(40), stage_entered_at=w.at(1))
    w.evaluate()
    with w.inside():
        ids = list(w.organisation.deals.values_list("pk", flat=True))
    counts = []
    for deals in (ids[:1], ids[:1], ids):
        with CaptureQueriesContext(connection) as captured:
            snooze(w, deals=deals, until_change=True)
        counts.append(len(captured))
    assert counts[1] == counts[2]
    with w.inside(), CaptureQueriesContext(connection) as captured:
        engine.evaluate(w.organisation, w.organisation.deals.all(), w.clock)
    assert len(captured) == 5
    assert lasting(w) == 6


def test_prepared_or_not_the_same_is_written(w: World) -> None:
    snooze(w, "no_activity", until_change=True)
    with w.inside():
        for _ in range(2):
            engine.evaluate(w.organisation, w.organisation.deals.all(), w.clock, few=True)
    assert kinds(w) == {"no_meeting"}
    w.activity("email", 12, "zoe")
    with w.inside():
        engine.evaluate(w.organisation, w.organisation.deals.all(), w.clock, few=True)
    assert kinds(w) >= {"no_activity", "no_meeting"}
