"""What a CRM deletes, brings back or merges: it counts no longer, counts again, or counts for the survivor."""

from dataclasses import replace
from typing import Any

import pytest

from accounts.models import User
from alerts.models import Alert, Feedback, Snooze
from alerts.rules import RULES
from crm_sync import brake, reconcile, sync
from crm_sync.models import Connection, Reconciliation, StreamProgress, SyncRun
from crm_sync.providers.base import Page
from deals.models import Activity, Company, Contact, Deal, DealActivity, DealContact, Pipeline, Stage
from deals.records import Batch, CompanyRecord, DealContactRecord, DealRecord, MergeRecord, PipelineRecord, StageRecord
from tests.world import World
from workplace.models import Note, Review, ReviewedDeal

pytestmark = pytest.mark.django_db


@pytest.fixture
def w() -> World:
    return World()


def gone(w: World, kind: str, *refs: str) -> set[int]:
    return w.write(gone={kind: refs})


def test_a_deleted_activity_counts_no_longer_and_a_restored_one_again(w: World) -> None:
    w.contact("ana")
    w.on_deal("ana")
    call = w.activity("call", 3, "ana")
    w.activity("call", 8, "ana")
    before = w.stored()
    assert (before.last_interaction_on, before.streak_count) == (w.day(3), 2)
    assert gone(w, "activities", call.external_id) == {before.pk}
    assert (w.stored().last_interaction_on, w.stored().streak_count) == (w.day(8), 1)
    assert gone(w, "activities", call.external_id) == set()
    assert w.write(activities=[call]) == {before.pk}
    assert (w.stored().last_interaction_on, w.stored().streak_count) == (w.day(3), 2)


def test_a_deleted_contact_holds_no_role_and_is_not_found_and_a_restored_one_again(w: World) -> None:
    ana = w.contact("ana", roles=("Champion",))
    w.on_deal("ana")
    since = w.stored().roles["champion"]["since"]
    assert gone(w, "contacts", "ana") == {w.stored().pk}
    assert w.stored().roles == {}
    assert "ana" not in w.stored().search
    w.write(contacts=[ana])
    assert w.stored().roles["champion"]["since"] == since
    assert "ana" in w.stored().search


def test_a_deleted_deal_has_no_alerts_and_a_restored_one_again(w: World) -> None:
    deal = w.deal(amount=None)
    assert "amount_empty" in w.alerts()
    gone(w, "deals", "d")
    assert w.alerts() == {}
    assert ("amount_empty", "deleted") in w.reasons()
    w.write(deals=[deal])
    assert "amount_empty" in w.alerts()


@pytest.mark.parametrize(
    ("kind", "model", "records"),
    [
        ("pipelines", Pipeline, lambda w: [PipelineRecord("p", "Sales", 1)]),
        ("stages", Stage, lambda w: [StageRecord("s1", "p", "Demo", 1)]),
        ("companies", Company, lambda w: [CompanyRecord("c", "Customer", w.at(5))]),
    ],
)
def test_what_else_is_deleted_is_marked_and_comes_back(w: World, kind: str, model: Any, records: Any) -> None:
    found = records(w)
    w.write(**{kind: found})

    def is_deleted() -> bool:
        with w.inside():
            return bool(model.objects.get(external_id=found[0].external_id).deleted)

    gone(w, kind, found[0].external_id)
    assert is_deleted()
    w.write(**{kind: found})
    assert not is_deleted()


@pytest.mark.parametrize("kind", ["pipelines", "stages", "companies", "contacts", "deals", "activities"])
def test_an_unknown_id_deletes_nothing(w: World, kind: str) -> None:
    w.deal()
    assert gone(w, kind, "unknown", "", "'; DROP TABLE deals_deal; --") == set()


def test_another_accounts_rows_of_the_same_id_stay(w: World) -> None:
    w.deal()
    other = World()
    other.deal()
    gone(other, "deals", "d")
    assert not w.stored().deleted


# ---- The brake in a run


def run_of(w: World) -> tuple[SyncRun, StreamProgress]:
    mine = {"organisation": w.organisation}
    w.first_synced()
    now = {"connected_at": w.clock.now, "synced_until": w.clock.now}
    link = Connection.objects.create(**mine, source=w.source, provider="hubspot", **now)
    run = SyncRun.objects.create(
        **mine, connection=link, kind=SyncRun.Kind.CHANGES, until=w.clock.now, started_at=w.clock.now
    )
    return run, StreamProgress.objects.create(**mine, run=run, position=0, stream="archived")


def many(w: World, count: int) -> list[DealRecord]:
    one = w.deal("0")
    records = [replace(one, external_id=str(n)) for n in range(count)]
    w.write(deals=records)
    return [replace(record, deleted=True) for record in records]


@pytest.mark.parametrize(
    ("pages", "deleted", "held"),
    [((50,), 50, []), ((51,), 0, ["deals"]), ((30, 20), 50, []), ((30, 21), 30, ["deals"]), ((60, 5), 0, ["deals"])],
)
def test_one_run_deletes_no_more_than_fifty_of_few(w: World, pages: tuple[int, ...], deleted: int, held: Any) -> None:
    records = many(w, 100)
    with w.inside():
        run, progress = run_of(w)
        start = 0
        for size in pages:
            progress.refresh_from_db()
            cursor = str(start + size)
            sync._write(run, progress, Page(Batch(deals=records[start : start + size]), cursor, size, None))
            if Reconciliation.objects.exists() and not Reconciliation.objects.filter(held__gt=0).exists():
                # The comparison that is begun finds them and asks an admin.
                Reconciliation.objects.update(is_latest=True, held=size, finished_at=w.clock.now)
            start += size
        assert Deal.objects.filter(deleted=True).count() == deleted
        assert list(Reconciliation.objects.values_list("stream", flat=True)) == held


def test_what_is_deleted_already_counts_no_second_time(w: World) -> None:
    records = many(w, 100)
    with w.inside():
        run, progress = run_of(w)
        for records_again in (records[:50], records[:50], records[20:50]):
            batch, stopped = brake.spare(run.connection, progress, Batch(deals=records_again))
            assert (len(batch.deals), stopped) == (len(records_again), [])
            w.write(deals=batch.deals)
            assert progress.deletions == {"deals": 50}


def test_an_admin_is_needed_to_let_deletions_happen_and_only_for_the_latest(w: World) -> None:
    with w.inside():
        run, _ = run_of(w)
        user = User.objects.create_user("admin@vigie.example")
        assert not reconcile.release(run.connection, "deals", user)
        reconcile.begin(run.connection, ["deals"])
        Reconciliation.objects.update(held=60, left=61, extra=61, finished_at=w.clock.now, is_latest=True)
        reconcile.begin(run.connection, ["deals"])
        assert not reconcile.release(run.connection, "deals", user)  # a newer one is under way
        Reconciliation.objects.filter(finished_at=None).delete()
        assert reconcile.release(run.connection, "deals", user)
        report = Reconciliation.objects.get()
        assert (report.held, report.left, report.phase, report.released_by) == (0, 1, "repairing", user)


# ---- Merges


def merge(w: World, kind: Any, survivor: str, *losers: str) -> set[int]:
    return w.write(merges=[MergeRecord(kind, survivor, losers)])


def mask_is_right(w: World, ref: str = "d") -> bool:
    """The deal's mask holds the bits of its open alerts, and of no other."""
    with w.inside():
        kinds = set(Alert.objects.filter(deal__external_id=ref, resolved_at=None).values_list("kind", flat=True))
        mask = w.stored(ref).alert_mask
        return all(bool(mask >> rule.bit & 1) == (rule.kind in kinds) for rule in RULES)


def test_a_merged_deal_leaves_everything_to_the_survivor(w: World) -> None:
    w.contact("ana")
    w.deal("d", contacts=(DealContactRecord("ana"),), created_at=w.at(60), amount=None)
    w.deal("old", contacts=(DealContactRecord("ana"),), created_at=w.at(60), amount=None, close_on=w.day(3))
    w.activity("call", 3, "ana", deal="old")
    w.activity("call", 4, "ana", deals=("old", "d"))
    w.evaluate()
    user = User.objects.create_user("rep@vigie.example")
    with w.inside():
        mine = {"organisation": w.organisation}
        old, new = w.stored("old"), w.stored("d")
        Alert.objects.filter(deal=old, kind="amount_empty").update(opened_at=w.at(30))
        same = Alert.objects.get(deal=old, kind="amount_empty", resolved_at=None)
        Feedback.objects.create(**mine, alert=same, user=user, useful=True, given_at=w.clock.now)
        for deal, kind in ((old, "no_meeting"), (old, "amount_empty"), (new, "amount_empty")):
            Snooze.objects.create(**mine, deal=deal, kind=kind, until_on=w.day(-9), created_at=w.clock.now)
        Note.objects.create(**mine, deal=old, text="Said before", written_at=w.clock.now)
        both, one = (Review.objects.create(**mine, began_at=w.clock.now, ended_at=w.clock.now) for _ in range(2))
        for review, deal in ((both, old), (both, new), (one, old)):
            ReviewedDeal.objects.create(**mine, review=review, deal=deal, reviewed_at=w.clock.now)
        kinds = set(Alert.objects.filter(resolved_at=None).values_list("kind", flat=True))
    assert merge(w, "deals", "d", "old") == {old.pk, new.pk}
    w.evaluate()
    with w.inside():
        assert w.stored("old").deleted
        assert not Alert.objects.filter(deal=old).exists()
        open_now = list(Alert.objects.filter(deal=new, resolved_at=None).values_list("kind", flat=True))
        assert len(open_now) == len(set(open_now))
        assert set(open_now) <= kinds
        kept = Alert.objects.get(deal=new, kind="amount_empty", resolved_at=None)
        assert kept.opened_at == w.at(30)
        assert kept.feedback.get().user == user
        assert Alert.objects.filter(deal=new, kind="close_date_passed").exclude(resolved_at=None).exists()
        snoozes = Snooze.objects.filter(deal=new, ended_at=None).values_list("kind", flat=True)
        assert sorted(snoozes) == ["amount_empty", "no_meeting"]
        assert Note.objects.get().deal == new
        assert ReviewedDeal.objects.filter(deal=new).count() == ReviewedDeal.objects.count() == 2
        assert DealActivity.objects.filter(deal=new).count() == DealActivity.objects.count() == 2
    assert w.stored("d").last_interaction_on == w.day(3)
    assert merge(w, "deals", "d", "old") == set()


def test_an_alert_that_came_with_a_merged_deal_goes_on_and_is_in_the_mask(w: World) -> None:
    w.deal("old", amount=None)
    assert "amount_empty" in w.alerts("old")
    with w.inside():
        Alert.objects.update(opened_at=w.at(20))
    w.deal("d", amount=None)
    merge(w, "deals", "d", "old")
    assert "amount_empty" in w.alerts("d")
    assert mask_is_right(w)
    with w.inside():
        assert Alert.objects.get(kind="amount_empty").opened_at == w.at(20)
        assert "merged" not in Alert.objects.get(kind="amount_empty").evidence


def test_two_deals_merged_into_a_new_one_have_each_alert_once(w: World) -> None:
    for ref in ("one", "two"):
        w.deal(ref, amount=None)
        w.evaluate()
    w.deal("d", amount=None)
    merge(w, "deals", "d", "one", "two", "never seen")
    w.alerts()
    with w.inside():
        assert Alert.objects.filter(kind="amount_empty").count() == 1
        assert set(Deal.objects.filter(deleted=True).values_list("external_id", flat=True)) == {"one", "two"}
    assert mask_is_right(w)


def test_a_merged_contact_leaves_role_and_participation_to_the_survivor(w: World) -> None:
    w.contact("old", roles=("Champion",))
    w.contact("ana")
    w.on_deal("old", "ana", ref="d")
    w.on_deal("old", ref="other")
    w.activity("call", 3, "old")
    w.first_synced()
    since = w.stored().roles["champion"]["since"]
    w.contact("ana", roles=("Champion",), updated_at=w.at(0))
    merge(w, "contacts", "ana", "old")
    with w.inside():
        ana = Contact.objects.get(external_id="ana")
        assert Contact.objects.get(external_id="old").deleted
        assert set(DealContact.objects.values_list("contact__external_id", flat=True)) == {"ana"}
        assert DealContact.objects.count() == 2
    role = w.stored().roles["champion"]
    assert (role["holders"], role["since"]) == ([ana.person_id], since)
    assert str(role["last_on"]) == str(w.day(3))
    assert merge(w, "contacts", "ana", "old") == set()


def test_a_merged_company_leaves_its_deals_and_people_to_the_survivor(w: World) -> None:
    w.write(companies=[CompanyRecord("c", "Customer", w.at(5)), CompanyRecord("old", "Customer Ltd", w.at(5))])
    w.deal(company="old")
    merge(w, "companies", "c", "old")
    with w.inside():
        assert Deal.objects.get().company.external_id == "c"
        assert Company.objects.get(external_id="old").deleted
    assert "customer ltd" not in w.stored().search


def test_a_merge_whose_survivor_is_not_here_waits_for_it(w: World) -> None:
    w.deal("old")
    assert merge(w, "deals", "later", "old") == set()
    assert not w.stored("old").deleted
    new = w.deal("later")
    w.write(deals=[new], merges=[MergeRecord("deals", "later", ("old", "later"))])
    assert w.stored("old").deleted
    assert not w.stored("later").deleted


def test_a_thousand_merges_take_the_same_statements_as_ten(w: World, django_assert_max_num_queries: Any) -> None:
    one = w.deal("0", updated_at=w.at(5))
    w.write(deals=[replace(one, external_id=str(n)) for n in range(400)])
    with django_assert_max_num_queries(90):
        w.write(merges=[MergeRecord("deals", str(n), (str(n + 200),)) for n in range(200)])
    with w.inside():
        assert Deal.objects.filter(deleted=True).count() == 200


def test_an_activity_of_two_losers_is_on_the_survivor_once(w: World) -> None:
    for ref in ("one", "two", "d"):
        w.deal(ref)
    w.activity("call", 2, deals=("one", "two"))
    merge(w, "deals", "d", "one", "two")
    with w.inside():
        assert Activity.objects.get().deal_activities.get().deal.external_id == "d"
    assert w.stored().last_interaction_at == w.at(2)
