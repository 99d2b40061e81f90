"""Both CRMs tell what changes, by the delivery rules that each publishes.

Pipedrive ("Guide for Webhooks v2"): one event a request, an answer within 10 s, again after 3, 30 and 150 s; ten events
that fail at the first try ban the webhook for 30 minutes, in which events are lost; it is deleted after three days
without success. POST, GET, DELETE /api/v1/webhooks register it.
HubSpot ("Webhooks API"): up to 100 events a request, of one address for all portals, an answer within 5 s, up to ten
more tries over a day; signed (v3) with the secret of the app. The address is told by --hubspot-webhooks or `control`.

    POST   /control/{crm}/webhooks   {"pace", "delay", "shuffle", "duplicates", "drop", "url" (HubSpot)}: see Manners
    DELETE /control/{crm}/webhooks   everything as at the start, nothing waits any more
    GET    /control/{crm}/webhooks   counts of what was told, and what is registered

`data` of a Pipedrive event is the object as REST v2 has it; a webhook's own few differences are left out.
"""

import heapq
import json
import random
import threading
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from hashlib import sha256
from hmac import new as hmac
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from itertools import count
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from crm_sandbox.clock import iso_ms
from crm_sandbox.messages import Answer, Refused, Request, answer
from crm_sandbox.oauth import CLIENT_SECRET
from crm_sandbox.store import Crm, Fields, Row, dumps

OBJECTS = {"deals": "deal", "persons": "person", "organizations": "organization", "activities": "activity"}
HOOKABLE = {*OBJECTS.values(), "lead", "note", "pipeline", "product", "stage", "user", "*"}
ACTIONS = {"create", "change", "delete", "*"}
MOST = 40  # of one user
CLASSIC = {"contacts": "contact", "companies": "company", "deals": "deal"}
TYPE_IDS = {"meetings": "0-47", "calls": "0-48", "emails": "0-49", "communications": "0-18"}
UNTOLD = {"hs_lastmodifieddate", "lastmodifieddate", "update_time"}  # HubSpot tells of no change of these alone
GATHER = 0.02  # seconds in which events become one request of HubSpot's


@dataclass
class Manners:
    """`pace`: real seconds for one of the CRM's rules (0.01: a hundred times as fast). The others are what networks do:
    every delivery late by `delay` seconds and up to `shuffle` more, some twice (a share of 1), some never."""

    pace: float = 1.0
    delay: float = 0.0
    shuffle: float = 0.0
    duplicates: float = 0.0
    drop: float = 0.0


class Courier:
    """Does what is due at its time, ten things at once, and posts."""

    def __init__(self) -> None:
        self.manners, self.counts = Manners(), Counter[str]()
        self.events: dict[str, list[str]] = {}  # told or to be told: the object, its id and the time, by the event's id
        self.acknowledged: set[str] = set()
        self._waiting: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers, self._changed, self._busy = count(), threading.Condition(), 0
        self._random = random.Random(7)
        self._pool = ThreadPoolExecutor(10)
        self._thread: threading.Thread | None = None

    def reset(self) -> None:
        with self._changed:
            self.manners, self.counts = Manners(), Counter()
            self.events, self.acknowledged = {}, set()
            self._waiting.clear()

    @property
    def waiting(self) -> int:
        """What is to be done, or is being done."""
        return len(self._waiting) + self._busy

    def after(self, seconds: float, work: Callable[[], None]) -> None:
        """`seconds` are real ones."""
        with self._changed:
            heapq.heappush(self._waiting, (time.monotonic() + seconds, next(self._numbers), work))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()
            self._changed.notify()

    def send(self, work: Callable[[], None]) -> None:
        """A first try, by the manners."""
        manners = self.manners
        if self._random.random() < manners.drop:
            self.counts["dropped"] += 1
            return
        for _ in range(1 + (self._random.random() < manners.duplicates)):
            self.after(manners.delay + manners.shuffle * self._random.random(), work)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting or self._waiting[0][0] > time.monotonic():
                    self._changed.wait(self._waiting[0][0] - time.monotonic() if self._waiting else None)
                _, _, work = heapq.heappop(self._waiting)
                self._busy += 1
            self._pool.submit(self._do, work)

    def _do(self, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            with self._changed:
                self._busy -= 1

    def post(self, url: str, body: bytes, headers: dict[str, str], patience: float) -> int:
        """The status of the answer; 0: none in time. A redirect is an answer like any other."""
        parts = urlsplit(url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        line = kind(parts.hostname or "", parts.port, timeout=patience)
        self.counts["posted"] += 1
        try:
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            line.request("POST", target, body, {"Content-Type": "application/json", **headers})
            status = line.getresponse().status
        except (OSError, HTTPException):
            status = 0
        finally:
            line.close()
        self.counts["delivered" if 200 <= status < 300 else "failed"] += 1
        return status

    def control(self, method: str, change: Fields) -> None:
        """KeyError: no such method; ValueError: no such manner."""
        if method == "DELETE":
            self.reset()
        elif method == "POST":
            for name, value in change.items():
                if name not in asdict(self.manners) or not isinstance(value, int | float) or value < 0:
                    raise ValueError(f"{name}: one of {', '.join(asdict(self.manners))}, a number from 0")
                setattr(self.manners, name, float(value))
        elif method != "GET":
            raise KeyError(method)

    def ledger(self) -> Fields:
        """What there was to tell, each event once, and which of them somebody has acknowledged."""
        acknowledged = set(self.acknowledged)
        return {
            "events": [[*event, id in acknowledged] for id, event in list(self.events.items())],
            "waiting": self.waiting,
        }

    def told(self) -> Fields:
        return {"counts": self.counts, "waiting": self.waiting, "manners": asdict(self.manners)}


class PipedriveWebhooks:
    RETRIES = (3, 30, 150)
    PATIENCE = 10
    BANNED_AFTER, BAN, DELETED_AFTER = 10, 30 * 60, 3 * 86_400

    def __init__(self, crm: Crm) -> None:
        self.crm, self.courier = crm, Courier()
        self.hooks: dict[int, Fields] = {}
        self._numbers, self._events = count(1), count(1)
        self._deleted: set[tuple[str, int]] = set()
        self._private: dict[int, dict[str, float]] = {}  # by the webhook: failures, success, banned (until)
        crm.watcher = self.changed

    # What clients ask

    def handle(self, request: Request) -> Answer:
        match [request.method, *request.parts[3:]]:
            case ["GET"]:
                return answer(200, {"status": "ok", "success": True, "data": list(self.hooks.values())})
            case ["POST"]:
                return answer(201, {"status": "ok", "success": True, "data": self.create(json.loads(request.body))})
            case ["DELETE", id] if id.isdigit() and int(id) in self.hooks:
                del self.hooks[int(id)]
                return answer(200, {"status": "ok", "success": True})
        raise Refused(answer(404, {"status": "error", "success": False, "error": "webhook not found"}))

    def create(self, given: Fields) -> Fields:
        wrong: dict[str, list[str]] = {}
        if urlsplit(str(given.get("subscription_url"))).scheme not in ("http", "https"):
            wrong["subscription_url"] = ["invalid or non-reachable URL"]
        for name, known in (("event_action", ACTIONS), ("event_object", HOOKABLE)):
            if given.get(name) not in known:
                wrong[name] = ["invalid value"]
        if not given.get("name"):
            wrong["name"] = ["is required"]
        if wrong or len(self.hooks) >= MOST:
            errors = wrong or {"user": ["maximum number of webhooks reached"]}
            raise Refused(answer(400, {"status": "error", "success": False, "errors": errors}))
        me, id = self.crm.fixed["me"], next(self._numbers)
        names = ("event_action", "event_object", "subscription_url", "http_auth_user", "http_auth_password", "name")
        self.hooks[id] = {"id": id, "company_id": me["company_id"], "owner_id": me["id"], "user_id": me["id"]} | {
            **{name: given.get(name) for name in names},
            "version": given.get("version", "2.0"),
            "is_active": 1,
            "type": "general",
            "admin_id": me["id"],
            "add_time": now(self.crm),
            "remove_time": None,
            "remove_reason": None,
            "last_delivery_time": None,
            "last_http_status": None,
        }
        self._private[id] = {"failures": 0, "success": time.monotonic(), "banned": 0}
        return self.hooks[id]

    # What happens

    def changed(self, table: str, row: Row, before: bytes | None) -> None:
        """To be called by whoever changed `row`, whose fields were `before` (None: it is new)."""
        if table not in OBJECTS or not self.hooks:
            return
        key, data, previous = (table, row.id), row.read(), json.loads(before) if before else None
        action = "create" if previous is None else "change"
        if row.deleted and key not in self._deleted:
            action = "delete"
        (self._deleted.add if row.deleted else self._deleted.discard)(key)
        if previous is not None and action == "change":
            previous = {name: value for name, value in previous.items() if data.get(name) != value}
        meta = self.meta(OBJECTS[table], row.id, action)
        if action == "delete" and self.crm.survivor:
            meta["merged_to_id"] = str(self.crm.survivor)
        event = {"data": None if action == "delete" else data, "previous": previous, "meta": meta}
        for hook in list(self.hooks.values()):
            if hook["event_object"] in ("*", meta["entity"]) and hook["event_action"] in ("*", action):
                self.tell(hook["id"], event)

    def meta(self, entity: str, id: int, action: str) -> Fields:
        me, number = self.crm.fixed["me"], next(self._events)
        return {
            "action": action,
            "company_id": str(me["company_id"]),
            "entity": entity,
            "entity_id": str(id),
            "id": str(UUID(int=number)),
            "correlation_id": str(UUID(int=1 << 100 | number)),
            "is_bulk_edit": False,
            "timestamp": now(self.crm),
            "type": "general",
            "user_id": str(me["id"]),
            "version": "2.0",
            "webhook_id": "",
            "webhook_owner_id": str(me["id"]),
            "change_source": "app",
            "attempt": 1,
            "host": f"{me['company_domain']}.pipedrive.com",
        }

    def tell(self, hook: int, event: Fields) -> None:
        meta = event["meta"]
        self.courier.events[meta["id"]] = [meta["entity"], meta["entity_id"], meta["timestamp"]]
        if self._private[hook]["banned"] > time.monotonic():
            self.courier.counts["lost"] += 1
        else:
            self.courier.send(lambda: self.attempt(hook, event, 1))

    def attempt(self, id: int, event: Fields, attempt: int) -> None:
        hook, pace = self.hooks.get(id), self.courier.manners.pace
        if hook is None:
            return
        body = dumps(event | {"meta": event["meta"] | {"webhook_id": str(id), "attempt": attempt}})
        headers = {}
        if hook["http_auth_user"]:
            login = f"{hook['http_auth_user']}:{hook['http_auth_password'] or ''}"
            headers["Authorization"] = "Basic " + b64encode(login.encode()).decode()
        status = self.courier.post(hook["subscription_url"], body, headers, self.PATIENCE)
        hook |= {"last_delivery_time": now(self.crm), "last_http_status": status}
        mine, moment = self._private[id], time.monotonic()
        if 200 <= status < 300:
            mine["success"] = moment
            self.courier.acknowledged.add(event["meta"]["id"])
            return
        if moment - mine["success"] > self.DELETED_AFTER * pace:
            self.hooks.pop(id, None)
            return
        if attempt == 1:
            mine["failures"] += 1
            if mine["failures"] >= self.BANNED_AFTER:
                mine |= {"failures": 0, "banned": moment + self.BAN * pace}
        if attempt <= len(self.RETRIES):
            self.courier.after(self.RETRIES[attempt - 1] * pace, lambda: self.attempt(id, event, attempt + 1))

    def control(self, method: str, change: Fields) -> Answer:
        self.courier.control(method, change)
        if method == "DELETE":
            self.hooks.clear()
        return answer(200, self.courier.told() | {"hooks": list(self.hooks.values())})


class HubSpotWebhooks:
    RETRIES, PATIENCE, DAY, MOST = 10, 5, 86_400, 100

    def __init__(self, crm: Crm) -> None:
        self.crm, self.courier = crm, Courier()
        self.listen("", CLIENT_SECRET)
        self._events, self._pending = count(1), list[Fields]()
        self._deleted: set[tuple[str, int]] = set()
        self._lock = threading.Lock()
        crm.watcher = self.changed

    def listen(self, url: str, secret: str) -> None:
        """The address of the app, "" for none, and its secret."""
        self.url = self._first_url = url
        self.secret = secret

    def changed(self, kind: str, row: Row, before: bytes | None) -> None:
        """To be called by whoever changed `row`, whose properties were `before` (None: it is new)."""
        if not self.url or kind not in (*CLASSIC, *TYPE_IDS):
            return
        key = (kind, row.id)
        deleted, known = row.archived, key in self._deleted
        (self._deleted.add if deleted else self._deleted.discard)(key)
        if deleted and not known and self.crm.survivor:
            survivor = self.crm.survivor
            merged = {"primaryObjectId": survivor, "mergedObjectIds": [row.id], "newObjectId": survivor}
            self.tell(kind, row.id, "merge", **merged, numberOfPropertiesMoved=0)
        elif deleted != known:
            self.tell(kind, row.id, "deletion" if deleted else "restore")
        elif before is None:
            self.tell(kind, row.id, "creation", changeFlag="NEW")
        elif not deleted:
            was = json.loads(before)
            for name, value in row.read().items():
                if was.get(name) != value and name not in UNTOLD:
                    self.tell(kind, row.id, "propertyChange", propertyName=name, propertyValue=value or "")

    def tell(self, kind: str, id: int, change: str, **more: Any) -> None:
        name = CLASSIC.get(kind, "object")
        event = {
            "eventId": next(self._events),
            "subscriptionId": 1,
            "appId": 1,
            "objectId": id,
            "portalId": self.crm.fixed["account"]["portalId"],
            "occurredAt": round(self.crm.now() * 1000),
            "subscriptionType": f"{name}.{change}",
            "attemptNumber": 0,
            "changeSource": "CRM_UI",
        }
        if kind in TYPE_IDS:
            event["objectTypeId"] = TYPE_IDS[kind]
        self.courier.events[str(event["eventId"])] = [kind, str(id), iso_ms(event["occurredAt"])]
        with self._lock:
            self._pending.append(event | more)
            if len(self._pending) > 1:
                return
        self.courier.after(GATHER, self.flush)

    def flush(self) -> None:
        with self._lock:
            events, self._pending = self._pending, []
        for start in range(0, len(events), self.MOST):
            part = events[start : start + self.MOST]
            self.courier.send(lambda part=part: self.attempt(part, 0))  # type: ignore[misc]

    def attempt(self, events: list[Fields], attempt: int) -> None:
        if not self.url:
            return
        body = dumps([event | {"attemptNumber": attempt} for event in events])
        timestamp = str(round(self.crm.now() * 1000))
        source = b"POST" + self.url.encode() + body + timestamp.encode()
        headers = {
            "X-HubSpot-Signature-v3": b64encode(hmac(self.secret.encode(), source, sha256).digest()).decode(),
            "X-HubSpot-Request-Timestamp": timestamp,
        }
        status = self.courier.post(self.url, body, headers, self.PATIENCE)
        if 200 <= status < 300:
            self.courier.acknowledged.update(str(event["eventId"]) for event in events)
        elif attempt < self.RETRIES:
            wait = random.uniform(1, 2 * self.DAY / self.RETRIES - 1) * self.courier.manners.pace
            self.courier.after(wait, lambda: self.attempt(events, attempt + 1))

    def control(self, method: str, change: Fields) -> Answer:
        change = dict(change)
        url = change.pop("url", None)
        self.courier.control(method, change)
        if method == "DELETE":
            self.url = self._first_url
            with self._lock:
                self._pending.clear()
        if url is not None:
            self.url = str(url)
        return answer(200, self.courier.told() | {"url": self.url})


def now(crm: Crm) -> str:
    return iso_ms(round(crm.now() * 1000))
