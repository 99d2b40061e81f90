"""What is read of a delivery: signatures, limits, and which object changed. No database."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from crm_sync import webhook_events
from crm_sync.webhook_events import Event, Malformed
from tests.crm_sync.webhook_posts import hubspot_event, pipedrive_event, published

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
VECTORS = published("hubspot", "signature_v3_vectors")


def of_hubspot(*events: Any) -> list[tuple[str, str, str, str]]:
    found = webhook_events.hubspot(json.dumps(events).encode(), NOW)
    return [(e.stream, e.ref, e.action, e.into) for some in found.values() for e in some]


def of_pipedrive(event: Any) -> list[Event]:
    return webhook_events.pipedrive(json.dumps(event).encode(), NOW)[1]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["origin"].partition(" ")[0])
def test_the_published_signatures_are_ours(vector: dict[str, str]) -> None:
    given = (vector["client_secret"], vector["method"], vector["uri"], vector["body"].encode(), vector["timestamp"])
    assert webhook_events.signature_v3(*given) == vector["signature"]
    sent = datetime.fromtimestamp(int(vector["timestamp"]) / 1000, UTC)
    assert webhook_events.is_signed(*given, vector["signature"], sent)


def test_hubspot_signs_the_address_as_it_reads_it() -> None:
    """Only the characters of its list are decoded: %20 stays."""
    vector = VECTORS[0]
    given = {"secret": vector["client_secret"], "method": "POST", "body": b"", "timestamp": vector["timestamp"]}
    encoded = "https://www.example.com/a%3Ab%2Fc%3Fd%40e%21%24%27%28%29%2A%2C%3B%20f"
    decoded = "https://www.example.com/a:b/c?d@e!$'()*,;%20f"
    assert webhook_events.signature_v3(uri=encoded, **given) == webhook_events.signature_v3(uri=decoded, **given)


@pytest.mark.parametrize(
    ("age", "holds"),
    [(-300.001, False), (-300, True), (0, True), (299.999, True), (300, True), (300.001, False), (86_400, False)],
)
def test_a_signature_holds_for_five_minutes(age: float, holds: bool) -> None:
    timestamp = str(round(NOW.timestamp() * 1000))
    now = NOW + timedelta(seconds=age)
    signature = webhook_events.signature_v3("secret", "POST", "https://x", b"[]", timestamp)
    assert webhook_events.is_signed("secret", "POST", "https://x", b"[]", timestamp, signature, now) == holds


@pytest.mark.parametrize("timestamp", ["", "abc", "-1", "1e12", "9" * 16, "１７"])
def test_a_senseless_timestamp_is_no_signature(timestamp: str) -> None:
    signature = webhook_events.signature_v3("secret", "POST", "https://x", b"[]", timestamp)
    assert not webhook_events.is_signed("secret", "POST", "https://x", b"[]", timestamp, signature, NOW)


def test_without_a_secret_nothing_is_signed() -> None:
    timestamp = str(round(NOW.timestamp() * 1000))
    signature = webhook_events.signature_v3("", "POST", "https://x", b"[]", timestamp)
    assert not webhook_events.is_signed("", "POST", "https://x", b"[]", timestamp, signature, NOW)


def test_any_flipped_bit_breaks_the_signature() -> None:
    vector = VECTORS[0]
    sent = datetime.fromtimestamp(int(vector["timestamp"]) / 1000, UTC)
    body = bytearray(vector["body"].encode())
    for bit in range(len(body) * 8):
        body[bit // 8] ^= 1 << bit % 8
        given = (vector["client_secret"], vector["method"], vector["uri"], bytes(body), vector["timestamp"])
        assert not webhook_events.is_signed(*given, vector["signature"], sent)
        body[bit // 8] ^= 1 << bit % 8


@pytest.mark.parametrize(
    ("event", "objects"),
    [
        (hubspot_event("1", 7), [("deals", "7", "change", "")]),
        (hubspot_event("1", 7, "deal.creation"), [("deals", "7", "change", "")]),
        (hubspot_event("1", 7, "deal.restore"), [("deals", "7", "change", "")]),
        (hubspot_event("1", 7, "deal.deletion"), [("deals", "7", "delete", "")]),
        (hubspot_event("1", 7, "contact.privacyDeletion"), [("contacts", "7", "delete", "")]),
        (hubspot_event("1", 7, "company.propertyChange"), [("companies", "7", "change", "")]),
        (hubspot_event("1", 7, "object.creation", objectTypeId="0-48"), [("calls", "calls/7", "change", "")]),
        (hubspot_event("1", 7, "object.deletion", objectTypeId="0-49"), [("emails", "emails/7", "delete", "")]),
        (hubspot_event("1", 7, "object.creation", objectTypeId="0-46"), []),  # a note
        (hubspot_event("1", 7, "ticket.creation"), []),
        (hubspot_event("1", 7, "conversation.newMessage"), []),
        (
            hubspot_event(
                "1", 7, "deal.associationChange", associationType="DEAL_TO_CONTACT", fromObjectId=7, toObjectId=8
            ),
            [("deals", "7", "change", ""), ("contacts", "8", "change", "")],
        ),
        (
            hubspot_event(
                "1",
                7,
                "object.associationChange",
                fromObjectTypeId="0-47",
                toObjectTypeId="0-3",
                fromObjectId=7,
                toObjectId=8,
            ),
            [("meetings", "meetings/7", "change", ""), ("deals", "8", "change", "")],
        ),
        (
            hubspot_event("1", 9, "deal.merge", primaryObjectId=7, mergedObjectIds=[8, 7], newObjectId=9),
            [("deals", "8", "merge", "9"), ("deals", "7", "merge", "9"), ("deals", "9", "change", "")],
        ),
        (
            hubspot_event("1", 7, "contact.merge", primaryObjectId=7, mergedObjectIds=[8]),
            [("contacts", "8", "merge", "7"), ("contacts", "7", "change", "")],
        ),
        (hubspot_event("1", 7) | {"objectId": "7'; DROP TABLE"}, []),
        (hubspot_event("1", 7) | {"objectId": None}, []),
        (hubspot_event("1", 7) | {"objectId": 10**19}, []),
        (hubspot_event("1", 7) | {"objectId": "１７"}, []),
        (hubspot_event("1", 7) | {"subscriptionType": {"a": 1}}, []),
        (hubspot_event("1", 7, "deal.merge", mergedObjectIds="8"), []),
    ],
)
def test_which_objects_an_event_of_hubspot_is_about(event: Any, objects: list[Any]) -> None:
    assert of_hubspot(event) == objects


def test_the_published_deliveries_of_hubspot_are_understood() -> None:
    assert of_hubspot(*published("hubspot", "classic_batch")) == [
        ("contacts", "1246965", "change", ""),
        ("contacts", "1246978", "change", ""),
    ]
    assert of_hubspot(*published("hubspot", "deal_propertyChange")) == [("deals", "697680835", "change", "")]
    assert of_hubspot(*published("hubspot", "sensitive_property_redacted")) == [("contacts", "847297356", "change", "")]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("deal_create", ("deals", "8", "change")),
        ("deal_change", ("deals", "8", "change")),
        ("deal_delete", ("deals", "8", "delete")),
        ("activity_create", ("activities", "2", "change")),
        ("activity_change", ("activities", "2", "change")),
        ("activity_delete", ("activities", "2", "delete")),
        ("person_create", ("persons", "8", "change")),
        ("note_create", None),
    ],
)
def test_the_published_deliveries_of_pipedrive_are_understood(name: str, found: Any) -> None:
    events = of_pipedrive(published("pipedrive", f"v2_{name}"))
    assert [(e.stream, e.ref, e.action) for e in events] == ([found] if found else [])


def test_a_merge_of_pipedrive_names_the_survivor() -> None:
    [event] = of_pipedrive(pipedrive_event("1", 8, action="delete", merged_to_id="9"))
    assert (event.ref, event.action, event.into) == ("8", "merge", "9")


@pytest.mark.parametrize(
    ("said", "moment"),
    [
        ("2022-11-24T15:11:55.724Z", datetime(2022, 11, 24, 15, 11, 55, 724_000, tzinfo=UTC)),
        ("1669302715", datetime(2022, 11, 24, 15, 11, 55, tzinfo=UTC)),  # "10 character timestamp"
        ("yesterday", NOW),
        (None, NOW),
    ],
)
def test_when_an_event_happened(said: Any, moment: datetime) -> None:
    [event] = of_pipedrive(pipedrive_event("1", 8, timestamp=said))
    assert event.occurred_at == moment


def test_every_delivery_of_an_event_has_its_key_and_another_event_another() -> None:
    first, again = hubspot_event("1", 7), hubspot_event("1", 7, attemptNumber=3)
    others = [{"eventId": 101}, {"occurredAt": 1_700_000_000_001}, {"objectId": 8}]
    others += [{"subscriptionType": "deal.creation"}]
    found = webhook_events.hubspot(json.dumps([first, again, *(first | one for one in others)]).encode(), NOW)["1"]
    keys = [event.key for event in found]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 1 + len(others)
    told = [pipedrive_event("1", 8, attempt=1), pipedrive_event("1", 8, attempt=2), pipedrive_event("1", 8)]
    told[2]["meta"]["id"] = "x"
    keys = [event.key for one in told for event in of_pipedrive(one)]
    assert keys[0] == keys[1] != keys[2]


def test_the_events_of_several_portals_are_told_apart() -> None:
    found = webhook_events.hubspot(json.dumps([hubspot_event("1", 7), hubspot_event("2", 7)]).encode(), NOW)
    assert {portal: [event.ref for event in events] for portal, events in found.items()} == {"1": ["7"], "2": ["7"]}


@pytest.mark.parametrize("count", [0, 1, 100])
def test_a_delivery_holds_a_hundred_events(count: int) -> None:
    events = [hubspot_event("1", id) for id in range(count)]
    assert len(of_hubspot(*events)) == count


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"null", b"7", b'"x"', b"[1]", b"[[]]", b"{}", b"\xff", b"[" * 100_000),
        json.dumps([hubspot_event("1", 7)] * 101).encode(),
    ],
)
def test_what_is_no_delivery_of_hubspot_is_refused(body: bytes) -> None:
    with pytest.raises(Malformed):
        webhook_events.hubspot(body, NOW)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{}", b'{"meta":[]}', b'{"meta":{}}', b'{"meta":{"id":"x"}}'])
def test_what_is_no_delivery_of_pipedrive_is_refused(body: bytes) -> None:
    with pytest.raises(Malformed):
        webhook_events.pipedrive(body, NOW)
