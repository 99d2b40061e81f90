"""The same rows under the addresses and in the shapes of before: what the CRMs' own clients and public connectors ask.

Pipedrive v1 (/v1/… and /api/v1/…, the token as `api_token`, pages by `start`) and HubSpot's v3 and v4. Shapes: the v1
reference, and the guide "Pipedrive API v2 migration" (what each field was called before); of HubSpot, whose present
addresses carry a date and the same records, the path map of the date-based reference. Nothing is written here.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from crm_sandbox.messages import Answer, Refused, Request, answer
from crm_sandbox.store import Crm, Fields, Row, dumps

if TYPE_CHECKING:
    from crm_sandbox.hubspot import HubSpot

T = TypeVar("T")

# The lists, by the names of their rows in /recents.
ITEMS = {
    "activity": "activities",
    "deal": "deals",
    "organization": "organizations",
    "person": "persons",
    "pipeline": "pipelines",
    "stage": "stages",
}
LISTS = {"user": "users", "activityType": "activityTypes"}
FIELDS = {"dealFields", "personFields", "organizationFields", "activityFields"}
# Lists that this account has nothing in.
EMPTY = {"files", "filters", "notes", "products", "leads", "currencies"}
# Fields of what there is none of: some connectors ask for ever while such a list is empty.
OTHER_FIELDS = {"productFields": ("name", "varchar"), "noteFields": ("content", "text")}
LIMIT, MOST = 100, 500
_HUBSPOT = {
    r"crm/v3/(objects|properties|pipelines)/(.+)": r"crm/\1/2026-09/\2",
    r"crm/v3/owners(/.+)?": r"crm/owners/2026-09\1",
    r"crm/v4/associations/(.+)": r"crm/associations/2026-09/\1",
}


# ---- Pipedrive


def as_now(request: Request) -> Request:
    """A request as Pipedrive takes it now: the token in a header, v1 below /api."""
    query, headers, path = request.query, request.headers, request.path
    if path.startswith("v1/"):
        path = f"api/{path}"
    if "api_token" in query:
        headers = {**headers, "x-api-token": query["api_token"]}
        query = {name: value for name, value in query.items() if name != "api_token"}
        if path.startswith("api/v2/"):  # connectors send it along, and v2 takes no notice
            query.pop("start", None)
    return replace(request, path=path, query=query, headers=headers)


class PipedriveTwins:
    """Pipedrive v1. What was written once is kept until its row changes: connectors are measured, not this server."""

    def __init__(self, crm: Crm) -> None:
        self.crm = crm
        self._written: dict[tuple[str, int], tuple[tuple[bytes, ...], bytes]] = {}
        self._shapes: dict[str, Callable[[Row], Fields]] = {
            "activities": self.activity,
            "deals": self.deal,
            "organizations": self.organization,
            "persons": self.person,
            "pipelines": self.pipeline,
            "stages": self.stage,
        }

    def handle(self, request: Request) -> Answer | None:
        """None: there is no such address. `request`: after `as_now`."""
        match request.parts[2:]:
            case ["recents"]:
                return self.recents(request)
            case [name] if name in self._shapes:
                return page(request, self.rows(name), lambda row: self.write(name, row))
            case [name, id] if name in self._shapes and id.isdigit():
                row = self.crm.tables[name].rows.get(int(id))
                if row is None:
                    raise Refused(answer(404, {"success": False, "error": "Not found", "errorCode": 404}))
                return Answer(200, b'{"success":true,"data":' + self.write(name, row) + b"}")
            case [name] if name in FIELDS:
                return page(request, list(enumerate(self.crm.fixed[name], 1)), lambda one: dumps(field(*one)))
            case [name] if name in OTHER_FIELDS:
                code, kind = OTHER_FIELDS[name]
                only = {"field_code": code, "field_name": code.title(), "field_type": kind, "is_custom_field": False}
                return page(request, [field(1, only)], dumps)
            case [name] if name in EMPTY:
                return page(request, [], dumps)
        return None

    def rows(self, name: str) -> list[Row]:
        """In v1 a list has deals of any status, archived ones too, and nothing that is deleted."""
        return self.crm.tables[name].select(("v1", name), lambda row: not row.deleted)

    def recents(self, request: Request) -> Answer:
        """What changed since a moment. All of it: Pipedrive's own goes back a month only, since December 2024."""
        since = request.query.get("since_timestamp", "")
        try:
            moment = datetime.strptime(since, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
        except ValueError:
            told = {"success": False, "error": "since_timestamp is required", "errorCode": 400}
            raise Refused(answer(400, told)) from None
        found: list[tuple[str, Any]] = []
        for item in filter(None, request.query.get("items", ",".join(ITEMS)).split(",")):
            if item in ITEMS:
                found += [(item, row) for row in self.rows(ITEMS[item]) if row.updated >= moment]
            elif item in LISTS:
                found += [(item, one) for one in self.crm.fixed[LISTS[item]]]

        def write(one: tuple[str, Any]) -> bytes:
            item, what = one
            if item in ITEMS:
                return b'{"item":"%s","id":%d,"data":%s}' % (item.encode(), what.id, self.write(ITEMS[item], what))
            return dumps({"item": item, "id": what["id"], "data": [what] if item == "user" else what})

        return page(request, found, write, since_timestamp=since)

    def write(self, name: str, row: Row) -> bytes:
        state = (row.fields, row.optional)
        kept = self._written.get((name, row.id))
        if kept is None or kept[0] != state:
            kept = state, dumps(self._shapes[name](row))
            self._written[name, row.id] = kept
        return kept[1]

    # Shapes

    def deal(self, row: Row) -> Fields:
        now, mail = row.read(), row.read_optional()
        person, company = self.fields("persons", now["person_id"]), self.fields("organizations", now["org_id"])
        return before(now, "is_deleted", "owner_id", "label_ids", "is_archived") | {
            "creator_user_id": self.user(now["creator_user_id"]),
            "user_id": self.user(now["owner_id"]),
            "person_id": person and {**named(person), "email": addresses(person, "emails")},
            "org_id": company and {**named(company), "address": (company.get("address") or {}).get("value")},
            "person_name": person and person["name"],
            "org_name": company and company["name"],
            "owner_name": (self.user(now["owner_id"]) or {}).get("name"),
            "active": now["status"] == "open" and not row.deleted,
            "deleted": row.deleted,
            "label": ",".join(map(str, now.get("label_ids") or ())) or None,
            "visible_to": str(now.get("visible_to")),
            "last_incoming_mail_time": time(mail.get("last_incoming_mail_time")),
            "last_outgoing_mail_time": time(mail.get("last_outgoing_mail_time")),
        }

    def person(self, row: Row) -> Fields:
        now = row.read()
        company = self.fields("organizations", now["org_id"])
        return before(now, "is_deleted", "owner_id", "emails", "phones") | {
            "owner_id": self.user(now["owner_id"]),
            "org_id": company and named(company),
            "org_name": company and company["name"],
            "email": addresses(now, "emails"),
            "phone": addresses(now, "phones"),
            "active_flag": not row.deleted,
            "visible_to": str(now.get("visible_to")),
        }

    def organization(self, row: Row) -> Fields:
        now = row.read()
        return before(now, "is_deleted", "owner_id") | {
            "owner_id": self.user(now["owner_id"]),
            "address": (now.get("address") or {}).get("value"),
            "active_flag": not row.deleted,
            "visible_to": str(now.get("visible_to")),
        }

    def activity(self, row: Row) -> Fields:
        now, more = row.read(), row.read_optional()
        attendees = [
            {name: one.get(name) for name in ("name", "status", "person_id", "user_id")}
            | {"email_address": one.get("email"), "is_organizer": int(one.get("is_organizer") is True)}
            for one in more.get("attendees", ())
        ]
        participants = now.get("participants") or ()
        return before(now, "is_deleted", "owner_id", "creator_user_id", "busy") | {
            "user_id": now["owner_id"],
            "assigned_to_user_id": now["owner_id"],
            "created_by_user_id": now["creator_user_id"],
            "due_time": (now["due_time"] or "")[:5],
            "duration": (now["duration"] or "")[:5],
            "busy_flag": now["busy"],
            "participants": [{"person_id": one["person_id"], "primary_flag": one["primary"]} for one in participants],
            "attendees": attendees or None,
            "location": (now.get("location") or {}).get("value"),
            "active_flag": not row.deleted,
        }

    def pipeline(self, row: Row) -> Fields:
        now = row.read()
        more = {"active": not row.deleted, "deal_probability": now.get("is_deal_probability_enabled")}
        return before(now, "is_deleted", "is_deal_probability_enabled", "is_selected") | more

    def stage(self, row: Row) -> Fields:
        now = row.read()
        pipeline = self.fields("pipelines", now["pipeline_id"])
        return before(now, "is_deleted", "is_deal_rot_enabled", "days_to_rotten") | {
            "active_flag": not row.deleted,
            "rotten_flag": now.get("is_deal_rot_enabled"),
            "rotten_days": now.get("days_to_rotten"),
            "pipeline_name": pipeline and pipeline["name"],
        }

    def fields(self, name: str, id: int | None) -> Fields | None:
        row = self.crm.tables[name].rows.get(id) if id else None
        return row.read() if row else None

    def user(self, id: int | None) -> Fields | None:
        found = next((one for one in self.crm.fixed["users"] if one["id"] == id), None)
        return found and {name: found[name] for name in ("id", "name", "email", "active_flag")} | {"value": id}


def page(request: Request, items: Sequence[T], write: Callable[[T], bytes], **more: Any) -> Answer:
    """A part of `items`; an empty one is null."""
    start, limit = number(request, "start", 0), min(number(request, "limit", LIMIT), MOST)
    following, data = start + limit, b",".join(map(write, items[start : start + limit]))
    paging: Fields = {"start": start, "limit": limit, "more_items_in_collection": following < len(items)}
    paging |= {"next_start": following} if following < len(items) else {}
    additional = dumps({**more, "pagination": paging})
    shown = b"[" + data + b"]" if data else b"null"
    return Answer(200, b'{"success":true,"data":' + shown + b',"additional_data":' + additional + b"}")


def before(now: Fields, *renamed: str) -> Fields:
    """What a row of v2 has in v1 under the same name: custom fields beside the others, times without a zone."""
    same = {name: value for name, value in now.items() if name not in ("custom_fields", *renamed)}
    same |= {name: time(value) for name, value in same.items() if name.endswith("_time") and name != "due_time"}
    for code, value in (now.get("custom_fields") or {}).items():
        if isinstance(value, dict):  # money, a span of days, an address: their parts beside them
            same[code] = value.get("value")
            same |= {f"{code}_{part}": one for part, one in value.items() if part in ("currency", "until")}
        elif isinstance(value, list):
            same[code] = ",".join(map(str, value)) or None
        else:
            same[code] = str(value) if isinstance(value, int) else value
    return same


def field(number: int, now: Fields) -> Fields:
    """Of /dealFields and the like. Options are ids and labels in both."""
    return {
        "id": number,
        "key": now["field_code"],
        "name": now["field_name"],
        "order_nr": number,
        "field_type": now["field_type"],
        "edit_flag": now["is_custom_field"],
        "active_flag": True,
        "mandatory_flag": bool(now.get("required_fields", {}).get("enabled")),
        "add_time": "2023-10-04 16:24:55",
        "update_time": "2023-10-04 16:24:55",
    } | ({"options": now["options"]} if now.get("options") else {})


def named(fields: Fields) -> Fields:
    return {"name": fields["name"], "value": fields["id"], "active_flag": not fields.get("is_deleted")}


def addresses(fields: Fields, name: str) -> list[Fields]:
    return fields.get(name) or [{"value": "", "primary": True}]


def time(value: Any) -> Any:
    """`2024-01-01T00:00:00Z` as v1 wrote it: in UTC as well, without saying so."""
    return value.replace("T", " ").removesuffix("Z") if isinstance(value, str) else value


def number(request: Request, name: str, otherwise: int) -> int:
    given = request.query.get(name, str(otherwise))
    if not re.fullmatch(r"[0-9]{1,9}", given) or (name == "limit" and given == "0"):
        raise Refused(answer(400, {"success": False, "error": f"{name} is no number", "errorCode": 400}))
    return int(given)


# ---- HubSpot


def hubspot(crm: "HubSpot", request: Request) -> Answer | None:
    """The answer at an address of v3 or v4; None for any other address."""

    def ask(path: str, **more: Any) -> Answer:
        present = replace(request, path=path, **more)
        crm.check_token(present)
        return crm.route(present)

    if single := re.fullmatch(r"crm/v4/objects/([\w-]+)/(\d+)/associations/([\w-]+)", request.path):
        kind, id, other = single.groups()
        body = dumps({"inputs": [{"id": id, "after": request.query.get("after")}]})
        path = f"crm/associations/2026-09/{kind}/{other}/batch/read"
        results = json.loads(numbered(ask(path, method="POST", body=body)).body)["results"]
        return answer(200, {"results": results[0].pop("to"), **_paging(results[0])} if results else {"results": []})
    for old, now in _HUBSPOT.items():
        if found := re.fullmatch(old, request.path):
            told = ask(found.expand(now))
            return numbered(told) if "/v4/" in request.path else told
    return None


def _paging(result: Fields) -> Fields:
    return {"paging": result["paging"]} if "paging" in result else {}


def numbered(found: Answer) -> Answer:
    """v4 tells the ids of the other side as numbers."""
    found.body = re.sub(rb'"toObjectId":"(\d+)"', rb'"toObjectId":\1', found.body)
    return found
