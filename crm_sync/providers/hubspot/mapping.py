"""HubSpot's JSON to records. Pure; every property is text, "" or null, or missing; only `id` is certain."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from crm_sync.providers.values import (
    EPOCH,
    address,
    addresses,
    amount,
    currency,
    identifier,
    instant,
    items,
    position,
    split,
    text,
    unique,
)
from deals.records import (
    BITS,
    ActivityRecord,
    ColleagueRecord,
    CompanyRecord,
    ContactRecord,
    DealContactRecord,
    DealRecord,
    Kind,
    MergeRecord,
    Part,
    ParticipantRecord,
    PipelineRecord,
    StageRecord,
    State,
    Status,
    TeamRecord,
)

Json = Mapping[str, Any]

# Outcomes of a call that HubSpot gives every account; those of the customer's own say nothing that is known here.
DISPOSITIONS: dict[str, State] = {
    "f240bbac-87c9-4f6e-bf70-924b57d47db7": "held",  # connected
    "a4c4c377-d246-4b32-a13b-75a56a4cd0ff": "held",  # left live message
    "73a0d17f-1163-4015-bdd5-ec830791da20": "attempt",  # no answer
    "9d9162e7-6cf3-4944-bf63-4dff82258764": "attempt",  # busy
    "b2cf5968-551e-4856-9783-52b3da59a7d0": "attempt",  # left voicemail
    "17b47fee-58de-441e-a44c-c6300d46f273": "attempt",  # wrong number
}
CALL_STATUSES: dict[str, State] = {
    "NO_ANSWER": "attempt",
    "BUSY": "attempt",
    "FAILED": "attempt",
    "MISSED": "attempt",
    "CANCELED": "cancelled",
}
OUTCOMES: dict[str, State] = {"CANCELED": "cancelled", "NO_SHOW": "no_show", "RESCHEDULED": "rescheduled"}
EMAIL_STATUSES: dict[str, State] = {
    "BOUNCED": "bounced",
    "FAILED": "bounced",
    "SCHEDULED": "draft",
    "SENDING": "draft",
    "DRAFT": "draft",
}
CLOSED: dict[str, Status] = {"true": "lost", "false": "open"}  # unless it is won
CHANNELS = {"WHATS_APP": "WhatsApp", "LINKEDIN_MESSAGE": "LinkedIn", "SMS": "SMS"}
SUBJECTS = {"calls": "hs_call_title", "meetings": "hs_meeting_title", "emails": "hs_email_subject"}
KINDS: dict[str, Kind] = {"calls": "call", "emails": "email", "meetings": "meeting", "communications": "message"}


class Association(NamedTuple):
    """The other object's id; whether it is the primary one; the labels that the account itself defined."""

    to: str
    primary: bool
    labels: tuple[str, ...]


def associations(results: Sequence[Json]) -> dict[str, list[Association]]:
    """By the id of the object asked for, the primary one first."""
    found: dict[str, list[Association]] = {}
    for result in results:
        origin = result.get("from")
        source = identifier(origin.get("id")) if isinstance(origin, dict) else None
        if source is None:
            continue
        others = found.setdefault(source, [])
        for to in items(result.get("to")):
            if target := identifier(to.get("toObjectId")):
                others.append(Association(target, *_labels(to.get("associationTypes"))))
    for others in found.values():
        others.sort(key=lambda other: not other.primary)
    return {source: others for source, others in found.items() if others}


def _labels(types: Any) -> tuple[bool, tuple[str, ...]]:
    """Whether it is the primary one, and the account's own labels. Most types are HubSpot's own without a label."""
    labelled = [kind for kind in items(types) if kind.get("label")]
    if not labelled:
        return False, ()
    own = [kind["label"] for kind in labelled if is_own(kind)]
    return "Primary" in own, unique(text(kind["label"], 200) for kind in labelled if not is_own(kind))


def is_own(association_type: Json) -> bool:
    """HubSpot's own type of association, not a label of the account."""
    return association_type.get("category") == "HUBSPOT_DEFINED"


def colleague(data: Json) -> ColleagueRecord:
    email = address(data.get("email"))
    return ColleagueRecord(
        external_id=text(data["id"]),
        name=_joined(data.get("firstName"), data.get("lastName")) or email,
        email=email,
        active=data.get("archived") is not True,
        teams=tuple(_team(team) for team in items(data.get("teams")) if identifier(team.get("id"))),
    )


def _team(data: Json) -> TeamRecord:
    """Whether it is the colleague's primary one makes no difference."""
    key = text(data["id"], 100)
    return TeamRecord(key, text(data.get("name"), 200) or key)


def pipeline(data: Json) -> tuple[PipelineRecord, list[StageRecord]]:
    key = text(data["id"])
    stages = [
        StageRecord(
            external_id=text(stage.get("id"), 100),
            pipeline=key,
            name=text(stage.get("label")),
            position=position(stage.get("displayOrder")),
            closed=stage_status(stage) != "open",
            deleted=stage.get("archived") is True,
        )
        for stage in items(data.get("stages"))
        if identifier(stage.get("id"))
    ]
    return PipelineRecord(
        key, text(data.get("label")), position(data.get("displayOrder")), data.get("archived") is True
    ), stages


def stage_status(stage: Json) -> Status:
    """Of the deals in a stage. HubSpot keeps the probabilities 1 and 0 for won and lost."""
    metadata = stage.get("metadata")
    facts: Json = metadata if isinstance(metadata, Mapping) else {}
    probability = text(facts.get("probability"))
    if re.fullmatch(r"1(\.0*)?", probability):
        return "won"
    closed = re.fullmatch(r"0(\.0*)?", probability) or text(facts.get("isClosed")) == "true"
    return "lost" if closed else "open"


def company(data: Json) -> CompanyRecord:
    properties = _properties(data)
    return CompanyRecord(
        text(data["id"]),
        text(properties.get("name")) or text(properties.get("domain")),
        updated(data),
        data.get("archived") is True,
    )


def contact(data: Json, options: Mapping[str, str] = {}) -> ContactRecord:
    """`options`: the labels of the buying roles by value."""
    properties = _properties(data)
    emails = (properties.get("email"), *split(properties.get("hs_additional_emails")))
    return ContactRecord(
        external_id=text(data["id"]),
        name=_joined(properties.get("firstname"), properties.get("lastname")),
        job_title=text(properties.get("jobtitle")),
        emails=unique(map(address, emails)),
        company=identifier(properties.get("associatedcompanyid")),
        roles=unique(options.get(role, role) for role in split(properties.get("hs_buying_role"))),
        updated_at=updated(data),
        deleted=data.get("archived") is True,
    )


def deal(
    data: Json,
    zone: tzinfo,
    contacts: Sequence[Association] | None = None,
    companies: Sequence[Association] = (),
    account_currency: str = "",
    stage_statuses: Mapping[str, Status] = {},
) -> DealRecord:
    """`zone` is the portal's: in it HubSpot's close time is a day. `contacts` is None when they were not read.

    `stage_statuses`, by stage, are asked only for a deal that does not itself say whether it is closed.
    """
    properties = _properties(data)
    stage = identifier(properties.get("dealstage"))
    changed = updated(data)
    closes_at = instant(properties.get("closedate"))
    status = _status(properties) or stage_statuses.get(stage or "", "open")
    return DealRecord(
        external_id=text(data["id"]),
        title=text(properties.get("dealname")),
        status=status,
        amount=amount(properties.get("amount")),
        currency=currency(properties.get("deal_currency_code")) or account_currency,
        pipeline=identifier(properties.get("pipeline")),
        stage=stage,
        owner=identifier(properties.get("hubspot_owner_id")),
        company=companies[0].to if companies else None,
        contacts=None
        if contacts is None
        else tuple(DealContactRecord(other.to, other.primary, other.labels) for other in contacts),
        created_at=instant(properties.get("createdate")) or instant(data.get("createdAt")) or changed,
        updated_at=changed,
        stage_entered_at=instant(properties.get("hs_v2_date_entered_current_stage")),
        closed_at=None if status == "open" else closes_at,
        close_on=closes_at.astimezone(zone).date() if closes_at else None,
        deleted=data.get("archived") is True,
        details=BITS["history"],
    )


def knows_status(data: Json) -> bool:
    return _status(_properties(data)) is not None


def _status(properties: Json) -> Status | None:
    if text(properties.get("hs_is_closed_won")) == "true":
        return "won"
    return CLOSED.get(text(properties.get("hs_is_closed")))


def activity(
    stream: str, data: Json, deals: Sequence[Association] = (), contacts: Sequence[Association] = ()
) -> ActivityRecord:
    """`stream`: calls, emails, meetings or communications. `deals` and `contacts` are what it is associated with."""
    properties = _properties(data)
    at = instant(properties.get("hs_timestamp")) or instant(data.get("createdAt")) or updated(data)
    starts = ends = None
    match stream:
        case "calls":
            state = _call_state(properties)
            starts, ends = at, _call_end(at, properties.get("hs_call_duration"))
            participants = [ParticipantRecord("other", contact=other.to) for other in contacts]
        case "meetings":
            state = OUTCOMES.get(_code(properties.get("hs_meeting_outcome")), "held")
            starts = instant(properties.get("hs_meeting_start_time")) or at
            ends = instant(properties.get("hs_meeting_end_time"))
            at = max(starts, ends) if ends else starts
            participants = _attendees(properties, contacts)
        case "emails":
            draft = _code(properties.get("hs_email_direction")) == "DRAFT_EMAIL"
            state = EMAIL_STATUSES.get(_code(properties.get("hs_email_status")), "draft" if draft else "held")
            participants = list(_parties(properties)) or _unaddressed(properties, contacts)
        case _:
            state = "held"
            participants = [ParticipantRecord("to", contact=other.to) for other in contacts]
    channel = _code(properties.get("hs_communication_channel_type"))
    return ActivityRecord(
        external_id=f"{stream}/{text(data['id'])}",
        kind=KINDS[stream],
        state=state,
        subject=text(properties.get(SUBJECTS[stream])) if stream in SUBJECTS else CHANNELS.get(channel, ""),
        at=at,
        updated_at=updated(data),
        starts_at=starts,
        ends_at=ends,
        owner=identifier(properties.get("hubspot_owner_id")),
        deals=tuple(other.to for other in deals),
        participants=tuple(participants),
        deleted=data.get("archived") is True,
    )


def _call_state(properties: Json) -> State:
    """What a person recorded wins over what the line told; nothing recorded counts as held."""
    disposition = DISPOSITIONS.get(text(properties.get("hs_call_disposition")).lower())
    return disposition or CALL_STATUSES.get(_code(properties.get("hs_call_status")), "held")


def _call_end(start: datetime, milliseconds: Any) -> datetime | None:
    duration = amount(milliseconds)
    return start + timedelta(milliseconds=float(duration)) if duration and 0 < duration < 86_400_000 else None


def _attendees(properties: Json, contacts: Sequence[Association]) -> list[ParticipantRecord]:
    """The associated contacts and the colleagues listed; the owner, if listed, as the organiser."""
    owner = identifier(properties.get("hubspot_owner_id"))
    colleagues = unique(iter(split(properties.get("hs_attendee_owner_ids"))))
    return [
        *(ParticipantRecord("attendee", contact=other.to) for other in contacts),
        *(ParticipantRecord("organiser" if key == owner else "attendee", colleague=key) for key in colleagues),
    ]


def _parties(properties: Json) -> Iterator[ParticipantRecord]:
    """Everybody whom the e-mail's own properties or its headers name, once in each part."""
    headers = _headers(properties.get("hs_email_headers"))
    parts: tuple[Part, ...] = ("from", "to", "cc", "bcc")
    for part in parts:
        named: dict[str, str] = {}
        listed = headers.get(part) or (headers.get("sender") if part == "from" else None)
        for party in items(listed if isinstance(listed, list) else [listed]):
            for found in addresses(party.get("email")):
                named[found] = named.get(found) or _joined(party.get("firstName"), party.get("lastName"))
        for found in addresses(properties.get(f"hs_email_{part}_email")):
            named.setdefault(found, "")
        yield from (ParticipantRecord(part, address=found, name=name) for found, name in named.items())


def _unaddressed(properties: Json, contacts: Sequence[Association]) -> list[ParticipantRecord]:
    """Logged by hand without any address: it was exchanged with the associated contacts."""
    incoming = _code(properties.get("hs_email_direction")) == "INCOMING_EMAIL"
    return [ParticipantRecord("from" if incoming else "to", contact=other.to) for other in contacts]


_DECODER = json.JSONDecoder(parse_float=Decimal)


def _headers(value: Any) -> Json:
    """JSON inside of a JSON string; other integrations write what they please."""
    try:
        found = _DECODER.decode(value) if isinstance(value, str) else None
    except (ValueError, ArithmeticError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _properties(data: Json) -> Json:
    found = data.get("properties")
    return found if isinstance(found, dict) else {}


def updated(data: Json) -> datetime:
    properties = _properties(data)
    return (
        instant(properties.get("hs_lastmodifieddate"))
        or instant(properties.get("lastmodifieddate"))
        or instant(data.get("updatedAt"))
        or instant(data.get("createdAt"))
        or EPOCH
    )


def merges(kind: Literal["companies", "contacts", "deals"], records: Sequence[Json]) -> list[MergeRecord]:
    """The records say what they were merged from; the survivor may be a new one."""
    found = [(text(one["id"]), split(_properties(one).get("hs_merged_object_ids"))) for one in records]
    return [MergeRecord(kind, survivor, unique(losers)) for survivor, losers in found if losers]


def _code(value: Any) -> str:
    """A value of an enumeration: integrations write `no_answer` and `CANCELLED` too."""
    return text(value, 100).upper().replace(" ", "_").replace("CANCELLED", "CANCELED")


def _joined(first: Any, last: Any) -> str:
    return " ".join(filter(None, (text(first, 500), text(last, 500))))
