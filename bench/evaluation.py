"""All deals and one deal, judged by the statement that the engine runs."""

import random
from datetime import timedelta
from statistics import median
from time import perf_counter

from django.db import connection, transaction
from django.db.models import F

from accounts.tenancy import tenant
from alerts import engine, queue
from alerts import settings as alert_settings
from alerts.preview import preview as preview_of
from bench.dataset import Dataset, vacuum
from bench.measure import execute, fetch, p95, report, scan_floor, seconds, serial, typical
from deals.clock import Clock
from deals.models import Deal

# All hits are made with their evidence (that part is materialised) and counted: everything but the comparison with the
# open alerts and the writing. Nothing but two values goes to the client, for the floor neither.
COUNT_HITS = engine.HITS + "SELECT count(*), max(length(evidence::text)) FROM hit"


def evaluate_all(data: Dataset) -> None:
    """All rules on all open deals; the organisation's closed deals are in scope too, as in the daily run.

    `evaluate_all` is verdicts and hits alone. The others are whole calls of `engine.evaluate` with the checks of the
    deferred keys that the commit would make: the first with 30k × 9 verdicts to store, one when nothing has changed,
    and one a day later, which is undone and repeated.
    """
    organisation, deals, clock = data.organisation, Deal.objects.filter(organisation=data.organisation), data.clock
    tomorrow = Clock(clock.now + timedelta(days=1), clock.zone)

    def evaluate(clock: Clock) -> engine.Outcome:
        outcome = engine.evaluate(organisation, deals, clock)
        connection.check_constraints()
        return outcome

    taken = []
    for _ in range(3):
        with tenant(organisation):
            execute("DELETE FROM alerts_alert WHERE organisation_id = %s", [organisation.pk])
            deals.exclude(alert_mask=0).update(alert_mask=0)
        vacuum("alerts_alert", "deals_deal", "deals_dealactivity")
        with serial(data):
            floor = scan_floor(data)
            once, opened = seconds(lambda: evaluate(clock))
            taken.append(once)
    report("evaluate_all_first", median(taken), "s", floor, goal=("ratio", "≤", 4), opened=opened.opened)
    vacuum("alerts_alert", "deals_deal")
    with serial(data):
        floor = scan_floor(data)
        statement = engine.statement(organisation, deals, clock, COUNT_HITS)
        value, (hits, _) = typical(lambda: fetch(*statement), times=7)
        count = deals.open().count()
        facts = {"open_deals": count, "hits": hits, "us_per_open_deal": value / count * 1e6}
        report("evaluate_all", value, "s", floor, goal=("ratio", "≤", 0.75), **facts)
        value, outcome = typical(lambda: evaluate(clock))
        assert outcome == engine.Outcome(0, 0, 0), outcome
        report("evaluate_all_unchanged", value, "s", floor)
        value, day = typical(lambda: evaluate(tomorrow), undo=True)
        facts = {"opened": day.opened, "refreshed": day.refreshed, "resolved": day.resolved}
        report("evaluate_all_write", value, "s", floor, goal=("ratio", "≤", 1.25), **facts)


def evaluate_growth(data: Dataset) -> None:
    """What an open deal costs among 1,000, 10,000 … and among all of them: the dearest against the cheapest."""
    organisation, clock = data.organisation, data.clock
    with tenant(organisation):
        engine.evaluate(organisation, Deal.objects.filter(organisation=organisation), clock)
        pks = list(Deal.objects.open().order_by("pk").values_list("pk", flat=True))

    def microseconds(count: int) -> float:
        deals = Deal.objects.filter(organisation=organisation, pk__lte=pks[count - 1])
        statement = engine.statement(organisation, deals, clock, COUNT_HITS)
        return typical(lambda: fetch(*statement))[0] / count * 1e6

    with serial(data):
        counts = [count for count in (1_000, 10_000, 100_000) if count < len(pks)]
        costs = {f"of_{count}": microseconds(count) for count in (*counts, len(pks))}
    report("evaluate_growth", max(costs.values()), "µs", min(costs.values()), goal=("ratio", "≤", 2), **costs)


def evaluate_one(data: Dataset, count: int = 150) -> None:
    """One changed deal as the worker evaluates it: its own transaction, mark, difference and commit included.

    The close date of random open deals goes back by years, then returns: alerts open, then resolve.
    """
    organisation, clock = data.organisation, data.clock
    with tenant(organisation):
        engine.evaluate(organisation, Deal.objects.filter(organisation=organisation), clock)
        pks = list(
            Deal.objects.open().filter(close_on__gt=clock.today + timedelta(days=15)).values_list("pk", flat=True)
        )
    vacuum("alerts_alert", "deals_deal")  # as autovacuum does soon after a first evaluation
    chosen = random.Random(7).sample(pks, count)
    taken = []
    for back in (3000, -3000):
        for pk in chosen:
            with tenant(organisation):
                Deal.objects.filter(pk=pk).update(close_on=F("close_on") - timedelta(days=back))
                queue.mark(organisation, [pk])
            start = perf_counter()
            with tenant(organisation):
                assert queue.evaluate_pending(organisation, clock) == 1
            taken.append((perf_counter() - start) * 1e3)
    with serial(data):
        floor = scan_floor(data) * 1e3
    report("evaluate_one", p95(taken), "ms", floor, goal=("value", "≤", 10), p50=median(taken), samples=len(taken))
    with tenant(organisation):  # as it was
        execute("DELETE FROM alerts_alert WHERE organisation_id = %s AND resolved_at IS NOT NULL", [organisation.pk])


def preview(data: Dataset) -> None:
    """What a draft of all rules would do, as the settings page asks while somebody types."""
    organisation = data.organisation
    with tenant(organisation):
        draft = alert_settings.draft_of(alert_settings.current(organisation))
        for said in (draft["rules"], *(override["rules"] for override in draft["overrides"])):
            for values in said.values():
                if "days" in values:
                    values["days"] += 5
        draft["business_days"] = False
    with serial(data):
        floor = scan_floor(data) * 1e3
        value, _ = typical(lambda: preview_of(organisation, draft, data.clock))
    report("preview", value * 1e3, "ms", floor, goal=("value", "≤", 1000))


def rls(data: Dataset) -> None:
    """The same evaluation with the policies and without, by turns, inside one transaction that is undone.

    As the tables' owner, whom the policies bind only as long as FORCE is on.
    """
    organisation, deals, clock = data.organisation, Deal.objects.filter(organisation=data.organisation), data.clock
    work = engine.statement(organisation, deals, clock, COUNT_HITS)
    tables = [t for t in connection.introspection.table_names() if t.startswith(("deals_", "alerts_"))]
    taken: dict[str, list[float]] = {"FORCE": [], "NO FORCE": []}
    with connection.as_owner(), transaction.atomic():
        with serial(data):
            for force in ("FORCE", "NO FORCE") * 6:
                for table in tables:
                    execute(f"ALTER TABLE {table} {force} ROW LEVEL SECURITY")
                fetch(*work)
                taken[force] += [seconds(lambda: fetch(*work))[0]]
        transaction.set_rollback(True)
    report("rls", median(taken["FORCE"]), "s", median(taken["NO FORCE"]), goal=("ratio", "≤", 1.3))
