"""The invented pipeline: the same every time, plausible, and of use to every rule."""

import json
import re
import subprocess
import sys
from collections import Counter
from datetime import datetime
from functools import cache

import pytest

from crm_sandbox import hubspot_data, names, pipedrive_data
from crm_sandbox.control import raw
from tests.crm_sandbox import verdicts
from tests.crm_sandbox.conftest import NOW

MODULES = {"pipedrive": pipedrive_data, "hubspot": hubspot_data}
RULES = {
    "no_activity", "no_meeting", "single_contact", "key_role", "power_map",
    "stuck_in_stage", "close_date_passed", "amount_empty", "deal_too_old",
}  # fmt: skip
both = pytest.mark.parametrize("crm", MODULES)
# A Sunday, just after and before midnight in Paris, a day of the change of the clock, a leap day.
MOMENTS = [NOW, "2026-06-09T22:02:00Z", "2026-06-10T21:58:00Z", "2027-03-28T10:00:00Z", "2028-02-29T16:30:00Z"]


def fresh(crm, now=NOW, seed=7, size=300):
    return raw(MODULES[crm].generate(seed, size, int(datetime.fromisoformat(now).timestamp())))


generated = cache(fresh)


def deals(crm, now=NOW, **more):
    return getattr(verdicts, crm)(json.loads(generated(crm, now, **more)), datetime.fromisoformat(now))


@both
def test_the_same_seed_size_and_now_give_the_same_data(crm):
    assert fresh(crm, size=80) == fresh(crm, size=80)
    different = [
        fresh(crm, size=80, seed=8),
        fresh(crm, size=81),
        fresh(crm, "2026-11-23T09:00:00Z", size=80),
    ]
    assert len({fresh(crm, size=80), *different}) == 4


def test_the_same_data_is_made_by_another_process():
    """Neither hashing nor the order of sets may show."""
    program = (
        "import sys; from hashlib import sha256; from crm_sandbox import control, hubspot_data, pipedrive_data\n"
        "for one in (pipedrive_data, hubspot_data):\n"
        "    print(sha256(control.raw(one.generate(7, 60, 1795338000))).hexdigest())"
    )
    runs = {subprocess.check_output([sys.executable, "-c", program], text=True) for _ in range(2)}
    assert len(runs) == 1


@both
@pytest.mark.parametrize("now", MOMENTS)
def test_every_rule_fires_on_some_deals_and_spares_others(crm, now):
    today = verdicts.today(datetime.fromisoformat(now))
    found = [verdicts.firing(deal, today) for deal in deals(crm, now)]
    counts = Counter(rule for rules in found for rule in rules)
    assert counts.keys() == RULES
    assert all(3 <= count <= len(found) / 2 for count in counts.values()), counts


@both
@pytest.mark.parametrize("now", MOMENTS)
def test_every_limit_is_missed_by_a_day_met_and_passed_by_a_day(crm, now):
    today = verdicts.today(datetime.fromisoformat(now))
    margins = [verdicts.margins(deal, today) for deal in deals(crm, now)]
    for rule in RULES - {"amount_empty"}:
        assert {-1, 0, 1} <= {one.get(rule) for one in margins}, rule


@both
@pytest.mark.parametrize("size", [300, 2000])
def test_most_deals_have_an_alert_and_a_quarter_has_none(crm, size):
    today = verdicts.today(datetime.fromisoformat(NOW))
    # Which roles are watched is the organisation's choice, so none by default.
    found = [len(verdicts.firing(deal, today) - {"key_role"}) for deal in deals(crm, size=size)]
    share = sum(map(bool, found)) / len(found)
    assert 0.6 <= share <= 0.75
    assert sum(1 <= count <= 3 for count in found) > 0.9 * sum(map(bool, found))


@both
def test_about_a_third_of_the_deals_is_closed(crm):
    rows = [row["fields"] for row in json.loads(generated(crm))["tables"]["deals"]]
    status = Counter(
        one["status"]
        if crm == "pipedrive"
        else "won"
        if one["hs_is_closed_won"] == "true"
        else "lost"
        if one["hs_is_closed"] == "true"
        else "open"
        for one in rows
    )
    assert 90 <= status["won"] + status["lost"] <= 110
    assert min(status.values()) >= 30


@both
def test_activities_are_as_many_as_a_team_logs(crm):
    tables = json.loads(generated(crm))["tables"]
    kinds = ["activities"] if crm == "pipedrive" else ["calls", "emails", "meetings", "communications"]
    assert 4 <= sum(len(tables[kind]) for kind in kinds) / len(tables["deals"]) <= 6


@both
def test_amounts_are_mostly_in_euro_and_at_times_missing(crm):
    rows = [row["fields"] for row in json.loads(generated(crm))["tables"]["deals"]]
    currency, amount = ("currency", "value") if crm == "pipedrive" else ("deal_currency_code", "amount")
    currencies = Counter(one[currency] for one in rows)
    assert set(currencies) == {"EUR", "GBP", "USD", "CHF"}
    assert currencies["EUR"] > 0.7 * len(rows)
    empty = {one[amount] for one in rows if not float(one[amount] or 0)}
    assert empty == ({0} if crm == "pipedrive" else {None, "", "0"})


@both
def test_messy_titles_are_there_and_few(crm):
    key = "title" if crm == "pipedrive" else "dealname"
    titles = [row["fields"][key] for row in json.loads(generated(crm))["tables"]["deals"]]
    messy = {
        "long": [one for one in titles if len(one) > 200],
        "emoji": [one for one in titles if "🚀" in one],
        "right to left": [one for one in titles if re.search("[\u0600-\u06ff]", one)],
        "html": [one for one in titles if "<script>" in one],
    }
    assert all(messy.values())
    assert sum(map(len, messy.values())) <= 0.02 * len(titles)


@both
def test_something_is_missing_on_a_few_deals(crm):
    raw_ = json.loads(generated(crm))
    rows = raw_["tables"]["deals"]
    stage, owner = ("stage_id", "owner_id") if crm == "pipedrive" else ("dealstage", "hubspot_owner_id")
    for name in (stage, owner):
        assert 1 <= sum(row["fields"][name] is None for row in rows) <= 6
    people, companies = ("persons", None) if crm == "pipedrive" else ("contacts", "companies")
    with_people = {
        a for link in raw_["links"] if (link["from"], link["to"]) == ("deals", people) for a, *_ in link["pairs"]
    }
    assert 1 <= sum(row["id"] not in with_people for row in rows) <= 6
    if companies:
        own = {a for one in raw_["links"] if (one["from"], one["to"]) == ("deals", companies) for a, *_ in one["pairs"]}
        assert 1 <= sum(row["id"] not in own for row in rows) <= 6
    else:
        assert 1 <= sum(row["fields"]["org_id"] is None for row in rows) <= 6


@both
def test_job_titles_of_every_level_are_met_in_both_languages(crm):
    tables = json.loads(generated(crm, size=2000))["tables"]
    if crm == "pipedrive":
        titles = {row["fields"]["custom_fields"][pipedrive_data.TITLE_FIELD] for row in tables["persons"]}
    else:
        titles = {row["fields"]["jobtitle"] for row in tables["contacts"]}
    invented = {one for langs in names.TITLES.values() for all_ in langs.values() for pair in all_ for one in pair}
    assert titles == (invented - {""}) | {None}


def test_hubspot_meetings_calls_and_mails_are_of_every_kind():
    tables = json.loads(generated("hubspot"))["tables"]
    outcomes = {row["fields"]["hs_meeting_outcome"] for row in tables["meetings"]}
    assert outcomes == {None, "SCHEDULED", "COMPLETED", "CANCELED", "NO_SHOW", "RESCHEDULED"}
    calls = {(row["fields"]["hs_call_disposition"], row["fields"]["hs_call_status"]) for row in tables["calls"]}
    assert {*hubspot_data.UNANSWERED, (hubspot_data.CONNECTED, "COMPLETED"), (None, "COMPLETED"), (None, None)} <= calls
    mails = [row["fields"] for row in tables["emails"]]
    assert {one["hs_email_status"] for one in mails} == {None, "SENT", "BOUNCED"}
    assert {one["hs_email_direction"] for one in mails} == {"EMAIL", "INCOMING_EMAIL"}
    assert any(one["hs_email_cc_email"] for one in mails)
    assert any(one["hs_email_from_email"] is None for one in mails)


def test_pipedrive_activities_are_of_every_kind():
    rows = json.loads(generated("pipedrive"))["tables"]["activities"]
    fields = [row["fields"] for row in rows]
    assert {one["type"] for one in fields} == {"call", "meeting", "lunch", "task", "unanswered_call"}
    assert any(one["due_time"] is None for one in fields)
    attendees = [row["optional"]["attendees"] for row in rows]
    assert any(a["status"] == "declined" for all_ in attendees for a in all_)
    assert any(len(all_) > 1 and all(a["user_id"] for a in all_) for all_ in attendees)


@both
def test_nothing_happened_after_now(crm):
    now = datetime.fromisoformat(NOW)
    tables = json.loads(generated(crm))["tables"]
    for name, rows in tables.items():
        for row in rows:
            one = row["fields"]
            for key in (
                "add_time",
                "update_time",
                "createdate",
                "hs_createdate",
                "hs_lastmodifieddate",
                "lastmodifieddate",
            ):
                if one.get(key):
                    assert datetime.fromisoformat(one[key]) <= now, (name, row["id"], key)


@both
def test_addresses_lead_nowhere(crm):
    """Invented people must not get mail: all addresses are below .example, which nobody can own."""
    found = set(re.findall(r"[\w.+-]+@([\w.-]+)", generated(crm).decode()))
    assert {domain for domain in found if not domain.endswith(".example")} == set()
