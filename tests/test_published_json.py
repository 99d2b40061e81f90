"""The JSON that the CRMs publish goes the whole way: served, synchronised, judged. The verdicts were found by hand.

The examples of one CRM do not refer to each other, so ids that point to another example are set here, and nothing else
except what a test says. HubSpot publishes requests that create deals and activities; what is served is the object that
such a request makes: its properties with an id and times.
"""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from accounts.models import Organisation
from accounts.tenancy import tenant
from alerts import engine
from alerts import settings as alert_settings
from alerts.models import Alert
from crm_sync import details, sync
from deals.clock import Clock
from deals.models import Deal, Role
from tests.crm_sandbox.shapes import published
from tests.sandbox import Sandbox

Json = dict[str, Any]
Alerts = dict[str, dict[str, date]]
# Everything in the examples lies before, so nothing depends on the day on which the test runs.
LATE_JANUARY_2021 = datetime(2021, 1, 20, 12, tzinfo=UTC)
APRIL_2021 = datetime(2021, 4, 2, 12, tzinfo=UTC)


def judged(folder: Path, crm: str, served: Json, zone: str, now: datetime) -> Alerts:
    """{open deal: {kind or "key_role:label": holds since}} at `now`, with a limit of 12 days for every role."""
    scenario = folder / "scenario.json"
    scenario.write_text(json.dumps({crm: served}))
    organisation = Organisation.objects.create(name="Test", time_zone=zone)
    with (
        Sandbox.run(folder, "--scenario", str(scenario)) as sandbox,
        override_settings(**{f"{crm.upper()}_API_URL": f"{sandbox.url}/{crm}"}),
    ):
        with tenant(organisation):
            connection = sync.connect(organisation, crm, f"sandbox-{crm}-token")
        sync.pull(connection)
        details.read_all(connection)
    clock = Clock.of(organisation, now)
    with tenant(organisation):
        roles = dict(Role.objects.values_list("key", "label"))
        rules = alert_settings.defaults() | {"key_role": {"enabled": True, "roles": dict.fromkeys(roles, 12)}}
        alert_settings.save(organisation, {"rules": rules}, None, clock, based_on=0)
        engine.evaluate(organisation, Deal.objects.all(), clock)
        found: Alerts = {id: {} for id in Deal.objects.open().values_list("external_id", flat=True)}
        for alert in Alert.objects.filter(resolved_at=None).select_related("deal"):
            name = f"{alert.kind}:{roles[alert.subject]}" if alert.subject else alert.kind
            found[alert.deal.external_id][name] = alert.holds_since
    return found


# ---- Pipedrive: one deal of 200 USD, created, entered into its stage and to be closed on 1 January 2021, 00:00 UTC;
# one person (a "Manager") on it; one archived deal; one activity, done, due 15:00 to 16:00 on that day and marked done
# at 00:00; users of pipedrive.com.


def pipedrive(**activity: Any) -> Json:
    [example] = published("pipedrive", "v2_activities_list")["data"]
    [archived] = published("pipedrive", "v2_deals_archived")["data"]
    return {
        "users": published("pipedrive", "v1_users"),
        "me": published("pipedrive", "v1_users_me"),
        "activityTypes": published("pipedrive", "v1_activity_types"),
        "personFields": published("pipedrive", "v2_person_fields"),
        "pipelines": published("pipedrive", "v2_pipelines"),
        "stages": published("pipedrive", "v2_stages"),
        "organizations": published("pipedrive", "v2_organizations_list"),
        "persons": published("pipedrive", "v2_persons_list"),
        "deals": published("pipedrive", "v2_deals_list")["data"] + [archived | {"id": 2}],
        "activities": [example | activity],
    }


IN_PARIS = {  # 00:00 UTC is 01:00 of the same day
    "no_activity": date(2021, 1, 11),  # the creation on 1 January, ten days
    "no_meeting": date(2021, 1, 1),  # none was ever planned: since the creation
    # Nobody was ever engaged, and the close date is near: from ten days before, 22 December, but not before creation.
    "power_map": date(2021, 1, 1),
    "stuck_in_stage": date(2021, 1, 13),  # twelve days
    "close_date_passed": date(2021, 1, 2),  # 1 January is not passed on that day itself
    # Clear: single_contact (no interaction), amount_empty (200 USD), deal_too_old (50 days end on 20 February). The
    # archived deal has no alerts.
}


def test_pipedrives_published_deal(transactional_db: None, tmp_path: Path) -> None:
    # As published the activity has a type of the customer's own and stands on a deal that is not there.
    assert judged(tmp_path, "pipedrive", pipedrive(), "Europe/Paris", LATE_JANUARY_2021) == {"1": IN_PARIS}


def test_pipedrives_published_activity_as_a_meeting_with_its_organiser_only(
    transactional_db: None, tmp_path: Path
) -> None:
    # Its only attendee is a user and organises it: nobody is recorded, it counts and engages nobody. It took place when
    # it was marked done, 00:00 UTC: on 1 January. The last planned meeting is over from the day after.
    served = pipedrive(type="meeting", deal_id=1, person_id=1)
    expected = IN_PARIS | {"no_meeting": date(2021, 1, 2)}
    assert judged(tmp_path, "pipedrive", served, "Europe/Paris", LATE_JANUARY_2021) == {"1": expected}


def test_pipedrives_published_activity_as_a_later_call(transactional_db: None, tmp_path: Path) -> None:
    # Done on 8 January at 16:00 UTC, due one hour later: the earlier counts. The other side is person 1.
    call = {"type": "call", "deal_id": 1, "person_id": 1, "attendees": []}
    served = pipedrive(**call, due_date="2021-01-08", due_time="16:00:00", marked_as_done_time="2021-01-08T16:00:00Z")
    expected = IN_PARIS | {
        "no_activity": date(2021, 1, 18),
        "no_meeting": date(2021, 1, 9),
        # A "Manager" was engaged, who has no level: it goes on firing. One interaction is no streak.
    }
    assert judged(tmp_path, "pipedrive", served, "Europe/Paris", LATE_JANUARY_2021) == {"1": expected}


def test_pipedrives_published_deal_begins_a_day_earlier_in_california(transactional_db: None, tmp_path: Path) -> None:
    # 00:00 UTC is 16:00 of 31 December. The close date is a calendar day and stays.
    expected = {
        "no_activity": date(2021, 1, 10),
        "no_meeting": date(2020, 12, 31),
        "power_map": date(2020, 12, 31),
        "stuck_in_stage": date(2021, 1, 12),
        "close_date_passed": date(2021, 1, 2),
    }
    found = judged(tmp_path, "pipedrive", pipedrive(), "America/Los_Angeles", LATE_JANUARY_2021)
    assert found == {"1": expected}


# ---- HubSpot: a deal of 1500 that should close at 2019-12-07T16:50Z (7 December in the portal's zone, US/Eastern), in
# the open stage "contractsent"; an e-mail of 2019-10-30T03:30Z, a call of 2021-03-17T01:32Z, a meeting of
# 2021-03-23T01:02Z to 01:52Z, "SCHEDULED"; contacts without job title: Lorelai (33451), Maria of hubspot.com
# (57156923994), one without an address (1); owners of hubspot.com and gmail.com.

CREATED = "2019-10-30T03:30:17.883Z"  # no request tells when its object was made: the time of the e-mail
LORELAI, MARIA, NAMELESS = "33451", "57156923994", "1"
PLAIN = {"category": "HUBSPOT_DEFINED", "typeId": 3, "label": None}


def made(request: str, id: str) -> Json:
    """The object that a published request makes."""
    properties = published("hubspot", request)["properties"]
    return {"id": id, "properties": properties, "createdAt": CREATED, "updatedAt": CREATED, "archived": False}


def linked(origin: str, *to: str, types: list[Json] | None = None) -> Json:
    return {"from": {"id": origin}, "to": [{"toObjectId": id, "associationTypes": types or [PLAIN]} for id in to]}


def test_hubspots_published_objects(transactional_db: None, tmp_path: Path) -> None:
    [decision_maker] = [
        label["associationTypes"]
        for result in published("hubspot", "associations_batch_read_response")["results"]
        for label in result["to"]
        if label["toObjectId"] == 17705714757  # the one with the label "Decision maker"
    ]
    labels = published("hubspot", "association_labels_list_response")["results"]
    put = published("hubspot", "association_put_label_response")  # "Point of contact" on deal 21678228008
    point_of_contact = {"category": "USER_DEFINED", "typeId": 36, "label": put["labels"][0]}
    logged, internal, met = "601", str(put["toObjectId"]), "7891023"  # the deals, by ids that HubSpot's examples name
    served = {
        "account": published("hubspot", "account_info_details_response"),
        "owners": published("hubspot", "owners_list_response")["results"]
        + published("hubspot", "owners_archived_response")["results"],
        "labels": {"deals/contacts": [*labels, point_of_contact]},
        "companies": published("hubspot", "companies_search_response_paged"),
        "contacts": [
            *published("hubspot", "contacts_history_or_list_response")["results"],
            *published("hubspot", "contacts_search_response")["results"],
            published("hubspot", "contact_with_history"),
        ],
        "deals": [
            made("deal_create_with_associations_request", logged),
            made("deal_create_request", internal),
            made("deal_create_request", met),
        ],
        "emails": [made("email_create_with_associations_request", "11"), made("email_create_request", "12")],
        "calls": [made("call_create_request", "21")],
        "meetings": [made("meeting_create_request", "31")],
        "associations": {
            "deals/contacts": [
                linked(logged, LORELAI, types=decision_maker),
                linked(internal, LORELAI, types=[PLAIN, point_of_contact]),
            ],
            "emails/deals": [linked("11", logged), linked("12", met)],
            "emails/contacts": [linked("11", NAMELESS)],
            "calls/deals": [linked("21", internal)],
            "calls/contacts": [linked("21", MARIA)],
            "meetings/deals": [linked("31", met)],
            "meetings/contacts": [linked("31", LORELAI, NAMELESS)],
        },
    }
    # In Los Angeles the deals were created, and the e-mails sent, on 29 October 2019.
    every = {
        "stuck_in_stage": date(2019, 11, 10),  # no entry is known: the creation and twelve days
        "close_date_passed": date(2019, 12, 8),
        "deal_too_old": date(2019, 12, 18),  # fifty days
    }
    assert judged(tmp_path, "hubspot", served, "America/Los_Angeles", APRIL_2021) == {
        logged: {
            **every,
            "no_activity": date(2019, 11, 8),  # the e-mail and the creation, ten days
            "no_meeting": date(2019, 10, 29),
            # Lorelai, who decides, was never engaged: the e-mail has no address and engages its associated contact.
            "key_role:Decision maker": date(2019, 11, 10),
            # power_map is not evaluable: the contact engaged has no job title. single_contact: one e-mail is no streak.
        },
        internal: {
            **every,
            # Maria's address is in a domain of the owners: she is a colleague, and the call was internal.
            "no_activity": date(2019, 11, 8),
            "no_meeting": date(2019, 10, 29),
            "key_role:Point of contact": date(2019, 11, 10),
            "power_map": date(2019, 11, 27),  # nobody engaged; ten days before 7 December
        },
        met: {
            **every,
            # The meeting is past and was not cancelled: it took place, and ended on 22 March at 18:52.
            "no_activity": date(2021, 4, 1),
            "no_meeting": date(2021, 3, 23),
            # It engaged two people: no streak. None of the people engaged has a job title: power_map is not evaluable.
        },
    }


@pytest.mark.parametrize(
    ("outcome", "no_activity", "no_meeting"),
    [
        ("COMPLETED", date(2021, 4, 1), date(2021, 3, 23)),
        ("NO_SHOW", date(2019, 11, 8), date(2021, 3, 23)),  # no interaction, but a meeting was planned for that day
        ("CANCELED", date(2019, 11, 8), date(2019, 10, 29)),
        ("RESCHEDULED", date(2019, 11, 8), date(2019, 10, 29)),
    ],
)
def test_hubspots_published_meeting_by_its_outcome(
    transactional_db: None, tmp_path: Path, outcome: str, no_activity: date, no_meeting: date
) -> None:
    meeting = made("meeting_create_request", "31")
    meeting["properties"]["hs_meeting_outcome"] = outcome
    served = {
        "account": published("hubspot", "account_info_details_response"),
        "contacts": published("hubspot", "contacts_history_or_list_response"),
        "deals": [made("deal_create_request", "1")],
        "meetings": [meeting],
        "associations": {"meetings/deals": [linked("31", "1")], "meetings/contacts": [linked("31", LORELAI)]},
    }
    found = judged(tmp_path, "hubspot", served, "America/Los_Angeles", APRIL_2021)["1"]
    assert (found["no_activity"], found["no_meeting"]) == (no_activity, no_meeting)
