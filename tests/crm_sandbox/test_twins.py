"""Under the addresses and in the shapes of before, the rows say what they say under the present ones."""

from typing import Any

import pytest

from tests.crm_sandbox.shapes import published, type_of

SINCE = "1970-01-01 00:00:00"


def pages(crms: Any, path: str, **query: Any) -> list[dict[str, Any]]:
    """As connectors ask: the token in the address, by `start`."""
    found: list[dict[str, Any]] = []
    query = {"api_token": "sandbox-pipedrive-token", "limit": 37, **query}
    while True:
        answer = crms.call("pipedrive", f"v1/{path}", headers={}, **query).json()
        assert answer["success"] is True
        found += answer["data"] or []
        paging = answer["additional_data"]["pagination"]
        if not paging["more_items_in_collection"]:
            assert "next_start" not in paging
            return found
        assert len(answer["data"]) == 37
        query["start"] = paging["next_start"]


def now(moment: str | None) -> str | None:
    return moment and moment.replace(" ", "T") + "Z"


def every(crms: Any, name: str) -> dict[int, dict[str, Any]]:
    rows = crms.all_pipedrive(name, limit=500)
    if name == "deals":
        rows += crms.all_pipedrive("deals/archived", limit=500)
    return {row["id"]: row for row in rows}


@pytest.mark.parametrize(
    ("name", "same", "times"),
    [
        (
            "deals",
            ["title", "value", "currency", "status", "stage_id", "pipeline_id", "expected_close_date"],
            "stage_change",
        ),
        ("deals", ["probability", "lost_reason"], "close"),
        ("persons", ["name", "first_name", "last_name"], "update"),
        ("organizations", ["name"], "update"),
        ("activities", ["subject", "type", "done", "due_date", "deal_id", "person_id", "org_id"], "marked_as_done"),
        ("pipelines", ["name", "order_nr"], "update"),
        ("stages", ["name", "order_nr", "pipeline_id", "deal_probability"], "update"),
    ],
)
def test_v1_lists_the_same_rows_page_by_page(crms, name, same, times):
    theirs, ours = every(crms, name), pages(crms, name)
    assert [row["id"] for row in ours] == sorted(theirs)
    for row in ours:
        present = theirs[row["id"]]
        assert {key: row[key] for key in same} == {key: present[key] for key in same}
        for time in ("add", "update", times):
            assert now(row[f"{time}_time"]) == present[f"{time}_time"]


def test_v1_names_what_v2_points_to_and_writes_custom_fields_beside_the_others(crms):
    deals, persons, companies = (every(crms, name) for name in ("deals", "persons", "organizations"))
    for row in pages(crms, "deals"):
        present = deals[row["id"]]
        assert (row["user_id"] or {}).get("value") == present["owner_id"]
        assert (row["person_id"] or {}).get("value") == present["person_id"]
        assert row["person_name"] == (present["person_id"] and persons[present["person_id"]]["name"])
        assert row["org_name"] == (present["org_id"] and companies[present["org_id"]]["name"])
        assert present["custom_fields"].keys() <= row.keys()
        assert "custom_fields" not in row
        assert (row["active"], row["deleted"]) == (present["status"] == "open", False)
    for row in pages(crms, "persons"):
        present = persons[row["id"]]
        assert [one["value"] for one in row["email"]] == ([one["value"] for one in present["emails"]] or [""])
        for code, value in present["custom_fields"].items():
            assert row[code] == (str(value) if isinstance(value, int) else value)
    for row in pages(crms, "activities"):
        assert row["due_time"] in ("", row["due_time"][:2] + ":" + row["due_time"][3:])


def test_v1_tells_fields_as_it_did(crms):
    present = crms.all_pipedrive("personFields")
    for theirs, ours in zip(present, pages(crms, "personFields"), strict=True):
        assert (ours["key"], ours["name"]) == (theirs["field_code"], theirs["field_name"])
        assert (ours["edit_flag"], ours.get("options")) == (theirs["is_custom_field"], theirs["options"])


def test_recents_tell_the_same_rows_and_what_changed_since_a_moment(crms):
    names = {"deal": "deals", "person": "persons", "activity": "activities", "stage": "stages"}
    told = pages(crms, "recents", items=",".join(names), since_timestamp=SINCE)
    for item, name in names.items():
        assert [one["data"] for one in told if one["item"] == item] == pages(crms, name)
    times = sorted(one["data"]["update_time"] for one in told if one["item"] == "deal")
    middle = times[len(times) // 2]
    recent = pages(crms, "recents", items="deal", since_timestamp=middle)
    assert sorted(one["data"]["update_time"] for one in recent) == [time for time in times if time >= middle]
    [user, *_] = pages(crms, "recents", items="user", since_timestamp=SINCE)
    assert user["data"][0]["email"]
    assert crms.call("pipedrive", "v1/recents", since_timestamp="yesterday").status_code == 400


def test_a_v1_activity_has_the_published_types(crms):
    [example, *_] = [one["data"] for one in published("pipedrive", "v1_recents")["data"] if one["item"] == "activity"]
    ours = pages(crms, "activities")
    shared = example.keys() & ours[0].keys()
    assert shared >= {"id", "user_id", "done", "type", "due_date", "due_time", "duration", "busy_flag", "active_flag"}
    for key in shared:
        served = {type_of(row[key]) for row in ours} - {"null"}
        assert example[key] is None or served <= {type_of(example[key])}, key


def test_v1_is_asked_with_a_token_and_for_what_there_is(crms):
    def status(path: str, token: str = "sandbox-pipedrive-token", **query: Any) -> int:
        return crms.call("pipedrive", path, headers={}, api_token=token, **query).status_code

    [first, *_] = every(crms, "deals")
    assert status("v1/deals", "wrong") == 401
    assert status(f"v1/deals/{first}") == status(f"api/v1/deals/{first}") == status("v1/users") == 200
    assert status("v1/deals/999999999") == status("v1/nonsense") == 404
    assert status("v1/deals", start=-1) == status("v1/deals", limit=0) == 400
    assert crms.call("pipedrive", "v1/notes").json()["data"] is None
    # What connectors send to v2 beside what it knows.
    assert status("api/v2/persons", include_fields="open_deals_count,participant_open_deals_count", start=0) == 200


@pytest.mark.parametrize(
    ("old", "present"),
    [
        ("v3/objects/deals", "objects/2026-09/deals"),
        ("v3/objects/contacts", "objects/2026-09/contacts"),
        ("v3/owners/", "owners/2026-09"),
        ("v3/properties/deals", "properties/2026-09/deals"),
        ("v3/pipelines/deals", "pipelines/2026-09/deals"),
        ("v4/associations/deals/contacts/labels", "associations/2026-09/deals/contacts/labels"),
    ],
)
def test_hubspots_older_addresses_give_the_same_answers(crms, old, present):
    query = {"limit": 7} if "objects" in old else {}
    told = crms.hubspot(old, **query)
    assert told["results"] == crms.hubspot(present, **query)["results"] != []
    if query:
        after = told["paging"]["next"]["after"]
        assert (
            crms.hubspot(old, **query, after=after)["results"] == crms.hubspot(present, **query, after=after)["results"]
        )


def test_hubspots_v4_tells_associations_by_number(crms):
    ids = [{"id": deal["id"]} for deal in crms.hubspot("objects/2026-09/deals", limit=40)["results"]]
    asked = {"inputs": ids}
    present = crms.call("hubspot", "crm/associations/2026-09/deals/contacts/batch/read", asked).json()["results"]
    old = crms.call("hubspot", "crm/v4/associations/deals/contacts/batch/read", asked).json()["results"]
    for one in present:
        for to in one["to"]:
            to["toObjectId"] = int(to["toObjectId"])
    assert old == present != []
    single = crms.hubspot(f"v4/objects/deals/{old[0]['from']['id']}/associations/contacts")
    assert single["results"] == old[0]["to"]
    assert crms.hubspot("v4/objects/deals/999999999/associations/contacts") == {"results": []}
    assert (
        crms.call("hubspot", "crm/v3/objects/deals", headers={"Authorization": "Bearer x-limited"}).status_code == 403
    )
