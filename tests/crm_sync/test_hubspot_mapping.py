"""HubSpot's published JSON, and what customers and integrations make of it, as records."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_sync.providers.hubspot import mapping
from crm_sync.providers.hubspot.mapping import Association
from deals.records import DealContactRecord, ParticipantRecord, TeamRecord

PAYLOADS = Path(__file__).parent.parent / "payloads" / "hubspot"
EASTERN = ZoneInfo("US/Eastern")
CREATED, CHANGED = datetime(2026, 11, 1, 8, tzinfo=UTC), datetime(2026, 11, 2, 8, tzinfo=UTC)


def published(name):
    return json.loads((PAYLOADS / f"{name}.json").read_text())


def record(properties, **changes):
    """A record as every object of HubSpot comes."""
    times = {"createdAt": CREATED.isoformat(), "updatedAt": CHANGED.isoformat()}
    return {"id": "7", "properties": properties, **times, "archived": False, **changes}


def created(name, **changes):
    """What the published body of a creation looks like when it is read."""
    return record(published(name)["properties"] | changes)


def deal(**changes):
    return mapping.deal(created("deal_create_request", **changes), EASTERN, [])


def to(*ids):
    return [Association(key, False, ()) for key in ids]


def at(hour, minute=0, day=14):
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def test_the_published_deal_is_read_whole():
    found = mapping.deal(
        created("deal_create_request"), EASTERN, [Association("9", False, ("Champion",))], to("5", "6")
    )
    assert (found.external_id, found.title, found.amount) == ("7", "New deal", Decimal("1500"))
    assert (found.pipeline, found.stage, found.owner, found.company) == ("default", "contractsent", "910901", "5")
    assert found.contacts == (DealContactRecord("9", roles=("Champion",)),)
    assert (found.status, found.created_at, found.updated_at) == ("open", CREATED, CHANGED)
    assert (found.close_on, found.closed_at, found.stage_entered_at, found.mail_at) == (date(2019, 12, 7),) + (
        None,
    ) * 3


def test_the_published_contacts_and_companies_are_read():
    contacts = [mapping.contact(data) for data in published("contacts_search_response")["results"]]
    assert [(one.external_id, one.name, one.emails) for one in contacts] == [
        ("100451", "Test Person", ("testperson@hubspot.com",)),
        ("57156923994", "Maria Johnson (Sample Contact)", ("emailmaria@hubspot.com",)),
    ]
    assert contacts[0].updated_at == datetime(2024, 9, 11, 13, 27, 39, 356000, tzinfo=UTC)
    company = mapping.company(published("companies_search_response_paged")["results"][0])
    assert (company.external_id, company.name) == ("2810868468", "Google")


def test_the_published_owners_are_read_archived_ones_too():
    owners = [mapping.colleague(data) for data in published("owners_list_response")["results"]]
    assert (owners[0].external_id, owners[0].name, owners[0].teams) == (
        "41629779",
        "HubSpot Test Owner",
        (TeamRecord("368389", "Sales Team"),),
    )
    assert (owners[0].active, owners[2].teams) == (True, ())
    archived = mapping.colleague(published("owners_archived_response")["results"][0])
    assert (archived.name, archived.active) == ("useremail@hubspot.com", False)


def test_the_published_pipeline_is_read_with_its_stages():
    audit = json.loads(published("pipelines_audit_or_list_response")["results"][0]["rawObject"])
    stages = [{"id": stage["stageId"], **stage} for stage in audit["stages"]]
    pipeline, stages = mapping.pipeline({"id": audit["pipelineId"], **audit, "stages": stages})
    assert (pipeline.external_id, pipeline.name, pipeline.position) == ("11348541", "Partner pipeline", 1)
    assert [stage.position for stage in stages] == list(range(len(stages)))
    # Its "Closed lost" is an open stage, which is why a deal is asked before its stage.
    assert [stage.name for stage in stages if stage.closed] == ["Closed won"]


def test_the_published_associations_are_read_with_the_labels_of_the_account():
    found = mapping.associations(published("associations_batch_read_response")["results"])
    assert found == {
        "33451": [Association("5790939450", True, ("Billing contact",))],
        "29851": [
            Association("5790939450", True, ("Chef",)),
            Association("6675245424", False, ()),
            Association("17705714757", False, ("Decision maker",)),
        ],
    }


def test_the_primary_company_comes_first():
    own = {"category": "HUBSPOT_DEFINED", "typeId": 341, "label": None}
    primary = {"category": "HUBSPOT_DEFINED", "typeId": 5, "label": "Primary"}
    pair = [{"toObjectId": 1, "associationTypes": [own]}, {"toObjectId": "2", "associationTypes": [own, primary]}]
    found = mapping.associations([{"from": {"id": "7"}, "to": pair}])["7"]
    assert [other.to for other in found] == ["2", "1"]


@pytest.mark.parametrize(
    ("closed", "won", "stage", "status"),
    [
        ("true", "true", "open", "won"),
        ("true", "false", "open", "lost"),
        ("true", None, "won", "lost"),
        ("false", "false", "won", "open"),
        (None, "true", "open", "won"),
        (None, None, "won", "won"),
        ("", "", "lost", "lost"),
        (None, None, "open", "open"),
        (None, None, None, "open"),
    ],
)
def test_the_deal_says_whether_it_is_closed_else_its_stage(closed, won, stage, status):
    data = created("deal_create_request", hs_is_closed=closed, hs_is_closed_won=won)
    assert mapping.deal(data, EASTERN, stage_statuses={"contractsent": stage} if stage else {}).status == status


@pytest.mark.parametrize(
    ("metadata", "status"),
    [
        ({"probability": "1.0", "isClosed": "true"}, "won"),
        ({"probability": "0.0", "isClosed": "false"}, "lost"),
        ({"probability": "0.2", "isClosed": "false"}, "open"),
        ({"probability": "0.2", "isClosed": "true"}, "lost"),
        ({}, "open"),
        (None, "open"),
    ],
)
def test_a_stage_says_how_deals_end_in_it(metadata, status):
    assert mapping.stage_status({"id": "1", "metadata": metadata}) == status


@pytest.mark.parametrize(
    ("closedate", "close_on"),
    [
        ("2026-11-14T04:59:59.999Z", date(2026, 11, 13)),
        ("2026-11-14T05:00:00Z", date(2026, 11, 14)),
        ("1794632400000", date(2026, 11, 14)),
        ("2026-11-14", date(2026, 11, 13)),
        ("20266-11-14T05:00:00Z", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_the_close_date_is_a_day_of_the_account(closedate, close_on):
    assert deal(closedate=closedate).close_on == close_on


def test_a_closed_deal_was_closed_at_its_close_date():
    assert deal(closedate="2026-11-14T15:00:00Z", hs_is_closed="true").closed_at == at(15)
    assert deal(closedate="2026-11-14T15:00:00Z", hs_is_closed="false").closed_at is None


@pytest.mark.parametrize(
    ("value", "amount"),
    [("1500.00", Decimal("1500")), ("0", Decimal("0")), ("", None), (None, None), ("a lot", None), ("Infinity", None)],
)
def test_amounts(value, amount):
    assert deal(amount=value).amount == amount


def test_a_deal_without_currency_has_that_of_the_account():
    data = created("deal_create_request", deal_currency_code=None)
    assert mapping.deal(data, EASTERN, account_currency="EUR").currency == "EUR"
    assert deal(deal_currency_code="usd").currency == "USD"


def test_stage_entry_is_what_hubspot_computed():
    assert deal(hs_v2_date_entered_current_stage="2026-11-14T15:00:00Z").stage_entered_at == at(15)


def test_contacts_that_were_not_read_are_not_none():
    assert mapping.deal(created("deal_create_request"), EASTERN).contacts is None
    assert deal().contacts == ()


def test_a_deal_of_which_nothing_is_known_but_its_id():
    found = mapping.deal({"id": "7"}, EASTERN)
    assert (found.external_id, found.title, found.status) == ("7", "", "open")
    assert (found.amount, found.stage, found.owner, found.company, found.close_on) == (None,) * 5


@pytest.mark.parametrize("map_one", [mapping.company, mapping.contact, lambda data: mapping.deal(data, EASTERN)])
def test_archived_is_deleted(map_one):
    assert map_one(record({}, archived=True)).deleted
    assert not map_one(record({})).deleted


@pytest.mark.parametrize(
    ("value", "roles"),
    [
        ("CHAMPION;LEGAL_AND_COMPLIANCE", ("Champion", "Legal & Compliance")),
        (";CHAMPION", ("Champion",)),
        ("CHAMPION;option_12", ("Champion", "option_12")),
        ("", ()),
        (None, ()),
    ],
)
def test_buying_roles_are_told_by_their_labels(value, roles):
    options = {option["value"]: option["label"] for option in published("property_hs_buying_role")["options"]}
    assert mapping.contact(record({"hs_buying_role": value}), options).roles == roles


def test_a_contact_has_all_its_addresses_and_its_company():
    properties = {"email": "Ana@Acme.fr", "hs_additional_emails": "ana+crm@acme.fr;A@b.fr;", "associatedcompanyid": "5"}
    found = mapping.contact(record(properties))
    assert (found.emails, found.company) == (("ana@acme.fr", "ana+crm@acme.fr", "a@b.fr"), "5")


CONNECTED, LIVE_MESSAGE = "f240bbac-87c9-4f6e-bf70-924b57d47db7", "a4c4c377-d246-4b32-a13b-75a56a4cd0ff"
NO_ANSWER, VOICEMAIL = "73a0d17f-1163-4015-bdd5-ec830791da20", "b2cf5968-551e-4856-9783-52b3da59a7d0"
BUSY, WRONG_NUMBER = "9d9162e7-6cf3-4944-bf63-4dff82258764", "17b47fee-58de-441e-a44c-c6300d46f273"
OF_THE_CUSTOMER = "00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("disposition", "status", "state"),
    [
        (CONNECTED, "COMPLETED", "held"),
        (CONNECTED, "NO_ANSWER", "held"),
        (LIVE_MESSAGE, "COMPLETED", "held"),
        (NO_ANSWER, "COMPLETED", "attempt"),
        (VOICEMAIL, "COMPLETED", "attempt"),
        (BUSY, "COMPLETED", "attempt"),
        (WRONG_NUMBER.upper(), "COMPLETED", "attempt"),
        (OF_THE_CUSTOMER, "COMPLETED", "held"),
        (OF_THE_CUSTOMER, "BUSY", "attempt"),
        (None, "NO_ANSWER", "attempt"),
        ("", "missed", "attempt"),
        (None, "FAILED", "attempt"),
        (None, "CANCELED", "cancelled"),
        (None, "QUEUED", "held"),
        (None, None, "held"),
        ("", "", "held"),
    ],
)
def test_the_disposition_of_a_call_wins_over_its_status(disposition, status, state):
    data = created("call_create_request", hs_call_disposition=disposition, hs_call_status=status)
    assert mapping.activity("calls", data).state == state


def test_the_published_call_is_read_whole():
    found = mapping.activity("calls", created("call_create_request"), to("1", "2"), to("500"))
    assert (found.external_id, found.kind, found.subject, found.deals) == (
        "calls/7",
        "call",
        "Support call",
        ("1", "2"),
    )
    assert found.at == found.starts_at == datetime(2021, 3, 17, 1, 32, 44, 872000, tzinfo=UTC)
    assert (found.ends_at - found.at).total_seconds() == 3.8
    assert found.participants == (ParticipantRecord("other", contact="500"),)
    assert found.owner == "11349275740"


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        ("COMPLETED", "held"),
        ("SCHEDULED", "held"),
        ("CANCELED", "cancelled"),
        ("CANCELLED", "cancelled"),
        ("NO_SHOW", "no_show"),
        ("No show", "no_show"),
        ("RESCHEDULED", "rescheduled"),
        ("Went well", "held"),
        (None, "held"),
        ("", "held"),
    ],
)
def test_outcomes_of_a_meeting(outcome, state):
    assert mapping.activity("meetings", created("meeting_create_request", hs_meeting_outcome=outcome)).state == state


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2026-11-14T15:00:00Z", "2026-11-14T16:00:00Z", (at(15), at(16), at(16))),
        ("2026-11-14T15:00:00Z", None, (at(15), None, at(15))),
        ("2026-11-14T15:00:00Z", "2026-11-14T14:00:00Z", (at(15), at(14), at(15))),
        (None, None, (at(9), None, at(9))),
    ],
)
def test_a_meeting_happens_at_its_end_or_its_start_if_none_is_recorded(start, end, expected):
    times = {"hs_timestamp": "2026-11-14T09:00:00Z", "hs_meeting_start_time": start, "hs_meeting_end_time": end}
    found = mapping.activity("meetings", created("meeting_create_request", **times))
    assert (found.starts_at, found.ends_at, found.at) == expected


@pytest.mark.parametrize(
    ("colleagues", "contacts", "expected"),
    [
        (None, (), []),
        ("11349275740", (), [ParticipantRecord("organiser", colleague="11349275740")]),
        (
            ";11349275740;42",
            ("101",),
            [
                ParticipantRecord("attendee", contact="101"),
                ParticipantRecord("organiser", colleague="11349275740"),
                ParticipantRecord("attendee", colleague="42"),
            ],
        ),
    ],
)
def test_the_owner_of_a_meeting_is_no_participant_unless_listed(colleagues, contacts, expected):
    data = created("meeting_create_request", hs_attendee_owner_ids=colleagues)
    assert list(mapping.activity("meetings", data, (), to(*contacts)).participants) == expected


@pytest.mark.parametrize(
    ("status", "direction", "state"),
    [
        ("SENT", "EMAIL", "held"),
        ("BOUNCED", "EMAIL", "bounced"),
        ("FAILED", "EMAIL", "bounced"),
        ("SCHEDULED", "EMAIL", "draft"),
        ("SENDING", "EMAIL", "draft"),
        ("DRAFT", "EMAIL", "draft"),
        (None, "DRAFT_EMAIL", "draft"),
        (None, "INCOMING_EMAIL", "held"),
    ],
)
def test_statuses_of_an_email(status, direction, state):
    data = created("email_create_request", hs_email_status=status, hs_email_direction=direction)
    assert mapping.activity("emails", data).state == state


def email(contacts=(), **properties):
    return list(mapping.activity("emails", record(properties), (), to(*contacts)).participants)


def test_the_published_headers_of_an_email_name_its_parties():
    found = mapping.activity("emails", created("email_create_request"), to("601"), to("602"))
    assert (found.subject, found.deals) == ("Let's talk", ("601",))
    assert found.participants == (
        ParticipantRecord("from", address="from@domain.com", name="FromFirst FromLast"),
        ParticipantRecord("to", address="to@test.com", name="ToFirst ToLast"),
    )


def test_addresses_of_an_email_are_those_of_properties_and_headers_together():
    headers = {
        "from": {"email": "Me <me@us.fr>"},
        "to": [{"email": "Ana<ANA+x@acme.fr>"}],
        "cc": [{"email": "c@acme.fr"}],
    }
    assert email(
        hs_email_from_email="me@us.fr",
        hs_email_to_email="bob@acme.fr;Ana+X@acme.fr; ",
        hs_email_cc_email=None,
        hs_email_bcc_email="crm@us.fr",
        hs_email_headers=json.dumps(headers),
    ) == [
        ParticipantRecord("from", address="me@us.fr"),
        ParticipantRecord("to", address="ana+x@acme.fr"),
        ParticipantRecord("to", address="bob@acme.fr"),
        ParticipantRecord("cc", address="c@acme.fr"),
        ParticipantRecord("bcc", address="crm@us.fr"),
    ]


@pytest.mark.parametrize(
    "headers", [None, "", "{", "[]", "null", '{"to": "x", "from": 3, "cc": [null]}', "[" * 100_000]
)
def test_senseless_headers_say_nothing(headers):
    assert email(hs_email_to_email="ana@acme.fr", hs_email_headers=headers) == [
        ParticipantRecord("to", address="ana@acme.fr")
    ]


@pytest.mark.parametrize(("direction", "part"), [("EMAIL", "to"), ("INCOMING_EMAIL", "from"), (None, "to")])
def test_an_email_without_any_address_was_exchanged_with_the_associated_contacts(direction, part):
    assert email(("602",), hs_email_direction=direction) == [ParticipantRecord(part, contact="602")]


def test_an_email_with_an_address_says_nothing_of_its_associated_contacts():
    assert email(("602",), hs_email_from_email="me@us.fr") == [ParticipantRecord("from", address="me@us.fr")]


def test_a_communication_is_a_message_to_the_associated_contacts():
    data = record({"hs_timestamp": "2026-11-14T15:00:00Z", "hs_communication_channel_type": "WHATS_APP"})
    found = mapping.activity("communications", data, to("1"), to("2"))
    assert (found.external_id, found.kind, found.state, found.subject) == (
        "communications/7",
        "message",
        "held",
        "WhatsApp",
    )
    assert (found.at, found.participants) == (at(15), (ParticipantRecord("to", contact="2"),))


@pytest.mark.parametrize("stream", ["calls", "emails", "meetings", "communications"])
def test_an_activity_of_which_nothing_is_known(stream):
    found = mapping.activity(stream, record(None, archived=True))
    assert (found.state, found.at, found.deals, found.participants, found.deleted) == ("held", CREATED, (), (), True)


NAMES = [
    "amount",
    "closedate",
    "createdate",
    "dealstage",
    "email",
    "hs_additional_emails",
    "hs_attendee_owner_ids",
    "hs_buying_role",
    "hs_call_disposition",
    "hs_call_duration",
    "hs_email_from_email",
    "hs_email_headers",
    "hs_is_closed",
    "hs_lastmodifieddate",
    "hs_meeting_end_time",
    "hs_timestamp",
]


@given(st.dictionaries(st.sampled_from(NAMES), st.none() | st.text() | st.integers().map(str) | st.floats().map(str)))
def test_no_value_stops_a_mapping(properties):
    data = record(properties)
    assert mapping.deal(data, EASTERN).external_id == mapping.contact(data).external_id == "7"
    for stream in ("calls", "emails", "meetings", "communications"):
        assert mapping.activity(stream, data).external_id == f"{stream}/7"
