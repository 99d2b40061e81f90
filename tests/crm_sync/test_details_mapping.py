"""What the CRMs tell of single deals, as they publish it, to records."""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from crm_sync.providers.hubspot import history
from crm_sync.providers.pipedrive import details, mapping
from deals.records import ChangeRecord, ParticipantRecord

PAYLOADS = Path(__file__).parent.parent / "payloads"
HISTORY, PARTICIPANTS, MAIL = 1, 2, 4


def published(crm: str, name: str) -> Any:
    return json.loads((PAYLOADS / crm / f"{name}.json").read_text())


def at(*moment: int) -> datetime:
    return datetime(*moment, tzinfo=UTC)


# ---- Pipedrive


@pytest.mark.parametrize(
    ("told", "bits", "participants", "mail"),
    [
        ({}, 0, "", ""),
        ({"participants_count": 0}, 0, "7/0", ""),
        ({"participants_count": 1}, 0, "7/1", ""),
        ({"participants_count": 1, "person_id": None}, PARTICIPANTS, "/1", ""),
        ({"participants_count": 2}, PARTICIPANTS, "7/2", ""),
        ({"email_messages_count": 0}, 0, "", ""),
        ({"email_messages_count": 1}, MAIL, "", "1//"),
        ({"last_incoming_mail_time": "2026-01-02T03:04:05Z"}, MAIL, "", "/2026-01-02T03:04:05Z/"),
        ({"update_time": "2026-01-01T00:00:01Z"}, HISTORY, "", ""),
        ({"update_time": None}, HISTORY, "", ""),
    ],
)
def test_a_deal_tells_what_is_to_be_read_of_it_alone(
    told: dict[str, Any], bits: int, participants: str, mail: str
) -> None:
    row = {"id": 1, "person_id": 7, "add_time": "2026-01-01T00:00:00Z", "update_time": "2026-01-01T00:00:00Z", **told}
    record = mapping.deal(row)
    assert (record.details, record.participants_told, record.mail_told) == (bits, participants, mail)


def test_the_published_changelog_becomes_a_history() -> None:
    rows = published("pipedrive", "v1_deal_changelog")["data"]
    assert details.history("5", rows).changes == (
        ChangeRecord("amount", "0.00", "100.00", at(2024, 2, 12, 9, 10, 12)),
    )  # a new title is no part of it


@pytest.mark.parametrize(
    ("key", "old", "new", "change"),
    [
        ("stage_id", "1", "2", ("stage", "1", "2")),
        ("stage_id", None, "2", ("stage", None, "2")),
        ("value", "", "12.345", ("amount", None, "12.35")),
        ("value", "1e400", "12", ("amount", None, "12.00")),
        ("value", "12", "12.00", None),
        ("expected_close_date", "2026-02-30", "2026-02-28", ("close_on", None, "2026-02-28")),
        ("expected_close_date", "2026-02-28", None, ("close_on", "2026-02-28", None)),
        ("status", "lost", "open", ("status", "lost", "open")),
        ("owner_id", "1", "2", None),
    ],
)
def test_a_change_is_read_as_what_the_deal_itself_holds(key: str, old: Any, new: Any, change: Any) -> None:
    row = {"field_key": key, "old_value": old, "new_value": new, "time": "2024-02-12 09:10:12"}
    expected = (ChangeRecord(*change, at(2024, 2, 12, 9, 10, 12)),) if change else ()
    assert details.history("5", [row]).changes == expected


@pytest.mark.parametrize(
    "broken", [{"time": None}, {"time": "yesterday"}, {"field_key": None}, {"field_key": ["value"]}]
)
def test_a_change_without_sense_is_left_out(broken: dict[str, Any]) -> None:
    row = {"field_key": "value", "old_value": "1", "new_value": "2", "time": "2024-02-12 09:10:12"} | broken
    assert details.history("5", [row]).changes == ()


def test_the_published_participants_are_read_with_the_time_since_when() -> None:
    rows = published("pipedrive", "v1_deal_participants")["data"]
    assert details.participants("1078", rows).contacts == (("1598", at(2020, 7, 7, 10, 29, 47)),)
    assert details.participants("1078", [rows[0] | {"active_flag": False}]).contacts == ()


def test_the_published_mail_becomes_an_email_with_its_parties() -> None:
    rows = published("pipedrive", "v1_deal_mail_messages")["data"]
    mail, replaced = details.mail("9", rows)
    assert (mail.external_id, mail.kind, mail.state, mail.subject) == (
        "mailMessages/1",
        "email",
        "held",
        "test subject",
    )
    assert (mail.at, mail.deals, mail.deleted) == (at(2019, 11, 14, 6, 2, 6), ("9",), False)
    assert mail.participants == tuple(
        ParticipantRecord(part, address="mail@example.org", contact="1", name="Test")  # type: ignore[arg-type]
        for part in ("from", "to", "cc", "bcc")
    )
    # The mail that was known by its time alone gives way.
    assert (replaced.external_id, replaced.deleted) == ("mail/9", True)
    assert replaced.updated_at > at(2019, 11, 14, 6, 2, 6)


@pytest.mark.parametrize(
    ("change", "state", "deleted"),
    [
        ({"draft_flag": 1}, "draft", False),
        ({"deleted_flag": 1}, "held", True),
        ({"external_deleted_flag": True}, "held", True),
        ({"message_time": None, "add_time": None}, "held", True),
    ],
)
def test_what_was_not_sent_takes_no_mails_place(change: dict[str, Any], state: str, deleted: bool) -> None:
    row = published("pipedrive", "v1_deal_mail_messages")["data"][0]
    [mail] = details.mail("9", [row | {"data": row["data"] | change}])
    assert (mail.state, mail.deleted) == (state, deleted)


def test_a_party_that_the_crm_does_not_know_is_kept_by_its_address() -> None:
    row = published("pipedrive", "v1_deal_mail_messages")["data"][0]
    stranger = {"email_address": "Ana <Ana@New.example>", "linked_person_id": None, "name": "Ana"}
    message = row["data"] | {"from": [stranger], "to": [{"email_address": "n/a"}], "cc": None, "bcc": []}
    mail, _ = details.mail("9", [row | {"data": message}])
    assert mail.participants == (ParticipantRecord("from", address="ana@new.example", name="Ana"),)


# ---- HubSpot

STATUSES: Any = {"demo": "open", "offer": "open", "closedlost": "lost"}
PARIS = ZoneInfo("Europe/Paris")


def version(value: str, *moment: int) -> dict[str, Any]:
    return {"value": value, "timestamp": at(*moment).isoformat(), "sourceType": "CRM_UI"}


def deal(created: str = "2026-01-01T00:00:00Z", **values: Any) -> Any:
    """`values` newest first, as HubSpot gives them."""
    return {"id": "1", "properties": {"createdate": created}, "propertiesWithHistory": values}


def test_the_published_shape_of_a_history_is_read() -> None:
    row = published("hubspot", "contact_with_history")
    row["propertiesWithHistory"] = {"amount": row["propertiesWithHistory"]["is_verified"]}
    row["propertiesWithHistory"]["amount"][0]["value"] = "12"
    assert history.record(row, PARIS, {}).changes == (
        ChangeRecord("amount", None, "12.00", datetime(2022, 11, 7, 21, 54, 3, 930_000, UTC)),
    )


def test_stages_tell_when_a_deal_was_closed_and_opened_again() -> None:
    stages = [version("offer", 2026, 1, 9), version("closedlost", 2026, 1, 5), version("demo", 2026, 1, 1)]
    assert history.record(deal(dealstage=stages), PARIS, STATUSES).changes == (
        ChangeRecord("stage", "demo", "closedlost", at(2026, 1, 5)),
        ChangeRecord("stage", "closedlost", "offer", at(2026, 1, 9)),
        ChangeRecord("status", "open", "lost", at(2026, 1, 5)),
        ChangeRecord("status", "lost", "open", at(2026, 1, 9)),
    )


def test_a_close_time_is_a_day_in_the_portals_zone() -> None:
    times = [version("2026-03-02T23:30:00Z", 2026, 1, 9), version("2026-03-02T22:30:00Z", 2026, 1, 1)]
    [change] = history.record(deal(closedate=times), PARIS, {}).changes
    assert (change.old, change.new) == (date(2026, 3, 2).isoformat(), date(2026, 3, 3).isoformat())


@pytest.mark.parametrize(
    ("amounts", "changes"),
    [
        ([], []),
        ([version("5", 2026, 1, 1, 0, 0, 59)], []),  # filled in with the creation
        ([version("5", 2026, 1, 1, 0, 1, 1)], [(None, "5.00")]),
        ([version("", 2026, 1, 9), version("5", 2026, 1, 1)], [("5.00", None)]),
        ([version("5.00", 2026, 1, 9), version("5", 2026, 1, 1)], []),
        ([{"value": "7"}, version("5", 2026, 1, 1)], []),  # no time
        ("nonsense", []),
    ],
)
def test_the_first_value_is_a_change_only_after_the_creation(amounts: Any, changes: list[Any]) -> None:
    found = history.record(deal(amount=amounts), PARIS, {}).changes
    assert [(change.old, change.new) for change in found] == changes
