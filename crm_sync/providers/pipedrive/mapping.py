"""Pipedrive's JSON (REST v2, users v1) to records. Pure; any property may be null or missing, only `id` is certain."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any, cast

from crm_sync.providers.base import Version
from crm_sync.providers.pipedrive import details
from crm_sync.providers.pipedrive.types import KINDS
from crm_sync.providers.values import (
    EPOCH,
    address,
    amount,
    clock_time,
    currency,
    day,
    identifier,
    instant,
    items,
    position,
    text,
    unique,
)
from deals.records import (
    ActivityRecord,
    ColleagueRecord,
    CompanyRecord,
    ContactRecord,
    DealContactRecord,
    DealRecord,
    Kind,
    ParticipantRecord,
    PipelineRecord,
    StageRecord,
    Status,
)

Json = Mapping[str, Any]

STATUSES: dict[str, Status] = {"won": "won", "lost": "lost"}
MAX_ROLE = 60


def colleague(data: Json) -> ColleagueRecord:
    return ColleagueRecord(
        external_id=text(data["id"]),
        name=text(data.get("name")) or address(data.get("email")),
        email=address(data.get("email")),
        active=data.get("active_flag") is True and data.get("is_deleted") is not True,
    )


def pipeline(data: Json) -> PipelineRecord:
    return PipelineRecord(
        text(data["id"]), text(data.get("name")), position(data.get("order_nr")), data.get("is_deleted") is True
    )


def stage(data: Json) -> StageRecord:
    return StageRecord(
        external_id=text(data["id"]),
        pipeline=text(data.get("pipeline_id")),
        name=text(data.get("name")),
        position=position(data.get("order_nr")),
        deleted=data.get("is_deleted") is True,
    )


def company(data: Json) -> CompanyRecord:
    return CompanyRecord(text(data["id"]), text(data.get("name")), _updated(data), data.get("is_deleted") is True)


def contact(
    data: Json, role_field: str = "", title_field: str = "", options: Mapping[str, str] | None = {}
) -> ContactRecord:
    """`options`: labels of the role field's options (or of the people's labels) by id; None when it is a text.

    `job_title` is there only in accounts with Contact Sync.
    """
    emails = sorted(items(data.get("emails")), key=lambda email: email.get("primary") is not True)
    return ContactRecord(
        external_id=text(data["id"]),
        name=text(data.get("name")),
        job_title=text(_field(data, title_field or "job_title")),
        emails=unique(address(email.get("value")) for email in emails),
        company=identifier(data.get("org_id")),
        roles=_words(_field(data, role_field)) if options is None else _labels(_field(data, role_field), options),
        updated_at=_updated(data),
        deleted=data.get("is_deleted") is True,
    )


def deal(data: Json, role_fields: Mapping[str, str] = {}) -> DealRecord:
    """Of its contacts the list of deals tells the primary one, and those whom `role_fields` hold (`_contacts`)."""
    created, updated = instant(data.get("add_time")), _updated(data)
    status = STATUSES.get(text(data.get("status")), "open")
    closed_at = instant(data.get("close_time")) or instant(data.get(f"{status}_time"))
    return DealRecord(
        external_id=text(data["id"]),
        title=text(data.get("title")),
        status=status,
        amount=amount(data.get("value")),
        currency=currency(data.get("currency")),
        pipeline=identifier(data.get("pipeline_id")),
        stage=identifier(data.get("stage_id")),
        owner=identifier(data.get("owner_id")),
        company=identifier(data.get("org_id")),
        contacts=_contacts(data, role_fields),
        created_at=created or updated,
        updated_at=updated,
        # null: it never left the stage in which it was created
        stage_entered_at=instant(data.get("stage_change_time")) or created,
        closed_at=None if status == "open" else closed_at,
        close_on=day(data.get("expected_close_date")),
        mail_at=max(
            filter(None, (instant(data.get(f"last_{way}_mail_time")) for way in ("incoming", "outgoing"))), default=None
        ),
        archived=data.get("is_archived") is True,
        deleted=data.get("is_deleted") is True or data.get("status") == "deleted",
        **details.told(data),
    )


def activity(data: Json, kinds: Mapping[str, str] = KINDS) -> ActivityRecord | None:
    """None for a type that does not count (`kinds`: what they are, by key), and for what is to be done on no day."""
    type_ref = text(data.get("type"), 100)
    kind = cast("Kind | None", kinds.get(type_ref) or None)
    done = data.get("done") is True
    done_at = instant(data.get("marked_as_done_time")) if done else None
    on, due_time = day(data.get("due_date")), clock_time(data.get("due_time"))
    if kind is None or not (on or done):
        return None

    starts = ends = at = None
    if on and due_time is not None:  # both in UTC; without a time it is a calendar day anywhere
        starts = datetime.combine(on, time(), UTC) + due_time
        ends = starts + (clock_time(data.get("duration")) or timedelta())
        planned_at = starts if kind == "call" else ends
        at = min(ends, done_at or ends) if done else planned_at
    elif not on:
        at = done_at or _updated(data)
    deal_id = identifier(data.get("deal_id"))
    return ActivityRecord(
        external_id=text(data["id"]),
        kind=kind,
        state="held" if done else "planned",
        subject=text(data.get("subject")),
        at=at,
        updated_at=_updated(data),
        on=on if at is None else None,
        starts_at=starts,
        ends_at=ends,
        done_at=done_at,
        owner=identifier(data.get("owner_id")),
        deals=(deal_id,) if deal_id else (),
        participants=_participants(data),
        deleted=data.get("is_deleted") is True,
        type=type_ref,
    )


def _participants(data: Json) -> tuple[ParticipantRecord, ...]:
    """The attendees, who may have declined, then the persons of the activity who are not among them.

    Said in the same way whatever the type is, as an admin may say later that it is something else.
    """
    found: dict[tuple[str | None, ...], ParticipantRecord] = {}
    for attendee in items(data.get("attendees")):
        person, user = identifier(attendee.get("person_id")), identifier(attendee.get("user_id"))
        email = address(attendee.get("email"))
        if person or user or email:
            organises = attendee.get("is_organizer") is True
            found[(person,) if person else (None, user, email)] = ParticipantRecord(
                part="organiser" if organises else "attendee",
                address=email,
                contact=person,
                colleague=user,
                name=text(attendee.get("name")),
                declined=attendee.get("status") == "declined",
            )
    persons = [
        data.get("person_id"),
        *(participant.get("person_id") for participant in items(data.get("participants"))),
    ]
    for person in filter(None, map(identifier, persons)):
        found.setdefault((person,), ParticipantRecord("attendee", contact=person))
    return tuple(found.values())


def _contacts(data: Json, role_fields: Mapping[str, str]) -> tuple[DealContactRecord, ...]:
    """The primary person, and the holders of roles. `role_fields`: names of the deal's people fields, by key.

    Somebody whom a field of the deal names is a contact of the deal even if no participant: the account itself has
    associated this person with this deal, in this role, which is all that an association label of HubSpot's says.
    """
    primary = identifier(data.get("person_id"))
    roles: dict[str, list[str]] = {primary: []} if primary else {}
    for key, role in role_fields.items():
        for person in _ids(_field(data, key)):
            roles.setdefault(person, []).append(role)
    return tuple(DealContactRecord(person, person == primary, unique(held)) for person, held in roles.items())


def _field(data: Json, key: str) -> Any:
    own = data.get("custom_fields")
    return own[key] if isinstance(own, Mapping) and key in own else data.get(key)


def _labels(value: Any, options: Mapping[str, str]) -> tuple[str, ...]:
    return unique(options.get(option, "") for option in _ids(value))


def _ids(value: Any) -> list[str]:
    """Of the options or people that a field holds: one or a list, ids or (with labels, or from v1) objects."""
    chosen = value if isinstance(value, list) else [value]
    ids = (option.get("id") or option.get("value") if isinstance(option, Mapping) else option for option in chosen)
    return list(filter(None, map(identifier, ids)))


def _words(value: Any) -> tuple[str, ...]:
    """The roles that a text names; what is longer than any name of a role is none."""
    parts = (part.strip() for part in re.split(r"[;,\n]", text(value)))
    return unique(part for part in parts if len(part) <= MAX_ROLE)


def version(data: Json) -> Version:
    return Version(text(data["id"]), _updated(data), data.get("is_archived") is True)


def _updated(data: Json) -> datetime:
    """A record that was never changed may have no time of change."""
    return instant(data.get("update_time")) or instant(data.get("add_time")) or EPOCH
