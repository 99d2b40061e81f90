"""Exact objects instead of invented ones: the JSON that the CRMs publish is served as it is."""

import json

import pytest

from tests.crm_sandbox.conftest import Client
from tests.crm_sandbox.shapes import published
from tests.sandbox import Sandbox

PIPEDRIVE = {
    "deals": "v2_deals_list",
    "persons": "v2_persons_list",
    "organizations": "v2_organizations_list",
    "activities": "v2_activities_list",
    "pipelines": "v2_pipelines",
    "stages": "v2_stages",
    "dealFields": "v2_deal_fields",
    "personFields": "v2_person_fields",
}
V1 = {"users": "v1_users", "me": "v1_users_me", "activityTypes": "v1_activity_types"}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenario")
    [archived] = published("pipedrive", "v2_deals_archived")["data"]
    deals = [*published("pipedrive", "v2_deals_list")["data"], archived | {"id": 2}]
    scenario = {
        "pipedrive": {
            **{name: published("pipedrive", file) for name, file in (PIPEDRIVE | V1).items()},
            "deals": deals,
        },
        "hubspot": {
            "contacts": published("hubspot", "contacts_history_or_list_response"),
            "companies": published("hubspot", "companies_search_response_paged"),
            "deals": published("hubspot", "batch_207_multistatus"),
            "owners": published("hubspot", "owners_list_response")["results"]
            + published("hubspot", "owners_archived_response")["results"],
            "account": published("hubspot", "account_info_details_response"),
            "properties": {"contacts": [published("hubspot", "property_hs_buying_role")]},
            "labels": {"contacts/companies": published("hubspot", "association_labels_list_response")},
            "associations": {"contacts/companies": published("hubspot", "associations_batch_read_response")},
        },
    }
    file = folder / "scenario.json"
    file.write_text(json.dumps(scenario))
    with Sandbox.run(folder, "--scenario", str(file)) as sandbox:
        yield Client(sandbox)


@pytest.mark.parametrize(("path", "name"), PIPEDRIVE.items())
def test_pipedrives_published_objects_are_served_as_they_are(served, path, name):
    query = {"include_fields": "attendees"} if path == "activities" else {}
    assert served.pipedrive(path, **query)["data"] == published("pipedrive", name)["data"]


@pytest.mark.parametrize(("path", "name"), [("users", "v1_users"), ("users/me", "v1_users_me")])
def test_pipedrives_published_users_are_served_as_they_are(served, path, name):
    assert served.pipedrive(path, version="v1") == published("pipedrive", name)


def test_pipedrives_published_archived_deal_is_served_in_its_own_list(served):
    [ours] = served.pipedrive("deals/archived")["data"]
    assert ours | {"id": 1} == published("pipedrive", "v2_deals_archived")["data"][0]


def test_hubspots_published_contacts_are_served_as_they_are(served):
    [theirs] = published("hubspot", "contacts_history_or_list_response")["results"]
    assert served.hubspot("objects/2026-09/contacts")["results"] == [theirs]
    assert served.hubspot("objects/2026-09/contacts/33451") == theirs


def test_hubspots_published_companies_are_served_as_they_are(served):
    theirs = published("hubspot", "companies_search_response_paged")["results"]
    answer = served.hubspot("objects/2026-09/companies/search", {"properties": ["name", "annualrevenue"], "limit": 100})
    assert answer == {"total": len(theirs), "results": sorted(theirs, key=lambda one: int(one["id"]))}


def test_hubspots_published_lists_of_the_account_are_served_as_they_are(served):
    account = served.call("hubspot", "account-info/2026-09/details").json()
    assert account == published("hubspot", "account_info_details_response")
    assert served.hubspot("owners/2026-09") == published("hubspot", "owners_list_response")
    assert served.hubspot("owners/2026-09", archived="true") == published("hubspot", "owners_archived_response")
    labels = published("hubspot", "association_labels_list_response")
    assert served.hubspot("associations/2026-09/contacts/companies/labels") == labels


def test_hubspots_published_associations_are_served_when_both_ends_exist(served):
    theirs = published("hubspot", "associations_batch_read_response")["results"]
    raw = served.control("GET", "hubspot/raw")
    [link] = [one for one in raw["links"] if (one["from"], one["to"]) == ("contacts", "companies")]
    expected = [
        [int(one["from"]["id"]), to["toObjectId"], to["associationTypes"]] for one in theirs for to in one["to"]
    ]
    assert link["pairs"] == expected


def test_what_a_scenario_does_not_name_is_empty(served):
    for kind in ("calls", "emails", "meetings", "communications"):
        assert served.hubspot(f"objects/2026-09/{kind}") == {"results": []}
