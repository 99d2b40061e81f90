"""HubSpot's CRM API, date version 2026-09: objects, search, associations, pipelines, owners, properties, account.
Reads only; `control` writes. Limits per second are told in headers and never enforced: 429 comes from
`/control/faults`.
"""

import json
from bisect import bisect_left
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from crm_sandbox import twins
from crm_sandbox.clock import iso_ms, milliseconds
from crm_sandbox.hubspot_data import OBJECTS
from crm_sandbox.limits import Limits
from crm_sandbox.messages import Answer, Refused, Request, answer
from crm_sandbox.oauth import OAuth
from crm_sandbox.store import Crm, Fields, Row, by_id, dumps
from crm_sandbox.webhooks import HubSpotWebhooks

VERSION = "2026-09"
TYPE_IDS = {
    "0-1": "contacts",
    "0-2": "companies",
    "0-3": "deals",
    "0-47": "meetings",
    "0-48": "calls",
    "0-49": "emails",
    "0-18": "communications",
}
SINGULAR = {"companies": "company"} | {name: name[:-1] for name in OBJECTS if name != "companies"}
ALWAYS = dict.fromkeys(OBJECTS, ("hs_createdate", "hs_lastmodifieddate", "hs_object_id")) | {
    "deals": ("createdate", "hs_lastmodifieddate", "hs_object_id"),
    "companies": ("createdate", "hs_lastmodifieddate", "hs_object_id"),
    "contacts": ("createdate", "hs_object_id", "lastmodifieddate"),
}
DEFAULT = ALWAYS | {
    "deals": (*ALWAYS["deals"], "amount", "closedate", "dealname", "dealstage", "pipeline"),
    "companies": (*ALWAYS["companies"], "domain", "name"),
    "contacts": (*ALWAYS["contacts"], "email", "firstname", "lastname"),
}
SCOPES = {"emails": "sales-email-read", "deals": "crm.objects.deals.read"}
# HubSpot-defined association types of each pair: id and label.
PLAIN_TYPES: dict[tuple[str, str], list[tuple[int, str | None]]] = {
    ("deals", "contacts"): [(3, None)],
    ("contacts", "deals"): [(4, None)],
    ("deals", "companies"): [(5, "Primary"), (341, None)],
    ("companies", "deals"): [(6, "Primary"), (342, None)],
    ("contacts", "companies"): [(1, "Primary"), (279, None)],
    ("companies", "contacts"): [(2, "Primary"), (280, None)],
    ("calls", "deals"): [(206, None)],
    ("deals", "calls"): [(205, None)],
    ("calls", "contacts"): [(194, None)],
    ("contacts", "calls"): [(193, None)],
    ("emails", "deals"): [(210, None)],
    ("deals", "emails"): [(209, None)],
    ("emails", "contacts"): [(198, None)],
    ("contacts", "emails"): [(197, None)],
    ("meetings", "deals"): [(212, None)],
    ("deals", "meetings"): [(211, None)],
    ("meetings", "contacts"): [(200, None)],
    ("contacts", "meetings"): [(199, None)],
    ("communications", "deals"): [(85, None)],
    ("deals", "communications"): [(86, None)],
    ("communications", "contacts"): [(81, None)],
    ("contacts", "communications"): [(82, None)],
}
DAILY_BUDGET = 650_000
SEARCH_CEILING = 10_000
ASSOCIATIONS_PAGE = 500
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "EQ": lambda a, b: a == b,
    "NEQ": lambda a, b: a != b,
    "LT": lambda a, b: a is not None and a < b,
    "LTE": lambda a, b: a is not None and a <= b,
    "GT": lambda a, b: a is not None and a > b,
    "GTE": lambda a, b: a is not None and a >= b,
}


class HubSpot:
    prefix = "hubspot"

    def __init__(self, crm: Crm, token: str) -> None:
        self.crm, self.token = crm, token
        self.oauth = OAuth(self.prefix, crm)
        self.limits = Limits(190, 10, DAILY_BUDGET)
        self.searches = Limits(5, 1, DAILY_BUDGET)
        self.webhooks = HubSpotWebhooks(crm)

    def handle(self, request: Request) -> Answer:
        if request.parts[0] == "oauth":
            return self.oauth.handle(request)
        search = request.path.endswith("/search")
        refused = self.limits.ask() or (self.searches.ask() if search else "")
        if refused:
            result = self.fault(429, daily=refused == "daily", retry_after=1)
            return self.without_limits(result) if search else result
        try:
            self.check_token(request)
            result = self.route(request)
        except Refused as refusal:
            result = refusal.answer
        return result if search else self.with_limits(result)

    @staticmethod
    def without_limits(result: Answer) -> Answer:
        """A search is told neither what is left nor when to come back (CRM.md B5)."""
        result.headers.clear()
        return result

    def with_limits(self, result: Answer, *, burst_left: int | None = None, daily_left: int | None = None) -> Answer:
        limits = self.limits
        result.headers |= {
            "X-HubSpot-RateLimit-Max": str(limits.requests),
            "X-HubSpot-RateLimit-Remaining": str(limits.left if burst_left is None else burst_left),
            "X-HubSpot-RateLimit-Interval-Milliseconds": f"{1000 * limits.seconds:g}",
            "X-HubSpot-RateLimit-Daily": str(limits.daily),
            "X-HubSpot-RateLimit-Daily-Remaining": str(limits.daily_left if daily_left is None else daily_left),
        }
        return result

    def fault(self, status: int, *, daily: bool, retry_after: int) -> Answer:
        if status == 429:
            limit = "daily limit" if daily else "ten_secondly_rolling limit"
            body = {
                "status": "error",
                "message": f"You have reached your {limit}.",
                "errorType": "RATE_LIMIT",
                "correlationId": self.correlation_id(),
                "policyName": "DAILY" if daily else "TEN_SECONDLY_ROLLING",
                "requestId": self.correlation_id("request"),
            }
            if daily:
                return self.with_limits(answer(429, body), daily_left=0)
            return self.with_limits(answer(429, body, Retry_After=retry_after), burst_left=0)
        if status == 401:
            return self.with_limits(self.unauthorized())
        if status == 403:
            return self.with_limits(self.missing_scope("crm.objects.contacts.read"))
        return self.with_limits(self.error(status, "internal error", "INTERNAL_ERROR"))

    # Errors

    def correlation_id(self, salt: str = "") -> str:
        return str(uuid5(NAMESPACE_URL, f"{salt}{self.limits.spent}"))

    def error(self, status: int, message: str, category: str | None = "VALIDATION_ERROR", **more: Any) -> Answer:
        body = {"status": "error", "message": message, "correlationId": self.correlation_id()}
        return answer(status, body | ({"category": category} if category else {}) | more)

    def invalid(self, message: str, where: str = "") -> Refused:
        errors = [{"message": message, "in": where}] if where else [{"message": message}]
        return Refused(self.error(400, f"Invalid input JSON: {message}" if not where else message, errors=errors))

    def unauthorized(self) -> Answer:
        message = (
            "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find more "
            "details at https://developers.hubspot.com/docs/methods/auth/oauth-overview"
        )
        return self.error(401, message, "INVALID_AUTHENTICATION")

    def missing_scope(self, scope: str) -> Answer:
        message = "This app hasn't been granted all required scopes to make this call."
        one = {
            "message": "One or more of the following scopes are required.",
            "context": {"requiredGranularScopes": [scope]},
        }
        return self.error(403, message, "MISSING_SCOPES", errors=[one], context={"missingScopes": [scope]})

    def check_token(self, request: Request) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme == "Bearer" and given.endswith("-limited"):
            for part in request.parts[3:]:
                kind = TYPE_IDS.get(part, part)
                if request.parts[1] in ("objects", "associations") and kind in SCOPES:
                    raise Refused(self.missing_scope(SCOPES[kind]))
        elif scheme != "Bearer" or not (given == self.token or self.oauth.accepts(given)):
            raise Refused(self.unauthorized())

    # Routes

    def route(self, request: Request) -> Answer:
        match [request.method, *request.parts]:
            case ["GET", "account-info", "2026-09", "details"]:
                return answer(200, self.crm.fixed["account"])
            case ["GET", "crm", "owners", "2026-09"]:
                return self.owners(request)
            case ["GET", "crm", "pipelines", "2026-09", "deals" | "0-3"]:
                return answer(200, {"results": self.crm.fixed["pipelines"]})
            case ["GET", "crm", "properties", "2026-09", kind]:
                return answer(200, {"results": self.crm.fixed["properties"].get(self.kind(kind), [])})
            case ["GET", "crm", "properties", "2026-09", kind, name]:
                for definition in self.crm.fixed["properties"].get(self.kind(kind), []):
                    if definition["name"] == name:
                        return answer(200, definition)
            case ["GET", "crm", "associations", "2026-09", a, b, "labels"]:
                return answer(200, {"results": self.labels(self.kind(a), self.kind(b))})
            case ["POST", "crm", "associations", "2026-09", a, b, "batch", "read"]:
                return self.read_associations(request, self.kind(a), self.kind(b))
            case ["GET", "crm", "objects", "2026-09", kind]:
                return self.list_objects(request, self.kind(kind))
            case ["POST", "crm", "objects", "2026-09", kind, "search"]:
                return self.search(request, self.kind(kind))
            case ["POST", "crm", "objects", "2026-09", kind, "batch", "read"]:
                return self.batch_read(request, self.kind(kind))
            case ["GET", "crm", "objects", "2026-09", kind, id]:
                return self.one(request, self.kind(kind), id)
        if (old := twins.hubspot(self, request)) is not None:
            return old
        raise Refused(self.error(404, "resource not found", None))

    def kind(self, text: str) -> str:
        name = TYPE_IDS.get(text, text)
        if name not in OBJECTS:
            raise Refused(self.error(400, f"Unable to infer object type from: {text}"))
        return name

    def body(self, request: Request) -> Fields:
        try:
            value = json.loads(request.body)
        except ValueError:
            raise self.invalid("the body is no JSON") from None
        if not isinstance(value, dict):
            raise self.invalid("the body is no JSON object")
        return value

    def limit(self, text: object, default: int, most: int) -> int:
        if text is None:
            return default
        if isinstance(text, bool) or not str(text).isdigit() or not 1 <= int(str(text)) <= most:
            raise self.invalid(f"Page size must be between 1 and {most}, but was {text}", "limit")
        return int(str(text))

    def more(self, request: Request, after: object) -> Fields:
        query = "".join(f"{name}={text}&" for name, text in request.query.items() if name != "after")
        return {"next": {"after": str(after), "link": f"{request.origin}/hubspot/{request.path}?{query}after={after}"}}

    # Objects

    def writer(self, kind: str, names: Iterable[str] | None, history: Iterable[str] = ()) -> Callable[[Row], Fields]:
        """How a record is written: always the few names, those asked for when they exist, the others left out."""
        known = {definition["name"] for definition in self.crm.fixed["properties"].get(kind, [])}
        asked = list(names or ())
        chosen = sorted({*ALWAYS[kind], *asked}) if asked else sorted(DEFAULT[kind])
        created = ALWAYS[kind][0]
        history = list(history)

        def write(row: Row) -> Fields:
            held = row.read()
            properties = {name: held.get(name) for name in chosen if name in held or name in known}
            record: Fields = {"id": str(row.id), "properties": properties}
            if history:
                record["propertiesWithHistory"] = self.history(row, held, history)
            updated = iso_ms(row.updated)
            record |= {"createdAt": held.get(created) or updated, "updatedAt": updated, "archived": row.archived}
            if row.archived:
                record["archivedAt"] = updated
            return record

        return write

    def history(self, row: Row, held: Fields, names: list[str]) -> Fields:
        """As it is kept; of other properties the present value is the whole history, since the creation."""
        kept = row.read_optional()
        created = held.get(ALWAYS["deals"][0]) or iso_ms(row.updated)
        at = {"timestamp": created, "sourceType": "CRM_UI", "sourceId": None, "updatedByUserId": None}
        return {
            name: kept.get(name) or [{"value": held[name]} | at]
            for name in names
            if kept.get(name) or held.get(name) is not None
        }

    def list_objects(self, request: Request, kind: str) -> Answer:
        query = request.query
        history = words(query.get("propertiesWithHistory"))
        limit = self.limit(query.get("limit"), 10, 50 if history else 100)
        archived = self.archived(request)
        rows = self.crm.tables[kind].select(("list", archived), lambda row: row.archived == archived)
        start = 0
        if after := query.get("after"):
            if not after.isdigit():
                raise self.invalid(f"Invalid after: {after}", "after")
            start = first_at(rows, int(after))
        page, rest = rows[start : start + limit], rows[start + limit : start + limit + 1]
        write = self.writer(kind, words(query.get("properties")), history)
        others = [self.kind(name) for name in words(query.get("associations"))]
        records = [write(row) | self.inlined(kind, row.id, others) for row in page]
        paging = {"paging": self.more(request, rest[0].id)} if rest else {}
        return answer(200, {"results": records} | paging)

    def archived(self, request: Request) -> bool:
        text = request.query.get("archived", "false")
        if text not in ("true", "false"):
            raise self.invalid(f"Invalid boolean: {text}", "archived")
        return text == "true"

    def inlined(self, kind: str, id: int, others: list[str]) -> Fields:
        found = {}
        for other in others:
            name = f"{SINGULAR[kind]}_to_{SINGULAR[other]}"
            if ids := self.alive(kind, id, other):
                found[other] = {"results": [{"id": str(one), "type": name} for one in ids]}
        return {"associations": found} if found else {}

    def alive(self, kind: str, id: int, other: str) -> list[int]:
        """Associated objects that are not archived."""
        rows = self.crm.tables[other].rows
        return [one for one in self.crm.links.of(kind, id, other) if one in rows and not rows[one].archived]

    def one(self, request: Request, kind: str, id: str) -> Answer:
        row = self.crm.tables[kind].rows.get(int(id)) if id.isdigit() else None
        if row is None or row.archived != self.archived(request):
            raise Refused(self.error(404, "Object not found.  objectId are usually numeric.", "OBJECT_NOT_FOUND"))
        history = words(request.query.get("propertiesWithHistory"))
        record = self.writer(kind, words(request.query.get("properties")), history)(row)
        others = [self.kind(name) for name in words(request.query.get("associations"))]
        return answer(200, record | self.inlined(kind, row.id, others))

    def batch_read(self, request: Request, kind: str) -> Answer:
        body = self.body(request)
        history = body.get("propertiesWithHistory") or []
        ids = self.inputs(body, 50 if history else 100)
        archived = self.archived(request)
        rows, missing = [], []
        for id in dict.fromkeys(ids):
            row = self.crm.tables[kind].rows.get(int(id)) if id.isdigit() else None
            if row is None or row.archived != archived:
                missing.append(id)
            else:
                rows.append(row)
        write = self.writer(kind, body.get("properties"), history)
        results = [dumps(write(row)) for row in rows]
        errors = []
        if missing:
            errors.append(
                {
                    "status": "error",
                    "category": "OBJECT_NOT_FOUND",
                    "message": f"Could not get some {SINGULAR[kind].upper()} objects, they may be deleted or not "
                    "exist. Check that ids are valid.",
                    "context": {"ids": missing},
                }
            )
        return batch(results, errors)

    def inputs(self, body: Fields, most: int) -> list[str]:
        inputs = body.get("inputs")
        if not isinstance(inputs, list) or not all(isinstance(one, dict) and "id" in one for one in inputs):
            raise self.invalid("inputs must be a list of objects with an id", "inputs")
        if len(inputs) > most:
            raise self.invalid(f"Batch size of {len(inputs)} is over the limit of {most}", "inputs")
        return [str(one["id"]) for one in inputs]

    # Search

    def search(self, request: Request, kind: str) -> Answer:
        if len(request.body) > 3000:
            raise self.invalid("The request body is longer than 3000 characters")
        body = self.body(request)
        groups = body.get("filterGroups") or []
        filters = [one for group in groups for one in group.get("filters", [])]
        if len(groups) > 5 or len(filters) > 18 or any(len(group.get("filters", [])) > 6 for group in groups):
            raise self.invalid("at most 5 filterGroups of 6 filters, 18 filters in all", "filterGroups")
        sorts = body.get("sorts") or []
        if len(sorts) > 1:
            raise self.invalid("a search can be sorted by one property only", "sorts")
        limit = self.limit(body.get("limit"), 10, 200)
        after = body.get("after") or "0"
        if not str(after).isdigit():
            raise self.invalid(f"Invalid after: {after}", "after")
        start = int(after)
        if start + limit > SEARCH_CEILING:
            raise self.invalid(f"a search returns at most {SEARCH_CEILING} results in all", "after")
        rows = self.found(kind, groups, sorts, body.get("query"))
        results = list(map(self.writer(kind, body.get("properties")), rows[start : start + limit]))
        value: Fields = {"total": len(rows), "results": results}
        if start + limit < len(rows):
            value["paging"] = {"next": {"after": str(start + limit)}}
        return answer(200, value)

    def found(self, kind: str, groups: list[Fields], sorts: list[Any], query: object) -> list[Row]:
        """All rows of a search in its order. A lower bound of the id in a single group, which moves from page to page
        of a long loop, is applied last so that the rest of the search is done once."""
        floor = -1
        if len(groups) == 1:
            kept = []
            for one in groups[0].get("filters", []):
                if (
                    one.get("propertyName") == "hs_object_id"
                    and one.get("operator") == "GT"
                    and digits(one.get("value"))
                ):
                    floor = max(floor, int(one["value"]))
                else:
                    kept.append(one)
            groups = [{"filters": kept}]
        by, descending = self.sort(kind, sorts)
        text = str(query).lower() if query else ""
        tests = [[self.test(kind, one) for one in group.get("filters", [])] for group in groups]

        def wanted(row: Row) -> bool:
            if row.archived or (text and text not in row.fields.decode().lower()):
                return False
            return not tests or any(all(test(row) for test in group) for group in tests)

        key = ("search", dumps([groups, text]), by)
        rows = self.crm.indexed(self.crm.tables[kind].select(key, wanted, self.order(kind, by)), 1000)
        if floor >= 0:
            rows = rows[first_at(rows, floor + 1) :] if by == "hs_object_id" else [r for r in rows if r.id > floor]
        return rows[::-1] if descending else rows

    def sort(self, kind: str, sorts: list[Any]) -> tuple[str, bool]:
        """Property and whether descending; without a sort the oldest come first."""
        if not sorts:
            return "hs_object_id", False
        one = sorts[0]
        if isinstance(one, str):
            return one.removeprefix("-"), one.startswith("-")
        if not isinstance(one, dict) or one.get("direction", "ASCENDING") not in ("ASCENDING", "DESCENDING"):
            raise self.invalid("Invalid sort", "sorts")
        return str(one.get("propertyName")), one.get("direction") == "DESCENDING"

    def order(self, kind: str, by: str) -> Callable[[Row], Any] | None:
        if by == "hs_object_id":
            return None
        value = self.reader(kind, by)

        def key(row: Row) -> tuple[bool, Any, int]:
            found = value(row)
            return found is not None, found if found is not None else 0, row.id

        return key

    def test(self, kind: str, one: Fields) -> Callable[[Row], bool]:
        """One filter as a function of a row. Refused when it is none."""
        name, operator = str(one.get("propertyName")), one.get("operator")
        if name.startswith("associations."):
            other, raw = self.kind(plural(name.removeprefix("associations."))), one.get("value")
            if operator not in ("EQ", "IN"):
                raise self.invalid(f"operator {operator} is not supported for associations", "operator")
            ids = {int(id) for id in (one.get("values") or [raw]) if digits(id)}
            links = self.crm.links
            return lambda row: not ids.isdisjoint(links.of(kind, row.id, other))
        value = self.reader(kind, name)
        if operator in COMPARE:
            compare, wanted = COMPARE[operator], self.parse(kind, name, one.get("value"))
            return lambda row: compare(value(row), wanted)
        if operator == "BETWEEN":
            low, high = self.parse(kind, name, one.get("value")), self.parse(kind, name, one.get("highValue"))
            return lambda row: (found := value(row)) is not None and low <= found <= high
        if operator in ("IN", "NOT_IN"):
            values = one.get("values")
            if not isinstance(values, list):
                raise self.invalid(f"operator {operator} requires values", "values")
            several = {self.parse(kind, name, text) for text in values}
            return lambda row: (value(row) in several) == (operator == "IN")
        if operator in ("HAS_PROPERTY", "NOT_HAS_PROPERTY"):
            return lambda row: (value(row) is not None) == (operator == "HAS_PROPERTY")
        raise self.invalid(f"Invalid operator: {operator}", "operator")

    def type_of(self, kind: str, name: str) -> str:
        for definition in self.crm.fixed["properties"].get(kind, []):
            if definition["name"] == name:
                return str(definition["type"])
        raise self.invalid(f"There was a problem with the request: property {name} does not exist", "propertyName")

    def reader(self, kind: str, name: str) -> Callable[[Row], Any]:
        """The comparable value of a property: milliseconds, a number, text in lower case, or None when empty."""
        if name == "hs_object_id":
            return lambda row: row.id
        if name == ("lastmodifieddate" if kind == "contacts" else "hs_lastmodifieddate"):
            return lambda row: row.updated
        convert = CONVERT.get(self.type_of(kind, name), str.lower)

        def value(row: Row) -> Any:
            text = row.read().get(name)
            return None if text in (None, "") else convert(text)

        return value

    def parse(self, kind: str, name: str, value: object) -> Any:
        try:
            return CONVERT.get(self.type_of(kind, name), str.lower)(str(value))
        except ValueError:
            raise self.invalid(f"{value!r} is no value of {name}", "value") from None

    # Associations, owners

    def types(self, kind: str, id: int, other: str, other_id: int) -> list[Fields]:
        return self.crm.links.types.get((kind, id, other, other_id)) or plain_types(kind, other)

    def labels(self, kind: str, other: str) -> list[Fields]:
        kept: list[Fields] | None = self.crm.fixed["labels"].get(f"{kind}/{other}")
        return plain_types(kind, other) if kept is None else kept

    def read_associations(self, request: Request, kind: str, other: str) -> Answer:
        body = self.body(request)
        ids = self.inputs(body, 1000)
        results, errors = [], []
        special, plain = self.crm.links.types, dumps(plain_types(kind, other))  # written by hand: they are many
        for id, one in zip(ids, body["inputs"], strict=True):
            found = self.alive(kind, int(id), other) if id.isdigit() else []
            if not found:
                errors.append(no_association(kind, id, other))
                continue
            start = int(one["after"]) if str(one.get("after") or "").isdigit() else 0
            page = found[start : start + ASSOCIATIONS_PAGE]
            to = b",".join(
                b'{"toObjectId":%d,"associationTypes":%b}'
                % (to, dumps(own) if (own := special.get((kind, int(id), other, to))) else plain)
                for to in page
            )
            more = b""
            if start + ASSOCIATIONS_PAGE < len(found):
                more = b',"paging":' + dumps({"next": {"after": str(start + ASSOCIATIONS_PAGE)}})
            results.append(b'{"from":{"id":"%d"},"to":[%b]%b}' % (int(id), to, more))
        return batch(results, errors)

    def owners(self, request: Request) -> Answer:
        limit, archived = self.limit(request.query.get("limit"), 100, 500), self.archived(request)
        after = request.query.get("after", "0")
        start = int(after) if after.isdigit() else 0
        owners = [owner for owner in self.crm.fixed["owners"] if owner["archived"] == archived]
        value: Fields = {"results": owners[start : start + limit]}
        if start + limit < len(owners):
            value["paging"] = self.more(request, start + limit)
        return answer(200, value)


def boolean(text: str) -> bool:
    return text.lower() == "true"


CONVERT: dict[str, Callable[[str], Any]] = {
    "datetime": milliseconds,
    "date": milliseconds,
    "number": float,
    "bool": boolean,
}


def plain_types(kind: str, other: str) -> list[Fields]:
    pairs = PLAIN_TYPES.get((kind, other), [])
    return [{"category": "HUBSPOT_DEFINED", "typeId": id, "label": label} for id, label in pairs]


def no_association(kind: str, id: str, other: str) -> Fields:
    return {
        "status": "error",
        "category": "OBJECT_NOT_FOUND",
        "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
        "message": f"No {SINGULAR[other]} is associated with {SINGULAR[kind]} {id}.",
        "context": {"fromObjectId": [id]},
    }


def batch(results: list[bytes], errors: list[Fields]) -> Answer:
    """`results` are JSON already."""
    at = iso_ms(round(datetime.now(UTC).timestamp() * 1000))
    told: Fields = {"startedAt": at, "completedAt": at}
    if errors:
        told |= {"numErrors": len(errors), "errors": errors}
    body = b'{"status":"COMPLETE","results":[%b],%b' % (b",".join(results), dumps(told)[1:])
    return Answer(207 if errors else 200, body)


def words(text: str | None) -> list[str]:
    return [word for word in (text or "").split(",") if word]


def digits(value: object) -> bool:
    return str(value).isdigit()


def plural(name: str) -> str:
    return next((many for many, one in SINGULAR.items() if one == name), name)


def first_at(rows: list[Row], id: int) -> int:
    """Index of the first row with this id or a higher one; rows are in the order of ids."""
    return bisect_left(rows, id, key=by_id)
