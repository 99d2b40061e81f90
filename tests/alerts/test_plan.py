"""How often the evaluation reads what: the plan of the statement that the engine runs, not only its text."""

from collections import Counter
from dataclasses import replace

import pytest
from django.db import connection

from accounts.tenancy import tenant
from alerts import engine
from deals.models import Deal
from tests.world import World

# What there is most of. Its sum for each deal is a column, so an evaluation needs none of it.
HISTORY = {
    "deals_activity",
    "deals_dealactivity",
    "deals_participant",
    "deals_dealperson",
    "deals_dealcontact",
    "deals_contact",
    "deals_person",
    "deals_fieldchange",
}
ROLES = {"champion": 12, "decision maker": 20}


def scans(plan: dict, part: str = "") -> Counter:
    """How many nodes of the plan read each table; within one named part of the statement when `part` is given."""
    found = Counter()
    inside = not part or plan.get("Subplan Name") == part
    if inside and "Scan" in plan["Node Type"] and "Relation Name" in plan:
        found[plan["Relation Name"]] += 1
    for child in plan.get("Plans", ()):
        found += scans(child, "" if inside else part)
    return found


@pytest.fixture
def w(db):
    w = World()
    w.contact("ana", "CEO", ("Champion",))
    w.on_deal("ana", created_at=w.at(60))
    w.write(deals=[replace(w.deal("first"), external_id=f"d{n}") for n in range(300)])
    w.activity("call", 20, "ana")
    w.configure(key_role={"roles": ROLES})
    w.evaluate()
    return w


@pytest.fixture(params=["all deals", "one deal"])
def plan(request, w):
    with tenant(w.organisation), connection.cursor() as cursor:
        deals = Deal.objects.filter(organisation=w.organisation)
        if request.param == "one deal":
            deals = deals.filter(pk=deals.first().pk)
        sql, params = engine.statement(w.organisation, deals, w.clock)
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", params)
        [explained] = cursor.fetchone()[0]
    return explained["Plan"]


def test_each_table_of_facts_is_read_once(plan):
    assert scans(plan, "CTE verdict") == {"deals_deal": 1, "alerts_snooze": 2}  # few rows, looked up or hashed
    # The second node is the update of the mask: it looks up the deals whose alerts change, by their keys.
    assert {table: n for table, n in scans(plan).items() if table.startswith("deals_")} == {"deals_deal": 2}


def test_hits_are_made_from_the_verdicts_alone(plan):
    assert scans(plan, "CTE hit") == {}


def test_no_evaluation_reads_the_history(plan):
    assert not HISTORY & set(scans(plan))


def test_history_tables_exist_under_these_names(db):
    assert set(connection.introspection.table_names()) >= HISTORY
