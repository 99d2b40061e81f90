"""What Pipedrive tells of single deals: participants, mail messages, changelog (all v1). Pure but for `read`."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from crm_sync.providers.values import EPOCH, address, amount, day, identifier, instant, items, text
from deals.records import (
    BITS,
    ActivityRecord,
    Batch,
    ChangeRecord,
    DealParticipantsRecord,
    Detail,
    HistoryRecord,
    Part,
    ParticipantRecord,
    State,
    Told,
)

Json = Mapping[str, Any]
Lister = Callable[..., tuple[list[Json], str | None]]  # path, parameters, position: a page, and where the next begins

PATHS = {"participants": "participants", "mail": "mailMessages", "history": "changelog"}
LIMIT = 500  # a call costs the same whatever its limit
MOST = 20  # pages of one deal: whoever has more than 10,000 mails on it has the newest
FIELDS: dict[str, Told] = {
    "stage_id": "stage",
    "value": "amount",
    "expected_close_date": "close_on",
    "status": "status",
}
PARTS: tuple[Part, ...] = ("from", "to", "cc", "bcc")


def told(data: Json) -> dict[str, Any]:
    """What a deal of the list says of what is to be read of it alone, as arguments of `DealRecord`.

    The primary person is taken for one of the participants: where it is the only one, there is nothing to read. A deal
    that was never changed has no changelog.
    """
    person, mails = identifier(data.get("person_id")) or "", [text(data.get(f"last_{way}_mail_time")) for way in WAYS]
    count, messages = text(data.get("participants_count")), text(data.get("email_messages_count"))
    found = BITS["history"] if data.get("update_time") != data.get("add_time") else 0
    if count not in ("", "0", "1") or (count == "1" and not person):
        found |= BITS["participants"]
    mail_told = "/".join([messages, *mails]) if messages not in ("", "0") or any(mails) else ""
    return {
        "details": found | (BITS["mail"] if mail_told else 0),
        "participants_told": f"{person}/{count}" if count else "",
        "mail_told": mail_told,
    }


WAYS = ("incoming", "outgoing")


def read(pages: Lister, what: Detail, deal: str) -> Batch:
    path, position = f"/api/v1/deals/{deal}/{PATHS[what]}", ""
    records: list[Json] = []
    for _ in range(MOST):
        page, following = pages(path, {"limit": LIMIT}, position)
        records += page
        position = following or ""
        if not following:
            break
    match what:
        case "participants":
            return Batch(participants=[participants(deal, records)])
        case "mail":
            return Batch(activities=list(mail(deal, records)))
    # Nothing at all is no history: what was seen stays.
    return Batch(histories=[history(deal, records)] if records else [])


def participants(deal: str, records: list[Json]) -> DealParticipantsRecord:
    found: dict[str, datetime | None] = {}
    for record in records:
        person = record.get("person_id")
        id = identifier(person.get("value") if isinstance(person, Mapping) else person)
        if id and record.get("active_flag") is not False:
            found[id] = instant(record.get("add_time"))
    return DealParticipantsRecord(deal, tuple(found.items()))


def history(deal: str, records: list[Json]) -> HistoryRecord:
    found = []
    for record in records:
        field, at = FIELDS.get(text(record.get("field_key"))), instant(record.get("time"))
        if field is None or at is None:
            continue
        old, new = _value(field, record.get("old_value")), _value(field, record.get("new_value"))
        if old != new:
            found.append(ChangeRecord(field, old, new, at))
    return HistoryRecord(deal, tuple(found))


def _value(field: Told, value: Any) -> str | None:
    match field:
        case "amount":
            found = amount(value)
            return None if found is None else str(found)
        case "close_on":
            closes_on = day(value)
            return closes_on.isoformat() if closes_on else None
    return identifier(value)


def mail(deal: str, records: list[Json]) -> Iterator[ActivityRecord]:
    """The messages, and in place of the last mail whose time alone was known nothing, where it is among them.

    A draft, and what was deleted, engages nobody. Whoever the CRM does not know is there by address.
    """
    newest: datetime | None = None
    for record in records:
        message = record.get("data")
        if not isinstance(message, Mapping) or not identifier(message.get("id")):
            continue
        at = instant(message.get("message_time")) or instant(message.get("add_time"))
        deleted = message.get("deleted_flag") in (1, True) or message.get("external_deleted_flag") is True
        state: State = "draft" if message.get("draft_flag") in (1, True) else "held"
        if at and state == "held" and not deleted:
            newest = max(newest or at, at)
        yield ActivityRecord(
            external_id=f"mailMessages/{text(message['id'])}",
            kind="email",
            state=state,
            subject=text(message.get("subject")),
            at=at,
            updated_at=instant(message.get("update_time")) or at or EPOCH,
            deals=(deal,),
            participants=tuple(_parties(message)),
            deleted=deleted or at is None,
        )
    if newest:
        yield ActivityRecord(
            external_id=f"mail/{deal}",
            kind="email",
            state="held",
            subject="",
            at=newest,
            # Newer than what the deal tells of this mail, older than what it tells of the next one (deals.upsert).
            updated_at=newest.replace(microsecond=999_999),
            deals=(deal,),
            deleted=True,
        )


def _parties(message: Json) -> Iterator[ParticipantRecord]:
    for part in PARTS:
        for party in items(message.get(part)):
            email, person = address(party.get("email_address")), identifier(party.get("linked_person_id"))
            if email or person:
                name = text(party.get("linked_person_name")) or text(party.get("name"))
                yield ParticipantRecord(part, address=email, contact=person, name=name)
