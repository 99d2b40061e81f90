"""What fires against what was open: one function for one deal and all, writes only where something changed, masks."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from alerts import engine
from alerts.models import Alert
from alerts.rules import BY_KIND, RULES
from deals.models import Deal
from deals.records import ParticipantRecord
from tests.alerts.writing import crowd, history, later
from tests.world import World

pytestmark = pytest.mark.django_db


def evaluate(w, *refs):
    with w.inside():
        deals = Deal.objects.filter(organisation=w.organisation, external_id__in=refs)
        return engine.evaluate(w.organisation, deals, w.clock)


def versions(w):
    """The physical version of every deal and alert: a row that is rewritten gets another."""
    with w.inside(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT 'alert', id, xmin::text, ctid::text FROM alerts_alert "
            "UNION ALL SELECT 'deal', id, xmin::text, ctid::text FROM deals_deal"
        )
        return set(cursor.fetchall())


def found(w):
    with w.inside():
        alerts = Alert.objects.filter(organisation=w.organisation, resolved_at=None).select_related("deal")
        deals = Deal.objects.filter(organisation=w.organisation)
        return (
            {(a.deal.external_id, a.kind, a.subject, a.holds_since, a.opened_at) for a in alerts},
            {(d.external_id, d.alert_mask) for d in deals},
        )


# ---- Writes


def test_with_every_rule_off_nothing_fires():
    w = World()
    crowd(w)
    w.evaluate()
    w.configure(**dict.fromkeys(BY_KIND, False))
    w.evaluate()
    alerts, masks = found(w)
    assert alerts == set()
    assert {mask for _, mask in masks} == {0}


def test_twice_is_once():
    w = World()
    crowd(w)
    assert w.evaluate().opened > 50
    before = versions(w)
    assert w.evaluate() == engine.Outcome(0, 0, 0)
    assert versions(w) == before


def test_the_mere_passing_of_a_day_rewrites_nothing():
    w = World()
    w.configure(power_map=False)
    w.contact("ana")
    w.on_deal("ana", created_at=w.at(60), close_on=w.day(3), amount=None)
    w.activity("call", 30, "ana")
    w.activity("call", 29, "ana")
    assert len(w.alerts()) == 7
    before = versions(w)
    for _ in range(3):
        later(w, days=1)
        assert w.evaluate() == engine.Outcome(0, 0, 0)
    assert versions(w) == before


def test_a_deal_read_again_unchanged_is_not_rewritten():
    w = World()
    record = w.deal(created_at=w.at(60))
    w.evaluate()
    before = versions(w)
    assert w.write(deals=[record]) == set()
    assert versions(w) == before


def test_one_by_one_is_all_at_once():
    together, apart = World(), World()
    crowd(together)
    crowd(apart)
    together.evaluate()
    for n in reversed(range(24)):
        evaluate(apart, f"d{n}")
    assert found(apart) == found(together)
    assert len(found(together)[0]) > 50


def test_only_the_deals_handed_in_are_judged():
    w = World()
    w.deal("d", created_at=w.at(60))
    w.deal("e", created_at=w.at(60))
    evaluate(w, "d")
    assert history(w, "no_activity", "d")
    assert not history(w, "no_activity", "e")


def test_a_deal_whose_meeting_has_taken_place_meanwhile_is_judged_with_the_others():
    w = World()
    w.first_synced()
    w.deal("d")
    w.deal("e", created_at=w.at(60))
    ends = w.clock.now + timedelta(hours=1)
    w.activity("meeting", None, ParticipantRecord("attendee", address="x@else.example"), deal="e", at=ends)
    w.evaluate()
    later(w, hours=2)
    evaluate(w, "d")
    assert history(w, "no_activity", "e")[0][2] == "fact_changed"


def test_two_organisations_do_not_meet():
    w, other = World(), World()
    w.deal(created_at=w.at(60))
    other.deal(created_at=other.at(60))
    w.evaluate()
    assert found(w)[0]
    assert found(other) == (set(), {("d", 0)})


@pytest.mark.parametrize("count", [100, 10_000])
def test_the_number_of_statements_does_not_depend_on_the_number_of_deals(count):
    w = World()
    record = w.deal("first", created_at=w.at(60))

    def statements():
        with CaptureQueriesContext(
            connection,
        ) as captured:
            outcome = w.evaluate()
        return len(captured), outcome.opened

    one, opened = statements()
    w.write(deals=[replace(record, external_id=f"n{n}") for n in range(count)])
    assert statements() == (one, opened * count)
    assert one < 12


# ---- The mask


def test_the_mask_says_which_kinds_are_open_how_many_and_how_many_critical():
    w = World()
    w.configure(key_role={"roles": {"champion": 12, "decision maker": 12}})
    w.contact("ana", roles=("Champion", "Decision maker"))
    w.on_deal("ana", created_at=w.at(60), close_on=w.day(3))
    alerts = w.alerts()
    assert {k for k in alerts if k.startswith("key_role")} == {"key_role:champion", "key_role:decision maker"}
    mask = w.stored().alert_mask
    kinds = {key.partition(":")[0] for key in alerts}
    assert {rule.kind for rule in RULES if mask >> rule.bit & 1} == kinds
    assert mask >> 16 & 0xFF == len(alerts)
    assert mask >> 24 == len({"no_activity", "power_map", "close_date_passed"} & kinds) == 3


def test_more_critical_alerts_weigh_more_than_any_number_of_warnings():
    w = World()
    w.deal("critical", created_at=w.at(5), close_on=w.day(1))
    w.deal("warnings", created_at=w.at(60), amount=None)
    w.activity("call", 1, deal="warnings")
    w.evaluate()
    assert w.stored("critical").alert_mask >> 16 > w.stored("warnings").alert_mask >> 16


def test_verdicts_and_alerts_agree():
    w = World()
    crowd(w)
    w.evaluate()
    with w.inside():
        deals = Deal.objects.filter(organisation=w.organisation)
        fires = {
            (pk, v.rule.kind, v.subject, v.on)
            for pk, verdicts in engine.verdicts(w.organisation, deals, w.clock)
            for v in verdicts
            if v.outcome == "fires"
        }
        open_alerts = Alert.objects.filter(organisation=w.organisation, resolved_at=None)
        assert fires == set(open_alerts.values_list("deal_id", "kind", "subject", "holds_since"))
