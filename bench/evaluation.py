"""All deals and one deal, judged by the statement that the engine runs."""

import random
from datetime import timedelta
from statistics import median

from django.db import connection, transaction

from accounts.tenancy import tenant
from alerts import engine, queue
from bench.dataset import FIRST_ID, Dataset, vacuum
from bench.measure import p95, report, run, scan_floor, seconds, serial, typical, undone
from deals.clock import Clock

# All hits with their evidence are made (the part is materialised) and counted: everything but the comparison and the
# writing, and nothing goes to the client.
COUNT_HITS = engine.HITS + "SELECT count(*), max(evidence::text) FROM hit"


def evaluate_all(data: Dataset) -> None:
    """All rules on all open deals: as first run, without anything to write, and with the difference of a day.

    `evaluate_all` is the verdicts and hits alone; the `write` figures are whole calls of `engine.evaluate`.
    """
    organisation, deals, clock = data.organisation, data.organisation.deals.all(), data.clock
    tomorrow = Clock(clock.now + timedelta(days=1), clock.zone)

    def evaluate(clock: Clock) -> engine.Outcome:
        outcome = engine.evaluate(organisation, deals, clock)
        run("SET CONSTRAINTS ALL IMMEDIATE")  # the checks that a commit would make
        run("SET CONSTRAINTS ALL DEFERRED")
        return outcome

    def write(clock: Clock) -> None:
        outcomes.append(evaluate(clock))

    outcomes: list[engine.Outcome] = []
    with serial(data):
        _forget_alerts(data)
        floor = scan_floor(data)
        transaction.get_connection().check_constraints()
        first = undone(lambda: write(clock))()
        opened = outcomes[-1].opened
    vacuum("alerts_alert", "deals_deal")
    with serial(data):
        write(clock)
    vacuum("alerts_alert", "deals_deal")
    with serial(data):
        assert evaluate(clock) == engine.Outcome(0, 0, 0)
        floor = scan_floor(data)
        statement = engine.statement(organisation, deals, clock, COUNT_HITS)
        value = typical(lambda: run(*statement), times=7)
        open_deals = deals.open().count()
        report(
            "evaluate_all",
            value,
            "s",
            floor,
            goal=("ratio", "≤", 1.5),
            open_deals=open_deals,
            hits=run(*statement)[0],
            us_per_open_deal=value / open_deals * 1e6,
        )
        report("evaluate_all_unchanged", typical(lambda: evaluate(clock)), "s", floor)
        daily = undone(lambda: write(tomorrow))
        daily()
        value = median(daily() for _ in range(5))
        day = outcomes[-1]
        report(
            "evaluate_all_write",
            value,
            "s",
            floor,
            goal=("ratio", "≤", 1.25),
            opened=day.opened,
            refreshed=day.refreshed,
            resolved=day.resolved,
        )
        report("evaluate_all_first", first, "s", floor, goal=("ratio", "≤", 4), opened=opened)
