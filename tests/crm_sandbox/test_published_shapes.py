"""Every answer has every key of the JSON that the CRMs publish, and no other, with the same types."""

import pytest

from tests.crm_sandbox.shapes import differences, published

# What may be null in Pipedrive, by path below data[]. Beside each group, why.
NULLABLE = {
    "deals": "archive_time stage_change_time lost_reason close_time won_time lost_time expected_close_date "
    # the dates of those times; what nobody entered, and amounts of products that a deal need not have
    "local_won_date local_lost_date local_close_date probability channel channel_id source_lead_id acv arr mrr "
    # a deal without owner, stage or contact is what the product must survive
    "owner_id stage_id person_id org_id",
    # only with Contact Sync; a person need not belong to a company
    "persons": "notes birthday job_title postal_address picture_id org_id "
    "postal_address.admin_area_level_1 postal_address.admin_area_level_2 postal_address.sublocality "
    "postal_address.subpremise postal_address.postal_code",
    "organizations": "linkedin industry annual_revenue address.admin_area_level_1 address.admin_area_level_2 "
    "address.sublocality address.subpremise address.postal_code",
    # an all-day activity has no time; an undone one was not marked; the rest is optional in the form
    "activities": "due_time duration marked_as_done_time lead_id person_id org_id project_id location "
    "location.admin_area_level_1 location.admin_area_level_2 location.sublocality location.subpremise "
    "location.postal_code conference_meeting_client conference_meeting_url conference_meeting_id "
    "public_description priority note attendees[].person_id attendees[].user_id",
    "stages": "days_to_rotten",
}
FREE = {
    "deals": ["data[].custom_fields"],
    "persons": ["data[].custom_fields"],
    "organizations": ["data[].custom_fields"],
}
LISTS = [
    ("v2_deals_list", "deals", {}),
    ("v2_persons_list", "persons", {}),
    ("v2_organizations_list", "organizations", {}),
    ("v2_activities_list", "activities", {"include_fields": "attendees"}),
    ("v2_pipelines", "pipelines", {"limit": 1}),
    ("v2_stages", "stages", {"limit": 5}),
]


@pytest.mark.parametrize(("name", "path", "query"), LISTS, ids=[one[1] for one in LISTS])
def test_pipedrive_lists_have_the_published_shape(crms, name, path, query):
    pages = [crms.pipedrive(path, **{"limit": 100} | query)]
    while (cursor := pages[-1]["additional_data"]["next_cursor"]) and "limit" not in query:
        pages.append(crms.pipedrive(path, limit=100, cursor=cursor, **query))
    if path == "deals":  # an archived deal alone has an archive time
        pages.append(crms.pipedrive("deals/archived"))
    nullable = {f"data[].{key}" for key in NULLABLE.get(path, "").split()} | {"additional_data.next_cursor"}
    assert differences(published("pipedrive", name), pages, nullable, FREE.get(path, ())) == {}


def test_archived_deals_have_the_published_shape(crms):
    page = crms.pipedrive("deals/archived", limit=2)
    nullable = {f"data[].{key}" for key in NULLABLE["deals"].split()} - {"data[].archive_time"}
    found = differences(published("pipedrive", "v2_deals_archived"), [page], nullable, FREE["deals"])
    # Few deals are archived: a key that is null or empty in all of them shows no type.
    assert {path for path, why in found.items() if not why.startswith("never") and not path.endswith("[]")} == set()
    assert all(deal["is_archived"] for deal in page["data"])


def test_one_deal_has_the_published_shape(crms):
    ids = [deal["id"] for deal in crms.pipedrive("deals", limit=100)["data"]]
    nullable = {f"data.{key}" for key in NULLABLE["deals"].split()} | {"data.archive_time"}
    found = differences(
        published("pipedrive", "v2_deal"),
        [crms.pipedrive(f"deals/{id}") for id in ids],
        nullable,
        ["data.custom_fields"],
    )
    assert {path for path, why in found.items() if path != "data.archive_time"} == set()


@pytest.mark.parametrize(("name", "path"), [("v2_deal_fields", "dealFields"), ("v2_person_fields", "personFields")])
def test_pipedrive_fields_have_the_published_shape(crms, name, path):
    free = ["data[].required_fields.statuses", "data[].ui_visibility.show_in_pipelines"]
    nullable = {"data[].options", "data[].subfields"}
    pages = [crms.pipedrive(path), crms.pipedrive(path, limit=1)]
    found = differences(published("pipedrive", name), pages, nullable | {"additional_data.next_cursor"}, free)
    # No field of ours is limited to stages.
    assert {path for path in found if not path.endswith("stage_ids[]")} == set()


@pytest.mark.parametrize(
    ("name", "path"), [("v1_users", "users"), ("v1_users_me", "users/me"), ("v1_activity_types", "activityTypes")]
)
def test_pipedrive_v1_answers_have_the_published_shape(crms, name, path):
    assert differences(published("pipedrive", name), [crms.pipedrive(path, version="v1")]) == {}


def test_pipedrive_errors_have_the_published_shape(crms):
    unknown = crms.call("pipedrive", "api/v2/deals", nonsense="1")
    assert unknown.status_code == 400
    assert differences(published("pipedrive", "error_v2_schema_validation"), [unknown.json()]) == {}
    refused = crms.call("pipedrive", "api/v2/deals", headers={})
    assert refused.status_code == 401
    assert refused.json() == published("pipedrive", "error_401_gateway")
    assert published("pipedrive", "v1_error_401").items() <= refused.json().items()


# The keys below `properties` are those that were asked for.
BAG = ["results[].properties"]


@pytest.mark.parametrize("kind", ["deals", "contacts", "companies", "calls", "emails", "meetings", "communications"])
def test_hubspot_lists_have_the_published_shape(crms, kind):
    page = crms.hubspot(f"objects/2026-09/{kind}", limit=5)
    assert differences(published("hubspot", "contacts_history_or_list_response"), [page], free=BAG) == {}
    values = [value for one in page["results"] for value in one["properties"].values()]
    assert {type(value) for value in values} <= {str, type(None)}


def test_hubspot_default_properties_are_the_published_ones(crms):
    theirs = published("hubspot", "contacts_search_response")["results"][0]["properties"]
    [ours] = crms.hubspot("objects/2026-09/contacts", limit=1)["results"]
    assert ours["properties"].keys() == theirs.keys()


@pytest.mark.parametrize(
    ("name", "kind"), [("contacts_search_response", "contacts"), ("companies_search_response_paged", "companies")]
)
def test_hubspot_searches_have_the_published_shape(crms, name, kind):
    limit = 200 if name == "contacts_search_response" else 5
    [one] = crms.hubspot(f"objects/2026-09/{kind}", limit=1)["results"]
    filters = [{"propertyName": "hs_object_id", "operator": "EQ", "value": one["id"]}] if limit == 200 else []
    body = {"limit": limit, "filterGroups": [{"filters": filters}] if filters else []}
    page = crms.hubspot(f"objects/2026-09/{kind}/search", body)
    assert differences(published("hubspot", name), [page], free=BAG) == {}


def test_a_record_with_history_has_the_published_shape(crms):
    [deal] = crms.hubspot("objects/2026-09/deals", limit=1)["results"]
    one = crms.hubspot(f"objects/2026-09/deals/{deal['id']}", propertiesWithHistory="dealstage")
    theirs = published("hubspot", "contact_with_history")
    theirs["propertiesWithHistory"]["dealstage"] = theirs["propertiesWithHistory"].pop("is_verified")
    assert differences(theirs, [one], free=["properties"]) == {}


def test_a_batch_with_missing_records_has_the_published_shape(crms):
    [deal] = crms.hubspot("objects/2026-09/deals", limit=1)["results"]
    inputs = [{"id": deal["id"]}, {"id": "1"}]
    answer = crms.hubspot("objects/2026-09/deals/batch/read", {"inputs": inputs, "properties": []}, status=207)
    assert differences(published("hubspot", "batch_207_multistatus"), [answer], free=[*BAG, "errors[].context"]) == {}


def test_hubspot_associations_have_the_published_shape(crms):
    deals = crms.hubspot("objects/2026-09/deals", limit=100)["results"]
    pairs = {}
    for other in ("contacts", "companies"):
        with_some = [
            {"id": deal["id"]}
            for deal in crms.hubspot("objects/2026-09/deals", limit=100, associations=other)["results"]
            if "associations" in deal
        ]
        assert len(with_some) > len(deals) / 2
        pairs[other] = crms.hubspot(f"associations/2026-09/deals/{other}/batch/read", {"inputs": with_some})
    assert differences(published("hubspot", "associations_batch_read_response"), list(pairs.values())) == {}


def test_hubspot_labels_have_the_published_shape(crms):
    labels = [crms.hubspot(f"associations/2026-09/{pair}/labels") for pair in ("deals/contacts", "contacts/deals")]
    assert differences(published("hubspot", "association_labels_list_response"), labels) == {}


@pytest.mark.parametrize(
    ("name", "archived"), [("owners_list_response", "false"), ("owners_archived_response", "true")]
)
def test_hubspot_owners_have_the_published_shape(crms, name, archived):
    owners = crms.hubspot("owners/2026-09", limit=100, archived=archived)
    assert differences(published("hubspot", name), [owners]) == {}


def test_hubspot_properties_have_the_published_shape(crms):
    theirs = published("hubspot", "property_hs_buying_role")
    answer = crms.hubspot("properties/2026-09/contacts")
    assert differences({"results": [theirs]}, [answer]) == {}
    [role] = [one for one in answer["results"] if one["name"] == "hs_buying_role"]
    assert [one["value"] for one in role["options"]] == [one["value"] for one in theirs["options"]]
    assert crms.hubspot("properties/2026-09/contacts/hs_buying_role") == role


def test_hubspot_account_details_have_the_published_shape(crms):
    answer = crms.call("hubspot", "account-info/2026-09/details").json()
    assert differences(published("hubspot", "account_info_details_response"), [answer]) == {}


def test_hubspot_errors_have_the_published_shape(crms):
    wrong = crms.call("hubspot", "crm/objects/2026-09/deals", limit="1000")
    assert wrong.status_code == 400
    assert differences(published("hubspot", "error_400_validation"), [wrong.json()]) == {}
    refused = crms.call("hubspot", "crm/objects/2026-09/deals", headers={"Authorization": "Bearer gone"})
    assert refused.status_code == 401
    theirs = published("hubspot", "error_401_expired")
    del theirs["context"]  # when it expired: only of OAuth tokens
    assert differences(theirs, [refused.json()]) == {}


def test_hubspot_429_has_the_published_shape(own_crms):
    own_crms.sandbox.fail("hubspot", 429, daily=True)
    answer = own_crms.call("hubspot", "crm/objects/2026-09/deals")
    assert answer.status_code == 429
    theirs = published("hubspot", "error_429_daily")
    assert differences(theirs, [answer.json()]) == {}
    assert answer.json()["policyName"] == theirs["policyName"]
