"""Pipedrive's published JSON, and what customers make of it, as records."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_sync.providers.pipedrive import mapping
from deals.records import DealContactRecord, ParticipantRecord

PAYLOADS = Path(__file__).parent.parent / "payloads" / "pipedrive"
NEW_YEAR = datetime(2021, 1, 1, tzinfo=UTC)


def published(name, **changes):
    """The first record of a published answer, changed."""
    data = json.loads((PAYLOADS / f"{name}.json").read_text())["data"]
    return (data[0] if isinstance(data, list) else data) | changes


def deal(**changes):
    return mapping.deal(published("v2_deals_list", **changes))


def activity(**changes):
    """The published activity as a call or meeting of 14 November, 15:00 to 16:00 UTC, with nobody."""
    defaults = {
        "type": "meeting",
        "done": False,
        "due_date": "2026-11-14",
        "due_time": "15:00:00",
        "duration": "01:00:00",
        "marked_as_done_time": None,
        "person_id": None,
        "participants": [],
        "attendees": [],
    }
    return mapping.activity(published("v2_activities_list", **defaults | changes))


def at(hour, minute=0, day=14):
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def test_the_published_deal_is_read_whole():
    record = deal()
    assert (record.external_id, record.title, record.status) == ("1", "Deal Title", "open")
    assert (record.amount, record.currency) == (Decimal("200"), "USD")
    assert (record.pipeline, record.stage, record.owner, record.company) == ("1", "1", "1", "1")
    assert record.contacts == (DealContactRecord("1", primary=True),)
    assert record.created_at == record.updated_at == record.stage_entered_at == NEW_YEAR
    assert record.close_on == date(2021, 1, 1)
    assert (record.closed_at, record.mail_at, record.archived, record.deleted) == (None, None, False, False)


def test_the_published_users_pipelines_stages_organisations_and_persons_are_read():
    user = mapping.colleague(published("v1_users"))
    assert (user.external_id, user.name, user.email, user.active) == ("1", "John Doe", "john@pipedrive.com", True)
    pipeline = mapping.pipeline(published("v2_pipelines"))
    assert (pipeline.external_id, pipeline.name, pipeline.position) == ("1", "Pipeline Name", 1)
    stage = mapping.stage(published("v2_stages"))
    assert (stage.external_id, stage.pipeline, stage.name, stage.closed) == ("1", "1", "Stage Name", False)
    company = mapping.company(published("v2_organizations_list"))
    assert (company.external_id, company.name, company.updated_at) == ("1", "Organization Name", NEW_YEAR)
    contact = mapping.contact(published("v2_persons_list"))
    assert (contact.external_id, contact.name, contact.job_title) == ("1", "Person Name", "Manager")
    assert (contact.emails, contact.company, contact.roles) == (("email1@email.com", "email2@email.com"), "1", ())


def test_the_published_activity_type_is_no_interaction():
    assert mapping.activity(published("v2_activities_list")) is None


@pytest.mark.parametrize(
    ("type_", "kind"),
    [("call", "call"), ("meeting", "meeting"), ("lunch", "meeting")],
)
def test_calls_meetings_and_lunches_are_interactions(type_, kind):
    assert activity(type=type_).kind == kind


@pytest.mark.parametrize("type_", ["task", "email", "deadline", "demo", "", None, 3, ["call"]])
def test_every_other_type_is_dropped(type_):
    assert activity(type=type_) is None


@pytest.mark.parametrize(
    ("changes", "status", "closed_at"),
    [
        ({"status": "won", "close_time": None, "won_time": "2026-11-14T15:00:00Z"}, "won", at(15)),
        ({"status": "lost", "close_time": "2026-11-14T16:00:00Z"}, "lost", at(16)),
        ({"status": "lost", "close_time": None, "lost_time": None}, "lost", None),
        ({"status": "open"}, "open", None),
        ({"status": None}, "open", None),
    ],
)
def test_status_and_closing(changes, status, closed_at):
    record = deal(**changes)
    assert (record.status, record.closed_at) == (status, closed_at)


@pytest.mark.parametrize("changes", [{"is_deleted": True}, {"status": "deleted"}])
def test_a_deleted_deal_is_told(changes):
    assert deal(**changes).deleted


def test_a_deal_that_never_changed_stage_entered_it_at_its_creation():
    created = deal(stage_change_time=None, add_time="2026-11-14T15:00:00Z")
    assert created.stage_entered_at == created.created_at == at(15)


def test_a_deal_without_times_of_its_own_takes_the_ones_it_has():
    assert deal(add_time=None, update_time="2026-11-14T15:00:00Z").created_at == at(15)
    assert deal(add_time="2026-11-14T15:00:00Z", update_time=None).updated_at == at(15)


@pytest.mark.parametrize(
    ("incoming", "outgoing", "expected"),
    [
        ("2026-11-14T09:00:00Z", "2026-11-14T15:00:00Z", at(15)),
        ("2026-11-14T15:00:00Z", None, at(15)),
        (None, "2026-11-14T15:00:00Z", at(15)),
        (None, None, None),
    ],
)
def test_unreadable_mail_is_the_later_of_incoming_and_outgoing(incoming, outgoing, expected):
    assert deal(last_incoming_mail_time=incoming, last_outgoing_mail_time=outgoing).mail_at == expected


@pytest.mark.parametrize(
    ("value", "amount"),
    [
        (200, Decimal("200")),
        (0, Decimal("0")),
        (1234.565, Decimal("1234.57")),
        ("99.90", Decimal("99.90")),
        (-5, Decimal("-5")),
        (None, None),
        ("", None),
        ("much", None),
        ("NaN", None),
        (1e30, None),
        (True, None),
        ({}, None),
    ],
)
def test_amounts(value, amount):
    assert deal(value=value).amount == amount


def test_a_deal_of_which_nothing_is_known_but_its_id():
    record = mapping.deal({"id": 7})
    assert (record.external_id, record.title, record.status, record.contacts) == ("7", "", "open", ())
    assert (record.amount, record.stage, record.owner, record.company, record.close_on) == (None,) * 5


@pytest.mark.parametrize(
    ("title", "kept"),
    [
        ("x" * 10_000, "x" * 5_000),
        (" Projet\0 Zéphyr ", "Projet Zéphyr"),
        ("🚀 عقد <b>", "🚀 عقد <b>"),
        ("half \ud83d", "half ?"),
        (None, ""),
    ],
)
def test_titles(title, kept):
    assert deal(title=title).title == kept


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"done": True, "marked_as_done_time": "2026-11-14T18:00:00Z"}, at(16)),
        ({"done": True, "marked_as_done_time": "2026-11-14T15:20:00Z"}, at(15, 20)),
        ({"done": True, "marked_as_done_time": "2026-11-13T09:00:00Z"}, at(9, day=13)),
        ({"done": True}, at(16)),
        ({"done": True, "type": "call", "marked_as_done_time": "2026-11-14T18:00:00Z"}, at(16)),
        ({"done": True, "duration": None, "marked_as_done_time": "2026-11-14T18:00:00Z"}, at(15)),
        ({"done": True, "due_time": "23:30", "duration": "01:00"}, at(0, 30, day=15)),
        ({"done": True, "due_date": None, "marked_as_done_time": "2026-11-14T18:00:00Z"}, at(18)),
    ],
)
def test_a_done_activity_happened_at_its_due_end_or_when_it_was_marked_if_earlier(changes, expected):
    record = activity(**changes)
    assert (record.state, record.at, record.on) == ("held", expected, None)


def test_an_undone_meeting_is_planned_until_its_end_and_an_undone_call_from_its_start():
    meeting, call = activity(), activity(type="call")
    assert (meeting.state, meeting.at, meeting.starts_at, meeting.ends_at) == ("planned", at(16), at(15), at(16))
    assert (call.state, call.at, call.starts_at, call.ends_at) == ("planned", at(15), at(15), at(16))


def test_an_old_time_of_marking_says_nothing_of_an_undone_activity():
    assert activity(marked_as_done_time="2026-11-01T09:00:00Z").done_at is None


@pytest.mark.parametrize("due_time", [None, "", "soon"])
def test_an_activity_without_time_of_day_has_a_calendar_day(due_time):
    planned = activity(due_time=due_time)
    assert (planned.state, planned.on, planned.at, planned.starts_at, planned.ends_at) == (
        "planned",
        date(2026, 11, 14),
        None,
        None,
        None,
    )
    done = activity(due_time=due_time, done=True, marked_as_done_time="2026-11-12T09:00:00Z")
    assert (done.state, done.on, done.at, done.done_at) == ("held", date(2026, 11, 14), None, at(9, day=12))


def test_what_is_to_be_done_on_no_day_is_dropped():
    assert activity(due_date=None) is None


def test_an_activity_belongs_to_its_deal_and_nothing_else():
    assert activity(deal_id=5).deals == ("5",)
    assert activity(deal_id=None).deals == ()


ANA = {
    "email": "Ana@Acme.fr",
    "name": "Ana",
    "status": "accepted",
    "is_organizer": False,
    "person_id": 6,
    "user_id": None,
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        (
            {"type": "call", "person_id": 6, "participants": [{"person_id": 6, "primary": True}, {"person_id": 8}]},
            [ParticipantRecord("attendee", contact="6"), ParticipantRecord("attendee", contact="8")],
        ),
        (
            {"person_id": 6, "participants": [{"person_id": 6, "primary": True}]},
            [ParticipantRecord("attendee", contact="6")],
        ),
        (
            {"attendees": [ANA], "participants": [{"person_id": 6}]},
            [ParticipantRecord("attendee", address="ana@acme.fr", contact="6", name="Ana")],
        ),
        (
            {"attendees": [ANA | {"status": "declined"}], "person_id": 6, "participants": [{"person_id": 6}]},
            [ParticipantRecord("attendee", address="ana@acme.fr", contact="6", name="Ana", declined=True)],
        ),
        (
            {"attendees": [ANA | {"person_id": None}], "participants": [{"person_id": 8}]},
            [
                ParticipantRecord("attendee", address="ana@acme.fr", name="Ana"),
                ParticipantRecord("attendee", contact="8"),
            ],
        ),
        (
            {"attendees": [ANA | {"person_id": None, "user_id": 1, "is_organizer": True, "email": None}]},
            [ParticipantRecord("organiser", colleague="1", name="Ana")],
        ),
        ({"attendees": [{"name": "Nobody", "email": "", "person_id": None, "user_id": None}]}, []),
        ({"attendees": None, "participants": None}, []),
    ],
)
def test_participants(changes, expected):
    assert list(activity(**changes).participants) == expected


def test_a_deleted_activity_is_told():
    assert activity(is_deleted=True).deleted


@pytest.mark.parametrize(
    ("value", "roles"),
    [
        (123, ("Champion",)),
        ("123", ("Champion",)),
        ([123, 456], ("Champion", "Decision maker")),
        ({"id": 123, "label": "Champion"}, ("Champion",)),
        ([{"id": 456, "label": "Decision maker"}], ("Decision maker",)),
        ([123, 789], ("Champion",)),
        (None, ()),
        ([], ()),
    ],
)
def test_roles_are_the_labels_of_the_mapped_field(value, roles):
    options = {"123": "Champion", "456": "Decision maker"}
    person = published("v2_persons_list", custom_fields={"hash": value})
    assert mapping.contact(person, "hash", "", options).roles == roles


def test_the_labels_of_a_person_can_hold_its_role():
    assert mapping.contact(published("v2_persons_list"), "label_ids", "", {"2": "Buyer"}).roles == ("Buyer",)


def test_a_mapped_job_title_replaces_that_of_contact_sync():
    person = published("v2_persons_list", custom_fields={"hash": "Directrice des achats"})
    assert mapping.contact(person, "", "hash").job_title == "Directrice des achats"
    assert mapping.contact(published("v2_persons_list"), "", "hash").job_title == ""


@pytest.mark.parametrize(
    ("emails", "expected"),
    [
        ([{"value": " Ana+CRM@Acme.FR ", "primary": True}], ("ana+crm@acme.fr",)),
        ([{"value": "b@x.fr", "primary": False}, {"value": "a@x.fr", "primary": True}], ("a@x.fr", "b@x.fr")),
        ([{"value": "a@x.fr"}, {"value": "A@X.fr"}], ("a@x.fr",)),
        ([{"value": "n/a"}, {"value": ""}, {"value": None}, {}], ()),
        ([], ()),
        (None, ()),
    ],
)
def test_addresses_of_a_person(emails, expected):
    assert mapping.contact(published("v2_persons_list", emails=emails)).emails == expected


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats()
    | st.text()
    | st.just("9999-12-31T23:59:59Z"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "value", "person_id"]), inner),
    max_leaves=5,
)


@given(st.data())
def test_no_value_stops_a_mapping(data):
    for name, function in {
        "v1_users": mapping.colleague,
        "v2_pipelines": mapping.pipeline,
        "v2_stages": mapping.stage,
        "v2_organizations_list": mapping.company,
        "v2_persons_list": mapping.contact,
        "v2_deals_list": mapping.deal,
        "v2_activities_list": mapping.activity,
    }.items():
        record = published(name, type="meeting")
        key = data.draw(st.sampled_from(sorted(record.keys() - {"id", "type"})))
        assert function(record | {key: data.draw(values)}).external_id == "1"


BUYER, SIGNER = "b" * 40, "c" * 40
PEOPLE = {BUYER: "Economic buyer", SIGNER: "Signataire"}


@pytest.mark.parametrize(
    ("fields", "contacts"),
    [
        ({BUYER: 2}, [("1", True, ()), ("2", False, ("Economic buyer",))]),
        ({BUYER: 1}, [("1", True, ("Economic buyer",))]),
        ({BUYER: 2, SIGNER: 2}, [("1", True, ()), ("2", False, ("Economic buyer", "Signataire"))]),
        ({BUYER: [2, 3]}, [("1", True, ()), ("2", False, ("Economic buyer",)), ("3", False, ("Economic buyer",))]),
        ({BUYER: {"type": "people", "id": 17818}}, [("1", True, ()), ("17818", False, ("Economic buyer",))]),
        ({BUYER: {"value": 2, "name": "Bea"}}, [("1", True, ()), ("2", False, ("Economic buyer",))]),
        ({BUYER: None, "other": 9}, [("1", True, ())]),
        ({BUYER: True, SIGNER: [None, {}, ""]}, [("1", True, ())]),
        ({}, [("1", True, ())]),
        (None, [("1", True, ())]),
    ],
)
def test_people_fields_of_a_deal_name_the_holders_of_roles(fields, contacts):
    data = published("v2_deals_list", custom_fields=fields)
    assert [(c.contact, c.primary, c.roles) for c in mapping.deal(data, PEOPLE).contacts] == contacts
    assert mapping.deal(data).contacts == (DealContactRecord("1", primary=True),)


def test_a_deal_without_primary_person_has_the_holders_of_roles():
    data = published("v2_deals_list", person_id=None, custom_fields={BUYER: 2})
    assert mapping.deal(data, PEOPLE).contacts == (DealContactRecord("2", roles=("Economic buyer",)),)


@pytest.mark.parametrize(
    ("value", "roles"),
    [
        ("Champion", ("Champion",)),
        (" Champion ; Decision maker,\nSponsor ", ("Champion", "Decision maker", "Sponsor")),
        ("x" * 60, ("x" * 60,)),
        ("x" * 61, ()),
        (";,", ()),
        (None, ()),
        (5, ("5",)),
        ({}, ()),
    ],
)
def test_a_text_names_roles(value, roles):
    person = published("v2_persons_list", custom_fields={"r": value})
    assert mapping.contact(person, "r", "", None).roles == roles


def test_labels_of_a_person_are_roles_when_chosen():
    person = published("v2_persons_list", label_ids=[5, 6, 99])
    options = {"5": "Champion", "6": "Décideur", "7": "Client"}
    assert mapping.contact(person, "label_ids", "", options).roles == ("Champion", "Décideur")
