"""Changes by the control path, seen through the CRMs' own answers."""

from datetime import UTC, datetime, timedelta

import pytest

AT = "2026-11-22T10:00:00Z"
AT_MS = "2026-11-22T10:00:00.000Z"
both = pytest.mark.parametrize("crm", ["pipedrive", "hubspot"])


@pytest.fixture
def deal(own_crms):
    """An open deal of each CRM with a contact."""
    pipedrive = next(one for one in own_crms.all_pipedrive("deals", status="open") if one["person_id"])
    asked = {"associations": "contacts", "properties": "hs_is_closed,dealstage,pipeline"}
    hubspot = next(
        one
        for one in own_crms.all_hubspot("deals", **asked)
        if one["properties"]["hs_is_closed"] == "false" and one["properties"]["dealstage"] and "associations" in one
    )
    return {"pipedrive": pipedrive, "hubspot": hubspot}


def contact_of(crm, deal):
    return deal["person_id"] if crm == "pipedrive" else int(deal["associations"]["contacts"]["results"][0]["id"])


def read(own_crms, crm, id):
    if crm == "pipedrive":
        return own_crms.pipedrive(f"deals/{id}")["data"]
    names = ",".join(one["name"] for one in own_crms.hubspot("properties/2026-09/deals")["results"])
    return own_crms.hubspot(f"objects/2026-09/deals/{id}", properties=names)["properties"]


@both
@pytest.mark.parametrize("status", ["won", "lost"])
def test_a_deal_is_closed_and_opened_again(own_crms, deal, crm, status):
    id = deal[crm]["id"]
    own_crms.control("POST", f"{crm}/deals/{id}", {"status": status, "at": AT})
    closed = read(own_crms, crm, id)
    if crm == "pipedrive":
        assert (closed["status"], closed[f"{status}_time"], closed["close_time"]) == (status, AT, AT)
        assert (closed["local_close_date"], closed["update_time"]) == ("2026-11-22", AT)
    else:
        flags = (closed["hs_is_closed"], closed[f"hs_is_closed_{status}"])
        assert (*flags, closed["closedate"], closed["hs_lastmodifieddate"]) == ("true", "true", AT_MS, AT_MS)
    own_crms.control("POST", f"{crm}/deals/{id}", {"status": "open"})
    opened = read(own_crms, crm, id)
    if crm == "pipedrive":
        assert (opened["status"], opened["close_time"], opened[f"{status}_time"]) == ("open", None, None)
    else:
        assert (opened["hs_is_closed"], opened["hs_is_closed_won"]) == ("false", "false")


def test_a_stage_of_pipedrive_is_entered_when_it_is_changed(own_crms, deal):
    id, stage = deal["pipedrive"]["id"], deal["pipedrive"]["stage_id"]
    other = 1 if stage != 1 else 2
    own_crms.control("POST", f"pipedrive/deals/{id}", {"stage_id": other, "at": AT})
    assert read(own_crms, "pipedrive", id)["stage_change_time"] == AT
    own_crms.control("POST", f"pipedrive/deals/{id}", {"stage_id": other, "at": "2026-11-22T11:00:00Z"})
    assert read(own_crms, "pipedrive", id)["stage_change_time"] == AT


def test_a_stage_of_hubspot_is_entered_when_it_is_changed(own_crms, deal):
    id = deal["hubspot"]["id"]
    own_crms.control("POST", f"hubspot/deals/{id}", {"dealstage": "11348544", "at": AT})
    changed = read(own_crms, "hubspot", id)
    assert (changed["dealstage"], changed["pipeline"]) == ("11348544", "11348541")
    assert changed["hs_v2_date_entered_current_stage"] == AT_MS
    one = own_crms.hubspot(f"objects/2026-09/deals/{id}", propertiesWithHistory="dealstage")
    assert one["propertiesWithHistory"]["dealstage"][0] | {"sourceId": None} == {
        "value": "11348544",
        "timestamp": AT_MS,
        "sourceType": "CRM_UI",
        "sourceId": None,
        "updatedByUserId": 9586504,
    }


@both
def test_amount_and_close_date_are_changed_and_emptied(own_crms, deal, crm):
    id = deal[crm]["id"]
    own_crms.control("POST", f"{crm}/deals/{id}", {"amount": 1234, "close_date": "2026-12-24"})
    one = read(own_crms, crm, id)
    if crm == "pipedrive":
        assert (one["value"], one["expected_close_date"]) == (1234, "2026-12-24")
    else:
        assert (one["amount"], one["closedate"]) == ("1234", "2026-12-24T11:00:00.000Z")
    own_crms.control("POST", f"{crm}/deals/{id}", {"amount": None, "close_date": None})
    one = read(own_crms, crm, id)
    if crm == "pipedrive":
        assert (one["value"], one["expected_close_date"]) == (0, None)
    else:
        assert (one["amount"], one["closedate"]) == (None, None)


@both
def test_a_change_without_a_time_happens_now(own_crms, deal, crm):
    id, before = deal[crm]["id"], datetime.now(UTC).replace(microsecond=0)
    own_crms.control("POST", f"{crm}/deals/{id}", {"amount": 5})
    one = read(own_crms, crm, id)
    moment = datetime.fromisoformat(one["update_time" if crm == "pipedrive" else "hs_lastmodifieddate"])
    assert before <= moment <= datetime.now(UTC)


@both
def test_a_changed_deal_is_found_by_its_time_of_change(own_crms, deal, crm):
    id = deal[crm]["id"]
    at = "2030-01-01T00:00:00Z"
    own_crms.control("POST", f"{crm}/deals/{id}", {"amount": 77, "at": at})
    if crm == "pipedrive":
        found = own_crms.all_pipedrive("deals", updated_since=at)
    else:
        filters = [{"propertyName": "hs_lastmodifieddate", "operator": "GTE", "value": "1893456000000"}]
        found = own_crms.hubspot("objects/2026-09/deals/search", {"filterGroups": [{"filters": filters}]})["results"]
    assert [one["id"] for one in found] == [id]
    own_crms.control("POST", f"{crm}/deals/{id}", {"at": AT})


@both
def test_a_deal_is_archived_and_brought_back(own_crms, deal, crm):
    id = deal[crm]["id"]

    def listed():
        found = own_crms.all_pipedrive("deals") if crm == "pipedrive" else own_crms.all_hubspot("deals")
        return id in [one["id"] for one in found]

    own_crms.control("POST", f"{crm}/deals/{id}", {"archived": True})
    assert not listed()
    own_crms.control("POST", f"{crm}/deals/{id}", {"amount": 3})
    assert not listed()
    own_crms.control("POST", f"{crm}/deals/{id}", {"archived": False})
    assert listed()


def test_a_deal_of_pipedrive_is_deleted(own_crms, deal):
    id = deal["pipedrive"]["id"]
    own_crms.control("POST", f"pipedrive/deals/{id}", {"deleted": True})
    assert id in [one["id"] for one in own_crms.all_pipedrive("deals", status="deleted")]
    own_crms.control("POST", f"pipedrive/deals/{id}", {"deleted": False})
    assert id in [one["id"] for one in own_crms.all_pipedrive("deals")]


@both
def test_a_new_deal_has_the_keys_of_the_others(own_crms, deal, crm):
    change = {"title": "Nouvelle affaire"} if crm == "pipedrive" else {"dealname": "Nouvelle affaire"}
    id = own_crms.control("POST", f"{crm}/deals", change | {"amount": 10})["id"]
    assert read(own_crms, crm, id).keys() == read(own_crms, crm, deal[crm]["id"]).keys()
    contact = contact_of(crm, deal[crm])
    own_crms.control("POST", f"{crm}/deals/{id}", {"contacts": {str(contact): []}})
    if crm == "pipedrive":
        assert [one["id"] for one in own_crms.all_pipedrive("persons", deal_id=id)] == [contact]
    else:
        one = own_crms.hubspot(f"objects/2026-09/deals/{id}", associations="contacts")
        assert one["associations"]["contacts"]["results"] == [{"id": str(contact), "type": "deal_to_contact"}]


def test_a_call_logged_at_pipedrive_is_a_done_activity_of_the_deal(own_crms, deal):
    one = deal["pipedrive"]
    participants = [{"contact": one["person_id"]}]
    call = {"kind": "call", "deals": [one["id"]], "participants": participants, "minutes": 15}
    id = own_crms.control("POST", "pipedrive/activities", call | {"time": "2026-11-22T09:30:00Z", "at": AT})["id"]
    logged = own_crms.pipedrive(f"activities/{id}")["data"]
    expected = {
        "type": "call",
        "done": True,
        "due_date": "2026-11-22",
        "due_time": "09:30:00",
        "duration": "00:15:00",
        "marked_as_done_time": "2026-11-22T09:45:00Z",
        "participants": [{"person_id": one["person_id"], "primary": True}],
        "person_id": one["person_id"],
        "update_time": AT,
    }
    assert expected.items() <= logged.items()
    assert id in [found["id"] for found in own_crms.all_pipedrive("activities", deal_id=one["id"])]
    own_crms.control("DELETE", f"pipedrive/activities/{id}")
    assert own_crms.call("pipedrive", f"api/v2/activities/{id}").status_code == 404
    assert id not in [found["id"] for found in own_crms.all_pipedrive("activities", deal_id=one["id"])]


def test_a_mail_at_pipedrive_moves_the_mail_time_of_the_deal_only(own_crms, deal):
    id, person = deal["pipedrive"]["id"], deal["pipedrive"]["person_id"]
    before = own_crms.all_pipedrive("activities", deal_id=id)
    mail = {"kind": "email", "deals": [id], "from": {"contact": person}, "time": "2026-11-22T08:00:00Z", "at": AT}
    own_crms.control("POST", "pipedrive/activities", mail)
    asked = {"include_fields": "last_incoming_mail_time"}
    assert own_crms.pipedrive(f"deals/{id}", **asked)["data"]["last_incoming_mail_time"] == "2026-11-22T08:00:00Z"
    assert own_crms.all_pipedrive("activities", deal_id=id) == before


@both
def test_a_planned_meeting_lies_ahead_and_is_moved(own_crms, deal, crm):
    ahead = (datetime.now(UTC) + timedelta(days=3)).strftime("%Y-%m-%dT09:00:00Z")
    participants = [{"contact": contact_of(crm, deal[crm])}]
    meeting = {"kind": "meeting", "deals": [deal[crm]["id"]], "participants": participants, "time": ahead}
    logged = own_crms.control("POST", f"{crm}/activities", meeting)
    path = f"{crm}/activities/{logged['id']}"
    if crm == "pipedrive":
        one = own_crms.pipedrive(f"activities/{logged['id']}", include_fields="attendees")["data"]
        assert (one["done"], one["due_date"], one["attendees"][0]["status"]) == (False, ahead[:10], "accepted")
        own_crms.control("POST", path, {"done": True, "at": AT})
        assert own_crms.pipedrive(f"activities/{logged['id']}")["data"]["marked_as_done_time"] == AT
    else:
        own_crms.control("POST", path, {"hs_meeting_outcome": "CANCELED"})
        asked = {"properties": "hs_meeting_outcome,hs_meeting_start_time"}
        one = own_crms.hubspot(f"objects/2026-09/meetings/{logged['id']}", **asked)["properties"]
        assert (one["hs_meeting_outcome"], one["hs_meeting_start_time"]) == ("CANCELED", f"{ahead[:-1]}.000Z")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("call", "calls"), ("email", "emails"), ("meeting", "meetings"), ("message", "communications")],
)
def test_an_activity_logged_at_hubspot_is_associated(own_crms, deal, kind, expected):
    deal_id, contact = deal["hubspot"]["id"], contact_of("hubspot", deal["hubspot"])
    change = {"kind": kind, "deals": [deal_id], "participants": [{"contact": contact}], "at": AT}
    logged = own_crms.control("POST", "hubspot/activities", change)
    assert logged["type"] == expected
    one = own_crms.hubspot(f"objects/2026-09/{expected}/{logged['id']}", associations="deals,contacts")
    found = {other: [to["id"] for to in links["results"]] for other, links in one["associations"].items()}
    assert found == {"deals": [deal_id], "contacts": [str(contact)]}
    assert one["updatedAt"] == AT_MS
    own_crms.control("DELETE", f"hubspot/activities/{expected}/{logged['id']}", {"at": AT})
    assert own_crms.call("hubspot", f"crm/objects/2026-09/{expected}/{logged['id']}").status_code == 404


def test_a_mail_at_hubspot_has_its_parties(own_crms, deal):
    contact = contact_of("hubspot", deal["hubspot"])
    address = own_crms.hubspot(f"objects/2026-09/contacts/{contact}")["properties"]["email"]
    mail = {"kind": "email", "deals": [deal["hubspot"]["id"]], "participants": [{"email": "to@client.example"}]}
    logged = own_crms.control("POST", "hubspot/activities", mail | {"cc": [{"contact": contact}]})
    names = "hs_email_to_email,hs_email_cc_email,hs_email_direction,hs_email_status"
    one = own_crms.hubspot(f"objects/2026-09/emails/{logged['id']}", properties=names)["properties"]
    assert (one["hs_email_to_email"], one["hs_email_cc_email"]) == ("to@client.example", address)
    assert (one["hs_email_direction"], one["hs_email_status"]) == ("EMAIL", "SENT")


@both
def test_a_contact_gets_another_title_and_role(own_crms, deal, crm):
    id = contact_of(crm, deal[crm])
    own_crms.control("POST", f"{crm}/contacts/{id}", {"job_title": "PDG", "role": "Champion", "at": AT})
    if crm == "pipedrive":
        one = own_crms.pipedrive(f"persons/{id}", include_option_labels="true")["data"]
        assert one["job_title"] == "PDG"
        assert {"id": 32, "label": "Champion"} in one["custom_fields"].values()
        assert one["update_time"] == AT
    else:
        one = own_crms.hubspot(f"objects/2026-09/contacts/{id}", properties="jobtitle,hs_buying_role")
        assert (one["properties"]["jobtitle"], one["properties"]["hs_buying_role"]) == ("PDG", "CHAMPION")
        assert one["updatedAt"] == AT_MS


def test_a_label_on_a_deal_is_set_and_removed_with_the_contact(own_crms, deal):
    id, contact = deal["hubspot"]["id"], contact_of("hubspot", deal["hubspot"])

    def labels():
        body = {"inputs": [{"id": id}]}
        path = "crm/associations/2026-09/deals/contacts/batch/read"
        [one] = own_crms.call("hubspot", path, body).json()["results"] or [{"to": []}]
        return [
            {kind["label"] for kind in to["associationTypes"]} for to in one["to"] if int(to["toObjectId"]) == contact
        ]

    own_crms.control("POST", f"hubspot/deals/{id}", {"contacts": {str(contact): ["Champion", "Influencer"]}})
    assert labels() == [{None, "Champion", "Influencer"}]
    own_crms.control("POST", f"hubspot/deals/{id}", {"contacts": {str(contact): None}})
    assert labels() == []
    own_crms.control("POST", f"hubspot/deals/{id}", {"contacts": {str(contact): []}})
    assert labels() == [{None}]


@both
@pytest.mark.parametrize(
    ("path", "change", "status"),
    [
        ("deals/1", {"amount": 1}, 404),
        ("deals/{id}", {"no_such_thing": 1}, 400),
        ("deals/{id}", {"amount": 1, "at": "soon"}, 400),
        ("activities", {"kind": "fax"}, 400),
        ("contacts/1", {"job_title": "PDG"}, 404),
        ("unicorns/1", {}, 404),
    ],
)
def test_changes_that_make_no_sense_are_refused(own_crms, deal, crm, path, change, status):
    assert "error" in own_crms.control("POST", f"{crm}/{path.format(id=deal[crm]['id'])}", change, status=status)


@both
def test_everything_held_can_be_read_at_once(own_crms, crm):
    raw = own_crms.control("GET", f"{crm}/raw")
    ids = {row["id"] for row in raw["tables"]["deals"] if not row["archived"] and not row["deleted"]}
    listed = own_crms.all_pipedrive("deals") if crm == "pipedrive" else own_crms.all_hubspot("deals")
    assert ids == {int(one["id"]) for one in listed}
    assert {(one["from"], one["to"]) for one in raw["links"]} > {
        ("deals", "persons" if crm == "pipedrive" else "contacts")
    }
