"""Pipedrive as the sandbox speaks it: pages, filters, errors."""

import re

import pytest

OBJECTS = ["deals", "persons", "organizations", "activities", "pipelines", "stages"]


@pytest.mark.parametrize("path", OBJECTS)
@pytest.mark.parametrize("limit", [1, 7, 100, 500])
def test_pages_of_any_size_hold_every_record_once(crms, path, limit):
    if limit == 1 and path in ("persons", "activities"):
        limit = 53  # a thousand calls would show nothing more
    ids = [one["id"] for one in crms.all_pipedrive(path, limit=limit)]
    assert ids == sorted(set(ids))
    assert ids == [one["id"] for one in crms.all_pipedrive(path, limit=500)]


def test_a_page_holds_100_records_when_no_limit_is_given(crms):
    assert len(crms.pipedrive("deals")["data"]) == 100


@pytest.mark.parametrize("limit", ["0", "501", "-1", "many"])
def test_limits_out_of_bounds_are_refused(crms, limit):
    answer = crms.call("pipedrive", "api/v2/deals", limit=limit)
    assert (answer.status_code, answer.json()["code"]) == (400, "ERR_SCHEMA_VALIDATION_FAILED")


def test_a_cursor_of_another_order_is_refused(crms):
    cursor = crms.pipedrive("deals", limit=5)["additional_data"]["next_cursor"]
    assert crms.call("pipedrive", "api/v2/deals", cursor=cursor, sort_by="update_time").status_code == 400
    assert crms.call("pipedrive", "api/v2/deals", cursor="nonsense").status_code == 400


@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize("field", ["id", "update_time", "add_time"])
def test_deals_come_in_the_order_asked_for(crms, field, direction):
    found = crms.all_pipedrive("deals", sort_by=field, sort_direction=direction, limit=37)
    assert len({one["id"] for one in found}) == len(found) == len(crms.all_pipedrive("deals", limit=500))
    assert found == sorted(found, key=lambda one: (one[field], one["id"]), reverse=direction == "desc")


def test_updated_since_is_inclusive_and_updated_until_is_not(crms):
    deals = crms.all_pipedrive("deals", limit=500)
    moment = sorted(one["update_time"] for one in deals)[len(deals) // 2]
    later = {one["id"] for one in crms.all_pipedrive("deals", updated_since=moment)}
    earlier = {one["id"] for one in crms.all_pipedrive("deals", updated_until=moment)}
    assert later == {one["id"] for one in deals if one["update_time"] >= moment}
    assert earlier == {one["id"] for one in deals if one["update_time"] < moment}


@pytest.mark.parametrize("moment", ["2026-11-01T10:20:00.000Z", "2026-11-01T10:20:00", "2026-11-01", "yesterday"])
def test_updated_since_takes_whole_seconds_only(crms, moment):
    answer = crms.call("pipedrive", "api/v2/deals", updated_since=moment)
    assert (answer.status_code, answer.json()["code"]) == (400, "ERR_SCHEMA_VALIDATION_FAILED")


def test_an_unknown_parameter_is_refused_by_its_name(crms):
    answer = crms.call("pipedrive", "api/v2/deals", start=0)
    assert answer.status_code == 400
    assert answer.json()["error"] == "Validation failed: start: Parameter 'start' is not allowed for this request"


def test_deals_are_filtered_by_status(crms):
    everything = crms.all_pipedrive("deals", limit=500)
    for status in ("open", "won", "lost"):
        found = crms.all_pipedrive("deals", status=status)
        assert found == [one for one in everything if one["status"] == status] != []
    both = crms.all_pipedrive("deals", status="won,lost")
    assert {one["status"] for one in both} == {"won", "lost"}
    assert crms.call("pipedrive", "api/v2/deals", status="opened").status_code == 400


def test_deleted_deals_are_listed_only_when_asked_for(crms):
    deleted = crms.all_pipedrive("deals", status="deleted")
    assert deleted
    assert all(one["is_deleted"] for one in deleted)
    assert not any(one["is_deleted"] for one in crms.all_pipedrive("deals"))


def test_archived_deals_are_in_their_own_list_only(crms):
    archived = {one["id"] for one in crms.all_pipedrive("deals/archived")}
    assert archived
    assert archived.isdisjoint(one["id"] for one in crms.all_pipedrive("deals"))
    assert crms.pipedrive(f"deals/{min(archived)}")["data"]["is_archived"]


def test_ids_that_are_gone_are_left_out(crms):
    some = [one["id"] for one in crms.pipedrive("persons", limit=3)["data"]]
    found = crms.pipedrive("persons", ids=",".join(map(str, [*some, 999_999])))["data"]
    assert [one["id"] for one in found] == some
    assert crms.call("pipedrive", "api/v2/persons", ids=",".join(map(str, range(101)))).status_code == 400


def test_activities_are_filtered_by_deal_person_and_done(crms):
    everything = crms.all_pipedrive("activities", limit=500)
    sample = next(one for one in everything if one["person_id"] and one["done"])
    for name in ("deal_id", "person_id", "owner_id"):
        expected = [one for one in everything if one[name] == sample[name]]
        assert crms.all_pipedrive("activities", **{name: sample[name]}) == expected
    undone = crms.all_pipedrive("activities", done="false")
    assert undone == [one for one in everything if not one["done"]] != []
    assert crms.call("pipedrive", "api/v2/activities", done="no").status_code == 400


def test_persons_of_a_deal_are_its_participants(crms):
    deal = next(one for one in crms.all_pipedrive("deals", status="open") if one["person_id"])
    people = crms.all_pipedrive("persons", deal_id=deal["id"])
    assert deal["person_id"] in [one["id"] for one in people]
    assert len(people) > 1


def test_attendees_come_only_when_asked_for(crms):
    [plain] = crms.pipedrive("activities", limit=1)["data"]
    assert "attendees" not in plain
    found = crms.all_pipedrive("activities", include_fields="attendees", limit=500)
    assert all(isinstance(one["attendees"], list) for one in found)
    assert {a["status"] for one in found for a in one["attendees"]} == {"accepted", "declined", "noreply"}
    one = crms.pipedrive(f"activities/{plain['id']}", include_fields="attendees")["data"]
    assert one == found[0]


def test_mail_times_come_only_when_asked_for(crms):
    [plain] = crms.pipedrive("deals", limit=1)["data"]
    assert "last_incoming_mail_time" not in plain
    asked = "last_incoming_mail_time,last_outgoing_mail_time"
    found = crms.all_pipedrive("deals", include_fields=asked, limit=500)
    for name in asked.split(","):
        times = [one[name] for one in found]
        assert any(times)
        assert all(time is None or re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", time) for time in times)
    assert crms.call("pipedrive", "api/v2/deals", include_fields="rotten_time").status_code == 400


def test_custom_fields_are_chosen_and_labelled_on_demand(crms):
    [role] = [one for one in crms.pipedrive("personFields")["data"] if one["field_name"] == "Buying role"]
    labels = {one["id"]: one["label"] for one in role["options"]}
    code = role["field_code"]
    plain = crms.all_pipedrive("persons", limit=500, custom_fields=code)
    assert all(one["custom_fields"].keys() == {code} for one in plain)
    named = crms.all_pipedrive("persons", limit=500, include_option_labels="true")
    for one, other in zip(plain, named, strict=True):
        id = one["custom_fields"][code]
        assert other["custom_fields"][code] == (id and {"id": id, "label": labels[id]})
    assert {one["custom_fields"][code] for one in plain} == {None, *labels}


def test_stages_are_filtered_by_pipeline(crms):
    for pipeline in crms.pipedrive("pipelines")["data"]:
        stages = crms.pipedrive("stages", pipeline_id=pipeline["id"])["data"]
        assert 5 <= len(stages) <= 6
        assert {one["pipeline_id"] for one in stages} == {pipeline["id"]}


@pytest.mark.parametrize("path", ["deals/999999", "persons/999999", "activities/999999", "nonsense"])
def test_what_is_not_there_answers_404(crms, path):
    answer = crms.call("pipedrive", f"api/v2/{path}")
    assert (answer.status_code, answer.json()["success"]) == (404, False)


def test_references_between_records_resolve(crms):
    known = {path: {one["id"] for one in crms.all_pipedrive(path, limit=500)} for path in OBJECTS}
    known["deals"] |= {one["id"] for one in crms.all_pipedrive("deals/archived")}
    known["deals"] |= {one["id"] for one in crms.all_pipedrive("deals", status="deleted")}
    users = {one["id"] for one in crms.pipedrive("users", version="v1")["data"]}
    for deal in crms.all_pipedrive("deals", limit=500):
        assert deal["owner_id"] in users | {None}
        assert deal["person_id"] in known["persons"] | {None}
        assert deal["org_id"] in known["organizations"] | {None}
        assert deal["stage_id"] in known["stages"] | {None}
    for activity in crms.all_pipedrive("activities", limit=500):
        assert activity["deal_id"] in known["deals"]
        assert {one["person_id"] for one in activity["participants"]} <= known["persons"]
    types = {one["key_string"] for one in crms.pipedrive("activityTypes", version="v1")["data"]}
    assert {one["type"] for one in crms.all_pipedrive("activities", limit=500)} <= types


def test_every_answer_tells_the_limits(crms):
    headers = crms.call("pipedrive", "api/v2/deals").headers
    assert {"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"} <= {name.lower() for name in headers}
