"""What the CRMs tell of single deals: in the published shape, and in agreement with the deals."""

import pytest

from tests.crm_sandbox.shapes import differences, published

EMPTY = {
    # nobody has mailed or met these people yet, they have no picture, and Pipedrive counts what nobody needs
    "participants": "person.next_activity_date person.next_activity_id person.last_activity_id "
    "person.last_activity_date person.org_id person.org_name person.label",
    "mailMessages": "data.from[].linked_person_id data.to[].linked_person_id data.cc[].linked_person_id "
    "data.mail_tracking_status data.template_id",
    "changelog": "old_value new_value",
}


def ids(crms):
    return [deal["id"] for deal in crms.all_pipedrive("deals", limit=500)]


def pages(crms, what):
    return [crms.pipedrive(f"deals/{id}/{what}", version="v1", limit=500) for id in ids(crms)[:120]]


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("v1_deal_participants", "participants"),
        ("v1_deal_mail_messages", "mailMessages"),
        ("v1_deal_changelog", "changelog"),
    ],
)
def test_what_is_told_of_a_deal_has_the_published_shape(crms, name, what):
    theirs = published("pipedrive", name)
    nullable = {f"data[].{key}" for key in EMPTY[what].split()} | {"additional_data.next_cursor"}
    related = [f"related_objects.{kind}" for kind in ("user", "person", "organization")]
    found = differences(theirs, pages(crms, what), nullable, related)
    # Types that a key never has here, and what only a longer page has (below).
    left = {path for path, why in found.items() if not why.startswith("never")}
    assert {path for path in left if "bcc" not in path} <= {"additional_data.next_cursor"}


def test_lists_of_v1_go_on_at_their_next_start(crms):
    id = next(id for id in ids(crms) if len(crms.pipedrive(f"deals/{id}/participants", version="v1")["data"]) > 1)
    whole = crms.pipedrive(f"deals/{id}/participants", version="v1")
    assert whole["additional_data"]["pagination"] == {"start": 0, "limit": 100, "more_items_in_collection": False}
    found, start = [], 0
    while start is not None:
        page = crms.pipedrive(f"deals/{id}/participants", version="v1", limit=1, start=start)
        found += page["data"]
        start = page["additional_data"]["pagination"].get("next_start")
    assert found == whole["data"]


def test_a_changelog_goes_on_at_its_cursor(crms):
    id = next(id for id in ids(crms) if len(crms.pipedrive(f"deals/{id}/changelog", version="v1")["data"]) > 2)
    whole = crms.pipedrive(f"deals/{id}/changelog", version="v1")
    first = crms.pipedrive(f"deals/{id}/changelog", version="v1", limit=2)
    cursor = first["additional_data"]["next_cursor"]
    assert cursor
    rest = crms.pipedrive(f"deals/{id}/changelog", version="v1", cursor=cursor)
    assert first["data"] + rest["data"] == whole["data"]
    times = [change["time"] for change in whole["data"]]
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize(("limit", "status"), [("0", 400), ("1", 200), ("500", 200), ("501", 400), ("x", 400)])
@pytest.mark.parametrize("what", ["participants", "mailMessages", "changelog"])
def test_a_page_has_at_most_five_hundred(crms, what, limit, status):
    path = f"api/v1/deals/{ids(crms)[0]}/{what}"
    assert crms.call("pipedrive", path, limit=limit).status_code == status


@pytest.mark.parametrize("id", ["1", "x"])
def test_a_deal_that_is_not_there_has_no_changelog(crms, id):
    assert crms.call("pipedrive", f"api/v1/deals/{id}/changelog").status_code == 404


@pytest.mark.parametrize(("what", "tokens"), [("participants", 10), ("mailMessages", 20), ("changelog", 20)])
def test_each_costs_what_is_published(own_crms, what, tokens):
    before = own_crms.sandbox.limits("pipedrive")["spent"]
    own_crms.pipedrive(f"deals/{ids(own_crms)[0]}/{what}", version="v1")
    assert own_crms.sandbox.limits("pipedrive")["spent"] == before + 10 + tokens  # with the list of deals


def test_changelogs_end_in_what_the_deals_are(crms):
    fields = {
        "stage_id": "stage_id",
        "value": "value",
        "expected_close_date": "expected_close_date",
        "status": "status",
    }
    seen = dict.fromkeys(fields, 0)
    for deal in crms.all_pipedrive("deals", limit=500)[:200]:
        last = {}
        for change in crms.pipedrive(f"deals/{deal['id']}/changelog", version="v1")["data"]:
            if change["field_key"] == "stage_id" and "stage_id" not in last:
                assert change["time"] == deal["stage_change_time"][:19].replace("T", " ")
            last.setdefault(change["field_key"], change["new_value"])
        for key in fields:
            if key in last:
                seen[key] += 1
                assert last[key] == str(deal[key]), (deal["id"], key)
    assert min(seen.values()) > 5


def test_participants_are_those_that_the_deal_counts(crms):
    more = 0
    for deal in crms.all_pipedrive("deals", limit=500, include_fields="participants_count")[:100]:
        people = [p["person_id"]["value"] for p in crms.pipedrive(f"deals/{deal['id']}/participants", "v1")["data"]]
        assert len(people) == deal["participants_count"]
        assert deal["person_id"] in people or not people
        more += len(people) > 1
    assert more > 50


def test_mail_has_parties_whom_the_crm_does_not_know_and_some_is_private(crms):
    unknown = private = 0
    for deal in crms.all_pipedrive("deals", limit=500, include_fields="email_messages_count")[:150]:
        mails = crms.pipedrive(f"deals/{deal['id']}/mailMessages", "v1")["data"]
        private += deal["email_messages_count"] - len(mails)
        for mail in mails:
            parties = [party for role in ("from", "to", "cc") for party in mail["data"][role]]
            unknown += any(party["email_address"].endswith(("durand.example", "ailleurs.example")) for party in parties)
    assert min(unknown, private) > 3


def test_a_change_is_kept_in_the_changelog(own_crms):
    id = ids(own_crms)[0]
    before = own_crms.pipedrive(f"deals/{id}/changelog", version="v1")["data"]
    at = "2026-11-22T08:00:00Z"
    own_crms.sandbox.change("pipedrive", "deals", str(id), {"amount": 4711, "title": "New", "at": at})
    after = own_crms.pipedrive(f"deals/{id}/changelog", version="v1")["data"]
    assert {(c["field_key"], c["new_value"], c["time"]) for c in after[: len(after) - len(before)]} == {
        ("value", "4711", "2026-11-22 08:00:00"),
        ("title", "New", "2026-11-22 08:00:00"),
    }
    assert after[len(after) - len(before) :] == before


@pytest.mark.parametrize(("count", "status"), [(50, 200), (51, 400)])
def test_hubspot_reads_at_most_fifty_with_their_histories(own_crms, count, status):
    names = {"inputs": [{"id": str(n)} for n in range(count)], "propertiesWithHistory": ["dealstage"]}
    answer = own_crms.call("hubspot", "crm/objects/2026-09/deals/batch/read", names)
    assert answer.status_code in ((200, 207) if status == 200 else (400,))
    assert own_crms.call("hubspot", "crm/objects/2026-09/deals", limit=count, propertiesWithHistory="dealstage").ok == (
        status == 200
    )


def test_hubspots_histories_end_in_what_the_deals_are(crms):
    seen = dict.fromkeys(("dealstage", "amount", "closedate"), 0)
    names = ",".join(seen)
    for deal in crms.all_hubspot("deals", limit=50, properties=names, propertiesWithHistory=names):
        for name, versions in (deal.get("propertiesWithHistory") or {}).items():
            assert (versions[0]["value"] or None) == (deal["properties"][name] or None)
            times = [version["timestamp"] for version in versions]
            assert times == sorted(times, reverse=True)
            seen[name] += len(versions) > 1
    assert min(seen.values()) > 20


def test_a_change_is_kept_in_hubspots_history(own_crms):
    [deal] = own_crms.hubspot("objects/2026-09/deals", limit=1)["results"]
    own_crms.sandbox.change("hubspot", "deals", deal["id"], {"amount": 4711, "close_date": "2027-01-05"})
    own_crms.sandbox.change("hubspot", "deals", deal["id"], {"amount": None})
    one = own_crms.hubspot(f"objects/2026-09/deals/{deal['id']}", propertiesWithHistory="amount,closedate")
    amounts = [version["value"] for version in one["propertiesWithHistory"]["amount"]]
    assert amounts[:2] == ["", "4711"]
    assert one["propertiesWithHistory"]["closedate"][0]["value"].startswith("2027-01-05")
