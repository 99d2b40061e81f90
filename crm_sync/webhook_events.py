"""Deliveries of both CRMs to what is kept of them: which object changed, and when. Pure; nothing else is read of them.

Shapes: HubSpot "Webhooks API" (an array of events, of any portals), Pipedrive "Guide for Webhooks v2" (one event with
`meta`, `data`, `previous`). An event may be about two objects (an association) or several (a merge): one `Event` each.
"""

import hashlib
import hmac
import json
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from crm_sync.providers.values import identifier, instant, text

Json = Mapping[str, Any]

MAX_EVENTS = 100  # of one HubSpot delivery
WINDOW = timedelta(minutes=5)  # in which HubSpot's signature holds ("Validating requests", v3)
# The characters that HubSpot decodes in the address before it signs it (same page).
DECODED = {f"%{ord(character):02X}": character for character in ":/?@!$'()*,;"}
PIPEDRIVE = {"deal": "deals", "person": "persons", "organization": "organizations", "activity": "activities"}
HUBSPOT = {"contact": "contacts", "company": "companies", "deal": "deals"}
HUBSPOT |= {"call": "calls", "email": "emails", "meeting": "meetings", "communication": "communications"}
TYPE_IDS = {"0-1": "contacts", "0-2": "companies", "0-3": "deals"}
TYPE_IDS |= {"0-47": "meetings", "0-48": "calls", "0-49": "emails", "0-18": "communications"}
ACTIVITIES = {"calls", "emails", "meetings", "communications"}
DELETIONS = {"deletion", "privacyDeletion"}


class Malformed(Exception):
    """No delivery of this CRM. The text says why, and quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class Event:
    """That an object changed. `action`: change, delete or merge (into the object `into`); `ref` is its external id.

    `key` is the same for every delivery of the event, and for no other event of the account.
    """

    key: str
    stream: str
    ref: str
    action: str
    occurred_at: datetime
    into: str = ""


def signature_v3(secret: str, method: str, uri: str, body: bytes, timestamp: str) -> str:
    """X-HubSpot-Signature-v3 of a request to `uri`, the full address as HubSpot knows it."""
    for encoded, character in DECODED.items():
        uri = uri.replace(encoded, character)
    source = method.encode() + uri.encode() + body + timestamp.encode()
    return b64encode(hmac.new(secret.encode(), source, hashlib.sha256).digest()).decode()


def is_signed(secret: str, method: str, uri: str, body: bytes, timestamp: str, signature: str, now: datetime) -> bool:
    """Whether the app's secret made this signature, not longer ago than WINDOW (nor further ahead: clocks differ)."""
    if not secret or not re.fullmatch(r"[0-9]{1,15}", timestamp):
        return False
    sent = timedelta(milliseconds=int(timestamp))
    if abs((now - datetime(1970, 1, 1, tzinfo=UTC)) - sent) > WINDOW:
        return False
    expected = signature_v3(secret, method, uri, body, timestamp)
    return hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace"))


def loaded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Malformed("no JSON") from None


def hubspot(body: bytes, now: datetime) -> dict[str, list[Event]]:
    """Events by portal. What is about no object that is read here is left out."""
    delivery = loaded(body)
    if not isinstance(delivery, list) or not all(isinstance(one, dict) for one in delivery):
        raise Malformed("no array of events")
    if len(delivery) > MAX_EVENTS:
        raise Malformed(f"more than {MAX_EVENTS} events")
    found: dict[str, list[Event]] = {}
    for one in delivery:
        if portal := identifier(one.get("portalId")):
            found.setdefault(portal, []).extend(_of_hubspot(one, now))
    return found


def _of_hubspot(one: Json, now: datetime) -> Iterator[Event]:
    # "eventType" in the documentation's table, "subscriptionType" in its examples and in deliveries.
    name = text(one.get("subscriptionType")) or text(one.get("eventType"))
    kind, _, change = name.partition(".")
    occurred_at = _moment(one.get("occurredAt"), now)
    said = (name, one.get("eventId"), one.get("occurredAt"), one.get("objectId"))

    def event(stream: str, id: Any, action: str = "change", into: Any = None) -> Iterator[Event]:
        ref, target = _ref(stream, id), _ref(stream, into) or ""
        if ref:
            yield Event(_key(*said, stream, ref), stream, ref, action, occurred_at, target)

    stream = HUBSPOT.get(kind, "") if kind != "object" else TYPE_IDS.get(text(one.get("objectTypeId")), "")
    if change == "associationChange":
        # It is told once for each side, and kept at neither: both are read again.
        sides = text(one.get("associationType")).lower().split("_to_")
        for side, kind in zip(("from", "to"), [*sides, "", ""][:2], strict=True):
            end = TYPE_IDS.get(text(one.get(f"{side}ObjectTypeId"))) or HUBSPOT.get(kind, "")
            yield from event(end, one.get(f"{side}ObjectId"))
    elif change == "merge":
        survivor = one.get("newObjectId") or one.get("primaryObjectId")
        losers = one.get("mergedObjectIds")
        for loser in losers if isinstance(losers, list) else []:
            yield from event(stream, loser, "merge", survivor)
        yield from event(stream, survivor)
    else:
        yield from event(stream, one.get("objectId"), "delete" if change in DELETIONS else "change")


def pipedrive(body: bytes, now: datetime) -> tuple[str, list[Event]]:
    """The company's id, and the events: none when it is about no object that is read here."""
    delivery = loaded(body)
    meta = delivery.get("meta") if isinstance(delivery, dict) else None
    if not isinstance(meta, dict) or not (company := identifier(meta.get("company_id"))):
        raise Malformed("no event of Pipedrive")
    stream, action = PIPEDRIVE.get(text(meta.get("entity")), ""), text(meta.get("action"))
    if not (ref := _ref(stream, meta.get("entity_id"))):
        return company, []
    into = _ref(stream, meta.get("merged_to_id")) or ""
    action = "merge" if into else "delete" if action == "delete" else "change"
    key = _key(text(meta.get("id")), stream, ref, text(meta.get("action")), text(meta.get("timestamp")))
    return company, [Event(key, stream, ref, action, _moment(meta.get("timestamp"), now), into)]


def _ref(stream: str, id: Any) -> str | None:
    number = identifier(id)
    if not stream or not number or not re.fullmatch(r"[0-9]{1,19}", number):
        return None
    return f"{stream}/{number}" if stream in ACTIVITIES else number


def _key(*parts: Any) -> str:
    return hashlib.sha256(json.dumps([text(part, 200) for part in parts]).encode()).hexdigest()


def _moment(value: Any, now: datetime) -> datetime:
    """ISO 8601, seconds (Pipedrive's words) or milliseconds (HubSpot); the moment of receipt when it is neither."""
    raw = text(value, 40)
    return instant(raw + "000" if re.fullmatch(r"[0-9]{10}", raw) else raw) or now
