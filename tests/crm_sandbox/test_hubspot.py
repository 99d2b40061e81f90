"""HubSpot as the sandbox speaks it: lists, searches, batches, associations, errors."""

from datetime import UTC, datetime

import pytest

OBJECTS = ["deals", "contacts", "companies", "calls", "emails", "meetings", "communications"]
MODIFIED = {"contacts": "lastmodifieddate"}


def where(name, operator, value=None, **more):
    return {"propertyName": name, "operator": operator, **({} if value is None else {"value": value}), **more}


def search(crms, kind, *filters, status=200, **more):
    body = {"filterGroups": [{"filters": list(filters)}] if filters else [], **more}
    return crms.hubspot(f"objects/2026-09/{kind}/search", body, status=status)


def milliseconds(text):
    return int(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize("kind", OBJECTS)
@pytest.mark.parametrize("limit", [17, 100])
def test_pages_of_any_size_hold_every_record_once(crms, kind, limit):
    ids = [int(one["id"]) for one in crms.all_hubspot(kind, limit=limit)]
    assert ids == sorted(set(ids))
    assert len(ids) == search(crms, kind)["total"]


def test_a_page_holds_10_records_when_no_limit_is_given(crms):
    assert len(crms.hubspot("objects/2026-09/deals")["results"]) == 10


@pytest.mark.parametrize("query", [{"limit": "101"}, {"limit": "0"}, {"after": "x"}, {"archived": "maybe"}])
def test_what_a_list_does_not_take_is_refused(crms, query):
    answer = crms.call("hubspot", "crm/objects/2026-09/deals", **query)
    assert (answer.status_code, answer.json()["category"]) == (400, "VALIDATION_ERROR")


def test_a_page_with_history_is_smaller(crms):
    asked = {"propertiesWithHistory": "dealstage"}
    assert crms.call("hubspot", "crm/objects/2026-09/deals", limit="51", **asked).status_code == 400
    for deal in crms.hubspot("objects/2026-09/deals", limit=50, properties="dealstage", **asked)["results"]:
        if deal["properties"]["dealstage"]:
            newest, *older = deal["propertiesWithHistory"]["dealstage"]
            assert newest["value"] == deal["properties"]["dealstage"]
            assert all(one["timestamp"] < newest["timestamp"] for one in older)


def test_properties_are_those_asked_for_and_unknown_ones_are_left_out(crms):
    asked = {"properties": "dealname,hs_is_closed,no_such_property,hs_next_step"}
    for deal in crms.hubspot("objects/2026-09/deals", limit=100, **asked)["results"]:
        assert sorted(deal["properties"]) == [
            "createdate", "dealname", "hs_is_closed", "hs_lastmodifieddate", "hs_next_step", "hs_object_id",
        ]  # fmt: skip


@pytest.mark.parametrize("kind", OBJECTS)
def test_every_value_is_text_or_null(crms, kind):
    names = ",".join(one["name"] for one in crms.hubspot(f"properties/2026-09/{kind}")["results"])
    for record in crms.all_hubspot(kind, limit=100, properties=names):
        assert {type(value) for value in record["properties"].values()} <= {str, type(None)}
        assert set(record["properties"]) == set(names.split(","))


def test_archived_records_are_listed_only_when_asked_for(crms):
    archived = crms.all_hubspot("deals", limit=100, archived="true")
    assert archived
    assert all(one["archived"] and one["archivedAt"] for one in archived)
    living = {one["id"] for one in crms.all_hubspot("deals", limit=100)}
    assert living.isdisjoint(one["id"] for one in archived)
    gone = archived[0]["id"]
    assert crms.call("hubspot", f"crm/objects/2026-09/deals/{gone}").status_code == 404
    assert crms.hubspot(f"objects/2026-09/deals/{gone}", archived="true")["id"] == gone
    assert search(crms, "deals", where("hs_object_id", "EQ", gone))["total"] == 0


def test_object_types_may_be_named_by_number(crms):
    by_name, by_number = (crms.hubspot(f"objects/2026-09/{kind}", limit=5) for kind in ("deals", "0-3"))
    assert by_name["results"] == by_number["results"]
    assert crms.call("hubspot", "crm/objects/2026-09/unicorns").status_code == 400


def test_a_batch_answers_207_for_what_is_missing(crms):
    ids = [one["id"] for one in crms.hubspot("objects/2026-09/calls", limit=3)["results"]]
    body = {"inputs": [{"id": id} for id in [*ids, "4", "5"]], "properties": ["hs_call_title"]}
    answer = crms.hubspot("objects/2026-09/calls/batch/read", body, status=207)
    assert [one["id"] for one in answer["results"]] == ids
    assert answer["numErrors"] == 1
    assert (answer["errors"][0]["category"], answer["errors"][0]["context"]) == (
        "OBJECT_NOT_FOUND",
        {"ids": ["4", "5"]},
    )
    complete = crms.hubspot("objects/2026-09/calls/batch/read", {"inputs": body["inputs"][:3]})
    assert "errors" not in complete


@pytest.mark.parametrize(
    ("path", "size"),
    [("objects/2026-09/deals/batch/read", 101), ("associations/2026-09/deals/contacts/batch/read", 1001)],
)
def test_batches_have_a_limit(crms, path, size):
    inputs = [{"id": str(id)} for id in range(size)]
    assert crms.call("hubspot", f"crm/{path}", {"inputs": inputs}).status_code == 400
    assert crms.call("hubspot", f"crm/{path}", {"inputs": inputs[1:]}).status_code in (200, 207)


@pytest.mark.parametrize("body", [{}, {"inputs": "1"}, {"inputs": [1]}, [], "text"])
def test_a_batch_without_inputs_is_refused(crms, body):
    assert crms.call("hubspot", "crm/objects/2026-09/deals/batch/read", body).status_code == 400


@pytest.mark.parametrize("kind", OBJECTS)
def test_a_search_finds_what_changed_in_a_window(crms, kind):
    records = crms.all_hubspot(kind, limit=100)
    times = sorted(one["updatedAt"] for one in records)
    low, high = times[len(times) // 4], times[3 * len(times) // 4]
    name = MODIFIED.get(kind, "hs_lastmodifieddate")
    found = search(
        crms,
        kind,
        where(name, "GTE", str(milliseconds(low))),
        where(name, "LTE", str(milliseconds(high))),
        limit=200,
        sorts=[{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
    )
    expected = [one["id"] for one in records if low <= one["updatedAt"] <= high]
    assert [one["id"] for one in found["results"]] == expected[:200]
    assert found["total"] == len(expected)


def test_a_search_pages_by_id(crms):
    expected = [one["id"] for one in crms.all_hubspot("emails", limit=100)]
    found, last = [], "0"
    while page := search(
        crms,
        "emails",
        where("hs_lastmodifieddate", "GTE", "0"),
        where("hs_object_id", "GT", last),
        sorts=[{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
        limit=60,
    )["results"]:
        found += [one["id"] for one in page]
        last = found[-1]
    assert found == expected


def test_a_search_pages_by_offset(crms):
    found, after = [], {}
    while True:
        page = search(crms, "contacts", limit=77, **after)
        found += [one["id"] for one in page["results"]]
        if "paging" not in page:
            break
        after = {"after": page["paging"]["next"]["after"]}
    assert found == [one["id"] for one in crms.all_hubspot("contacts", limit=100)]


def test_search_filters_compare_values_by_their_type(crms):
    names = "amount,dealstage,hs_is_closed,closedate,closed_lost_reason"
    deals = [one | {"p": one["properties"]} for one in crms.all_hubspot("deals", limit=100, properties=names)]

    def expect(wanted, *filters):
        found = search(crms, "deals", *filters, limit=200)
        expected = [one["id"] for one in deals if wanted(one["p"])]
        assert 0 < len(expected) < len(deals)
        assert (found["total"], [one["id"] for one in found["results"]]) == (len(expected), expected[:200])

    now = str(int(datetime(2026, 11, 22, 9, tzinfo=UTC).timestamp() * 1000))
    expect(lambda p: float(p["amount"] or 0) > 9000, where("amount", "GT", "9000"))
    expect(lambda p: p["amount"] and float(p["amount"]) < 9000, where("amount", "LT", "9000"))
    expect(
        lambda p: p["amount"] and 5000 <= float(p["amount"]) <= 9000,
        where("amount", "BETWEEN", "5000", highValue="9000"),
    )
    expect(lambda p: p["hs_is_closed"] == "true", where("hs_is_closed", "EQ", "true"))
    stages = ["closedwon", "qualifiedtobuy"]
    expect(lambda p: p["dealstage"] in stages, where("dealstage", "IN", values=stages))
    expect(lambda p: p["dealstage"] not in stages, where("dealstage", "NOT_IN", values=stages))
    expect(
        lambda p: p["closedate"] and p["closedate"] < "2026-11-22T09", where("closedate", "LT", "2026-11-22T09:00:00Z")
    )
    expect(lambda p: p["closedate"] and p["closedate"] < "2026-11-22T09", where("closedate", "LT", now))
    expect(lambda p: p["closed_lost_reason"], where("closed_lost_reason", "HAS_PROPERTY"))


def test_groups_of_filters_are_alternatives(crms):
    body = {
        "filterGroups": [
            {"filters": [where("dealstage", "EQ", "closedwon")]},
            {"filters": [where("dealstage", "EQ", "closedlost")]},
        ]
    }
    both = crms.hubspot("objects/2026-09/deals/search", body)["total"]
    assert both == sum(
        search(crms, "deals", where("dealstage", "EQ", one))["total"] for one in ("closedwon", "closedlost")
    )


def test_a_search_by_association_finds_the_deals_of_a_contact(crms):
    deal = next(one for one in crms.hubspot("objects/2026-09/deals", associations="contacts")["results"])
    contact = deal["associations"]["contacts"]["results"][0]["id"]
    found = search(crms, "deals", where("associations.contact", "EQ", contact))
    assert deal["id"] in [one["id"] for one in found["results"]]


@pytest.mark.parametrize(
    "body",
    [
        {"limit": 201},
        {"after": "9901", "limit": 100},
        {"after": "10000"},
        {"filterGroups": [{"filters": []}] * 6},
        {"filterGroups": [{"filters": [where("hs_object_id", "GT", "1")] * 7}]},
        {"filterGroups": [{"filters": [where("hs_object_id", "GT", "1")] * 4}] * 5},
        {"sorts": ["createdate", "amount"]},
        {"filterGroups": [{"filters": [where("no_such_property", "EQ", "1")]}]},
        {"filterGroups": [{"filters": [where("createdate", "GTE", "soon")]}]},
        {"filterGroups": [{"filters": [where("createdate", "ALMOST", "1")]}]},
        {"properties": ["x" * 3000]},
    ],
    ids=str,
)
def test_what_a_search_does_not_take_is_refused(crms, body):
    answer = crms.call("hubspot", "crm/objects/2026-09/deals/search", body)
    assert (answer.status_code, answer.json()["category"]) == (400, "VALIDATION_ERROR")


def test_a_search_ends_at_its_ceiling(crms):
    assert crms.hubspot("objects/2026-09/deals/search", {"after": "9900", "limit": 100})["results"] == []


def test_associations_are_told_in_both_directions(crms):
    deals = [{"id": one["id"]} for one in crms.all_hubspot("deals", limit=100)]
    there = crms.hubspot("associations/2026-09/deals/contacts/batch/read", {"inputs": deals}, status=207)
    assert {one["subCategory"] for one in there["errors"]} == {"crm.associations.NO_ASSOCIATIONS_FOUND"}
    pairs = {(one["from"]["id"], str(to["toObjectId"])) for one in there["results"] for to in one["to"]}
    contacts = [{"id": id} for id in {contact for _, contact in pairs}]
    back = crms.hubspot("associations/2026-09/contacts/deals/batch/read", {"inputs": contacts[:1000]})
    assert {(str(to["toObjectId"]), one["from"]["id"]) for one in back["results"] for to in one["to"]} >= {
        pair for pair in pairs if {"id": pair[1]} in contacts[:1000]
    }
    for one in there["results"]:
        for to in one["to"]:
            assert {"category": "HUBSPOT_DEFINED", "typeId": 3, "label": None} in to["associationTypes"]


def test_labels_of_the_deals_are_among_the_labels_of_the_account(crms):
    known = {
        one["typeId"]: one["label"] for one in crms.hubspot("associations/2026-09/deals/contacts/labels")["results"]
    }
    deals = [{"id": one["id"]} for one in crms.all_hubspot("deals", limit=100)]
    answer = crms.hubspot("associations/2026-09/deals/contacts/batch/read", {"inputs": deals}, status=207)
    types = [kind for one in answer["results"] for to in one["to"] for kind in to["associationTypes"]]
    assert {kind["typeId"]: kind["label"] for kind in types}.items() <= known.items()
    assert {kind["label"] for kind in types} > {"Decision maker", "Champion", None}


def test_stages_of_the_deals_are_among_those_of_their_pipelines(crms):
    pipelines = {one["id"]: one for one in crms.hubspot("pipelines/2026-09/deals")["results"]}
    for deal in crms.all_hubspot("deals", limit=100, properties="pipeline,dealstage,hs_is_closed"):
        own = deal["properties"]
        if own["pipeline"] is None:
            continue
        [stage] = [one for one in pipelines[own["pipeline"]]["stages"] if one["id"] == own["dealstage"]]
        assert stage["metadata"]["isClosed"] == own["hs_is_closed"]


def test_owners_of_the_deals_are_listed_and_one_is_archived(crms):
    owners = [crms.hubspot("owners/2026-09", archived=archived)["results"] for archived in ("false", "true")]
    assert [len(one) for one in owners] == [5, 1]
    ids = {one["id"] for both in owners for one in both}
    for deal in crms.all_hubspot("deals", limit=100, properties="hubspot_owner_id"):
        assert deal["properties"]["hubspot_owner_id"] in ids | {None}


def test_owners_are_paged(crms):
    page = crms.hubspot("owners/2026-09", limit=3)
    rest = crms.hubspot("owners/2026-09", limit=3, after=page["paging"]["next"]["after"])
    assert len({one["id"] for one in page["results"] + rest["results"]}) == 5
    assert "paging" not in rest


def test_a_search_tells_no_limits_and_other_answers_do(crms):
    assert "X-HubSpot-RateLimit-Remaining" in crms.call("hubspot", "crm/objects/2026-09/deals").headers
    assert "X-HubSpot-RateLimit-Remaining" not in crms.call("hubspot", "crm/objects/2026-09/deals/search", {}).headers
