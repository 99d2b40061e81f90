"""Deliveries as the two CRMs post them, written without the product's code."""

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

from django.test import Client

PAYLOADS = Path(__file__).parent.parent / "payloads"
SITE, SECRET = "https://vigie.example.com", "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy"
CLIENT = Client()
HUBSPOT = "/webhooks/hubspot/"


def published(crm: str, name: str) -> Any:
    return json.loads((PAYLOADS / crm / f"webhook_{name}.json").read_text())


def signature(secret: str, uri: str, body: bytes, timestamp: str) -> str:
    digest = hmac.new(secret.encode(), b"POST" + uri.encode() + body + timestamp.encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def post_hubspot(events: Any, *, age: float = 0, secret: str = SECRET, path: str = HUBSPOT, **change: Any) -> Any:
    """Signed `age` seconds ago. `change`: another body, signature or timestamp than those that were signed."""
    body = events if isinstance(events, bytes) else json.dumps(events).encode()
    timestamp = str(round((time.time() - age) * 1000))
    signed = signature(secret, SITE + path, body, timestamp)
    headers = {
        "X-HubSpot-Signature-v3": change.get("signature", signed),
        "X-HubSpot-Request-Timestamp": change.get("timestamp", timestamp),
    }
    body = change.get("body", body)
    return CLIENT.post(path, body, content_type="application/json", headers=headers)


def hubspot_event(portal: str, id: int | str, kind: str = "deal.propertyChange", **more: Any) -> dict[str, Any]:
    return {
        "eventId": 100,
        "subscriptionId": 1,
        "portalId": int(portal),
        "appId": 1,
        "occurredAt": 1_700_000_000_000,
        "subscriptionType": kind,
        "attemptNumber": 0,
        "objectId": int(id),
        "changeSource": "CRM_UI",
        **more,
    }


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def post_pipedrive(address: str, body: Any, *, password: str, user: str = "vigie") -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Authorization": basic(user, password)} if password else {}
    return CLIENT.post(f"/webhooks/pipedrive/{address}/", content, content_type="application/json", headers=headers)


def pipedrive_event(company: str, id: int | str, entity: str = "deal", action: str = "change", **meta: Any) -> Any:
    event = published("pipedrive", "v2_deal_change")
    event["meta"] |= {"company_id": company, "entity_id": str(id), "entity": entity, "action": action} | meta
    return event
