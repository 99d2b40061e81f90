"""Failure on demand, tokens, and what the sandbox tells about the requests it got."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest
import requests

PATHS = {"pipedrive": "api/v2/deals", "hubspot": "crm/objects/2026-09/deals"}
both = pytest.mark.parametrize("crm", PATHS)


@both
@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_the_next_calls_fail_as_often_as_ordered(own_crms, crm, status):
    own_crms.sandbox.fail(crm, status, count=2)
    statuses = [own_crms.call(crm, PATHS[crm]).status_code for _ in range(3)]
    assert statuses == [status, status, 200]


@both
def test_a_failure_without_count_lasts_until_it_is_taken_away(own_crms, crm):
    own_crms.control("POST", "faults", {"crm": crm, "status": 500})
    assert {own_crms.call(crm, PATHS[crm]).status_code for _ in range(5)} == {500}
    own_crms.sandbox.heal()
    assert own_crms.call(crm, PATHS[crm]).status_code == 200


@both
def test_down_cuts_the_line_without_an_answer(own_crms, crm):
    own_crms.sandbox.fail(crm, "down")
    with pytest.raises(requests.ConnectionError):
        own_crms.call(crm, PATHS[crm])
    assert own_crms.call(crm, PATHS[crm]).status_code == 200


@both
def test_a_failure_keeps_to_its_crm_and_path(own_crms, crm):
    other = "hubspot" if crm == "pipedrive" else "pipedrive"
    own_crms.sandbox.fail(crm, 500, path="nowhere")
    assert own_crms.call(crm, PATHS[crm]).status_code == 200
    own_crms.sandbox.heal()
    own_crms.sandbox.fail(crm, 500, path="deals")
    assert own_crms.call(other, PATHS[other]).status_code == 200
    assert own_crms.call(crm, PATHS[crm]).status_code == 500


def test_a_blocked_client_sees_a_page_of_the_gateway(own_crms):
    own_crms.sandbox.fail("pipedrive", "html403")
    answer = own_crms.call("pipedrive", PATHS["pipedrive"])
    assert (answer.status_code, answer.headers["Content-Type"]) == (403, "text/html; charset=UTF-8")
    with pytest.raises(requests.JSONDecodeError):
        answer.json()


@both
def test_an_answer_may_be_cut_truncated_empty_or_slow(own_crms, crm):
    whole = own_crms.call(crm, PATHS[crm])
    own_crms.sandbox.fail(crm, "cut")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        own_crms.call(crm, PATHS[crm])
    own_crms.sandbox.fail(crm, "truncated")
    assert own_crms.call(crm, PATHS[crm]).content == whole.content[: len(whole.content) // 2]
    own_crms.sandbox.fail(crm, "empty")
    empty = own_crms.call(crm, PATHS[crm])
    assert (empty.status_code, empty.json().get("data"), empty.json().get("results", [])) == (200, None, [])
    own_crms.sandbox.fail(crm, "slow", seconds=0.2)
    slow = own_crms.call(crm, PATHS[crm])
    assert slow.elapsed >= timedelta(seconds=0.2)
    assert slow.json() == whole.json()


def test_a_share_of_the_calls_fails_and_always_the_same_ones(own_crms):
    rounds = []
    for seed in (1, 1, 2):
        own_crms.sandbox.fail("hubspot", 500, count=None, share=0.5, seed=seed)
        rounds.append([own_crms.call("hubspot", PATHS["hubspot"]).status_code for _ in range(20)])
        own_crms.sandbox.heal()
    assert rounds[0] == rounds[1] != rounds[2]
    assert {*rounds[0]} == {200, 500}


@both
@pytest.mark.parametrize("skew", [-3600, 3600])
def test_a_clock_may_be_wrong_in_answers_and_in_times_of_change(own_crms, crm, skew):
    own_crms.sandbox.clock(crm, skew=skew)
    there = datetime.now(UTC) + timedelta(seconds=skew)
    told = parsedate_to_datetime(own_crms.call(crm, PATHS[crm]).headers["Date"])
    assert abs(told - there) < timedelta(seconds=5)
    id = own_crms.control("POST", f"{crm}/deals", {})["id"]
    [deal] = [row["fields"] for row in own_crms.sandbox.raw(crm)["tables"]["deals"] if row["id"] == id]
    changed = deal.get("update_time") or deal["hs_lastmodifieddate"]
    assert abs(datetime.fromisoformat(changed) - there) < timedelta(seconds=5)


@both
@pytest.mark.parametrize(("age", "late", "shown"), [(0, 0, True), (585, 600, False), (601, 600, True), (0, 600, False)])
def test_a_change_is_found_late_by_what_asks_for_changes_and_at_once_by_the_rest(own_crms, crm, age, late, shown):
    at = datetime.now(UTC) - timedelta(seconds=age)
    id = own_crms.control("POST", f"{crm}/deals", {"at": at.isoformat()})["id"]
    own_crms.sandbox.clock(crm, late=late)
    since = (at - timedelta(seconds=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    if crm == "pipedrive":
        changed = own_crms.pipedrive("deals", updated_since=since)["data"]
        listed = own_crms.pipedrive("deals", ids=id)["data"]
    else:
        filters = [{"propertyName": "hs_lastmodifieddate", "operator": "GTE", "value": since}]
        changed = own_crms.hubspot("objects/2026-09/deals/search", {"filterGroups": [{"filters": filters}]})["results"]
        listed = own_crms.all_hubspot("deals", limit=100)
    assert (str(id) in [str(deal["id"]) for deal in changed]) == shown
    assert str(id) in [str(deal["id"]) for deal in listed]


@pytest.mark.parametrize("clock", [{"late": -1}, {"skew": "much"}, {"pace": 1}])
def test_a_clock_that_makes_no_sense_is_refused(own_crms, clock):
    assert "error" in own_crms.control("POST", "hubspot/clock", clock, status=400)


def test_burst_and_day_can_be_told_apart_at_pipedrive(own_crms):
    own_crms.sandbox.fail("pipedrive", 429)
    burst = own_crms.call("pipedrive", PATHS["pipedrive"]).headers
    assert (burst["x-ratelimit-remaining"], burst["Retry-After"]) == ("0", "1")
    own_crms.sandbox.fail("pipedrive", 429, daily=True)
    day = own_crms.call("pipedrive", PATHS["pipedrive"]).headers
    assert (day["x-daily-ratelimit-token-remaining"], day.get("Retry-After")) == ("0", None)


def test_burst_and_day_can_be_told_apart_at_hubspot(own_crms):
    policies = []
    for daily in (False, True):
        own_crms.sandbox.fail("hubspot", 429, daily=daily)
        policies.append(own_crms.call("hubspot", PATHS["hubspot"]).json()["policyName"])
    assert policies == ["TEN_SECONDLY_ROLLING", "DAILY"]


@pytest.mark.parametrize(
    "fault",
    [
        {},
        {"crm": "salesforce", "status": 500},
        {"crm": "hubspot", "status": 200},
        {"crm": "hubspot", "status": "odd"},
        {"crm": "hubspot", "status": 500, "share": 0},
        {"crm": "hubspot", "status": "slow", "seconds": 301},
    ],
)
def test_a_failure_that_makes_no_sense_is_refused(own_crms, fault):
    assert "error" in own_crms.control("POST", "faults", fault, status=400)


@pytest.mark.parametrize("headers", [{}, {"x-api-token": "wrong"}, {"Authorization": "Bearer sandbox-hubspot-token"}])
def test_pipedrive_refuses_other_tokens(crms, headers):
    answer = crms.call("pipedrive", PATHS["pipedrive"], headers=headers)
    assert (answer.status_code, answer.json()["errorCode"]) == (401, 401)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "sandbox-hubspot-token"}, {"Authorization": "Bearer x"}])
def test_hubspot_refuses_other_tokens(crms, headers):
    answer = crms.call("hubspot", PATHS["hubspot"], headers=headers)
    assert (answer.status_code, answer.json()["category"]) == (401, "INVALID_AUTHENTICATION")


def test_a_limited_pipedrive_token_sees_no_deals(crms):
    limited = {"x-api-token": "sandbox-pipedrive-token-limited"}
    assert crms.call("pipedrive", "api/v1/users/me", headers=limited).status_code == 200
    assert crms.call("pipedrive", "api/v2/deals", headers=limited).status_code == 403


def test_a_limited_hubspot_token_sees_no_deals_and_no_emails(crms):
    limited = {"Authorization": "Bearer sandbox-hubspot-token-limited"}
    assert crms.call("hubspot", "account-info/2026-09/details", headers=limited).status_code == 200
    assert crms.call("hubspot", "crm/objects/2026-09/contacts", headers=limited).status_code == 200
    for path in ("objects/2026-09/deals", "objects/2026-09/emails", "objects/2026-09/emails/search"):
        body = {} if path.endswith("search") else None
        answer = crms.call("hubspot", f"crm/{path}", body, headers=limited)
        assert (answer.status_code, answer.json()["category"]) == (403, "MISSING_SCOPES")


def test_requests_are_told_with_query_body_and_status(own_crms):
    own_crms.sandbox.fail("hubspot", "down", path="search")
    own_crms.pipedrive("deals", limit=3)
    with pytest.raises(requests.ConnectionError):
        own_crms.hubspot("objects/2026-09/deals/search", {"after": "40"})
    own_crms.call("hubspot", "crm/objects/2026-09/unicorns")
    told = own_crms.control("GET", "requests")
    seen = [(one["method"], one["path"], one["query"], one["status"]) for one in told["requests"]]
    assert seen == [
        ("GET", "/pipedrive/api/v2/deals", {"limit": "3"}, 200),
        ("POST", "/hubspot/crm/objects/2026-09/deals/search", {}, "down"),
        ("GET", "/hubspot/crm/objects/2026-09/unicorns", {}, 400),
    ]
    assert '"after": "40"' in told["requests"][1]["body"]
    assert (told["total"], told["counts"]["/pipedrive/api/v2/deals"]) == (3, 1)
    own_crms.sandbox.forget_requests()
    assert own_crms.sandbox.requests() == []


def test_nothing_is_below_other_paths(crms):
    assert requests.get(f"{crms.sandbox.url}/salesforce/x", timeout=5).status_code == 404
    assert "error" in crms.control("GET", "nonsense", status=404)
