"""Pipedrive's REST API: v2 lists with cursors, v1 users and activity types. Reads only; `control` writes.

A deleted deal is listed with status=deleted and can be read by id; other deleted objects are gone (404), as
`?ids=` leaves them out.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable
from typing import Any

from crm_sandbox import pipedrive_history, twins
from crm_sandbox.clock import seconds, whole_seconds
from crm_sandbox.limits import Limits
from crm_sandbox.messages import Answer, Refused, Request, answer
from crm_sandbox.oauth import OAuth
from crm_sandbox.store import Crm, Fields, Row, dumps
from crm_sandbox.webhooks import PipedriveWebhooks

MORE_INFO = "Please check developers.pipedrive.com"
PAGING = {"limit", "cursor"}
SORTED = {"sort_by", "sort_direction"}
ONE = {"include_fields", "custom_fields", "include_option_labels", "include_labels"}
LIST = PAGING | SORTED | ONE | {"filter_id", "ids", "owner_id", "updated_since", "updated_until"}
DEAL_FILTERS = {"person_id", "org_id", "pipeline_id", "stage_id", "status"}
PARAMETERS = {
    "deals": LIST | DEAL_FILTERS,
    "deals/archived": (LIST | DEAL_FILTERS) - {"include_option_labels", "include_labels"},
    "persons": LIST | {"org_id", "deal_id"},
    "organizations": LIST,
    "activities": (LIST | {"deal_id", "lead_id", "person_id", "org_id", "done"}) - (ONE - {"include_fields"}),
    "pipelines": PAGING | SORTED,
    "stages": PAGING | SORTED | {"pipeline_id"},
}
FIELD_LISTS = ("dealFields", "personFields", "organizationFields", "activityFields")
NAMES = {"deals": "Deal", "persons": "Person", "organizations": "Organization", "activities": "Activity"}
# What include_fields may name; the sandbox keeps a value for those of deals and activities.
COUNTED = {"next_activity_id", "last_activity_id", "files_count", "notes_count", "followers_count", "smart_bcc_email"}
COUNTED |= {"activities_count", "done_activities_count", "undone_activities_count", "email_messages_count"}
DEALS_COUNTED = {f"{state}_deals_count" for state in ("open", "closed", "won", "lost")}
DEALS_COUNTED |= {f"related_{name}" for name in DEALS_COUNTED}
MAIL = {"last_incoming_mail_time", "last_outgoing_mail_time"}
INCLUDABLE = {
    "deals": COUNTED | MAIL | {"first_won_time", "products_count", "participants_count", "source_lead_id"},
    "persons": COUNTED | MAIL | DEALS_COUNTED | {"participant_open_deals_count", "participant_closed_deals_count"},
    "organizations": COUNTED | DEALS_COUNTED | {"people_count"},
    "activities": {"attendees"},
}
COST = {"deals/archived": 20, "pipelines": 5, "stages": 5, "users": 20, "activityTypes": 20, "users/me": 2}
COST_OF_A_DEALS = pipedrive_history.COST
DAILY_BUDGET = 1_500_000


class Pipedrive:
    prefix = "pipedrive"

    def __init__(self, crm: Crm, token: str) -> None:
        self.crm, self.token = crm, token
        self.oauth = OAuth(self.prefix, crm)
        self.limits = Limits(100, 2, DAILY_BUDGET)
        self.webhooks = PipedriveWebhooks(crm)
        self.twins = twins.PipedriveTwins(crm)

    def handle(self, request: Request) -> Answer:
        if request.parts[0] == "oauth":
            return self.oauth.handle(request)
        request = twins.as_now(request)
        endpoint = request.path.partition("/v2/")[2] or request.path.partition("/v1/")[2]
        one = endpoint.partition("/")[2].isdigit()
        if refused := self.limits.ask(1 if one else COST.get(endpoint) or COST_OF_A_DEALS.get(request.parts[-1], 10)):
            return self.fault(429, daily=refused == "daily", retry_after=2)
        try:
            self.check_token(request)
            result = self.route(request)
        except Refused as refusal:
            result = refusal.answer
        return self.with_limits(result)

    def with_limits(self, result: Answer, *, burst_left: int | None = None, daily_left: int | None = None) -> Answer:
        limits = self.limits
        result.headers |= {
            "x-ratelimit-limit": str(limits.requests),
            "x-ratelimit-remaining": str(limits.left if burst_left is None else burst_left),
            "x-ratelimit-reset": f"{limits.seconds:g}",
            "x-daily-ratelimit-token-limit": str(limits.daily),
            "x-daily-ratelimit-token-remaining": str(limits.daily_left if daily_left is None else daily_left),
        }
        return result

    def fault(self, status: int, *, daily: bool, retry_after: int) -> Answer:
        messages = {
            401: "unauthorized access",
            403: "Scope and URL mismatch",
            429: "request over limit",
            500: "Internal server error",
        }
        result = error(status, messages.get(status, "Service unavailable"))
        if status != 429:
            return self.with_limits(result)
        if daily:  # lasts until midnight, and says no sooner moment
            return self.with_limits(result, daily_left=0)
        result.headers["Retry-After"] = str(retry_after)
        return self.with_limits(result, burst_left=0)

    def check_token(self, request: Request) -> None:
        given = request.headers.get("x-api-token") or request.headers.get("authorization", "").removeprefix("Bearer ")
        if given.endswith("-limited"):
            if "/deals" in request.path or "/webhooks" in request.path:
                raise Refused(error(403, "Scope and URL mismatch"))
        elif given != self.token and not ("x-api-token" not in request.headers and self.oauth.accepts(given)):
            raise Refused(error(401, "unauthorized access"))

    def route(self, request: Request) -> Answer:
        if request.parts[:3] == ["api", "v1", "webhooks"]:
            return self.webhooks.handle(request)
        if request.method != "GET":
            raise Refused(error(405, "Method not allowed"))
        match request.parts:
            case ["api", "v1", "users"]:
                return answer(200, {"success": True, "data": self.crm.fixed["users"]})
            case ["api", "v1", "users", "me"]:
                return answer(200, {"success": True, "data": self.crm.fixed["me"]})
            case ["api", "v1", "activityTypes"]:
                return answer(200, {"success": True, "data": self.crm.fixed["activityTypes"]})
            case ["api", "v1", "deals", id, what] if what in COST_OF_A_DEALS:
                return pipedrive_history.handle(self.crm, request, id, what)
            case ["api", "v2", name] if name in FIELD_LISTS:
                allow(request, PAGING | {"include_fields"})
                return self.list_fixed(request, self.crm.fixed[name])
            case ["api", "v2", "deals", "archived"]:
                return self.list_rows(request, "deals", "deals/archived")
            case ["api", "v2", name] if name in PARAMETERS:
                return self.list_rows(request, name, name)
            case ["api", "v2", name, id] if name in NAMES:
                return self.one(request, name, id)
            case ["api", "v1", *_] if old := self.twins.handle(request):
                return old
        raise Refused(error(404, "Unknown method ."))

    def one(self, request: Request, name: str, id: str) -> Answer:
        allow(request, {"include_fields"} if name == "activities" else ONE)
        row = self.crm.tables[name].rows.get(number("id", id))
        if row is None or (row.deleted and name != "deals"):
            raise Refused(error(404, f"{NAMES[name]} not found"))
        return Answer(200, b'{"success":true,"data":' + self.writer(request, name)(row) + b"}")

    def list_rows(self, request: Request, name: str, endpoint: str) -> Answer:
        allow(request, PARAMETERS[endpoint])
        table = self.crm.tables[name]
        wanted, key = self.filters(request, name, archived=endpoint == "deals/archived")
        sort_by, descending = sorting(request, name)
        rows = table.select((endpoint, key, sort_by), wanted, order_by(sort_by))
        rows = self.crm.indexed(rows) if "updated_since" in request.query else rows
        write = self.writer(request, name)
        page, cursor = cut(rows, request, sort_by, descending)
        return envelope(map(write, page), cursor)

    def list_fixed(self, request: Request, items: list[Fields]) -> Answer:
        rows = [Row(index + 1, 0, item) for index, item in enumerate(items)]
        page, cursor = cut(rows, request, "id", False)
        return envelope((row.fields for row in page), cursor)

    def filters(self, request: Request, name: str, *, archived: bool) -> tuple[Callable[[Row], bool], object]:
        """Whether a row is wanted, and a key that names the selection."""
        query = {k: v for k, v in request.query.items() if k not in PAGING | SORTED | ONE}
        key = tuple(sorted(query.items()))
        if "filter_id" in query:
            raise Refused(invalid("filter_id", "Filter not found"))
        since = moment(query, "updated_since", 0)
        until = moment(query, "updated_until", 1 << 60)
        statuses = set(filter(None, query.get("status", "").split(",")))
        if not statuses <= {"open", "won", "lost", "deleted"}:
            raise Refused(invalid("status", "Invalid option"))
        ids = None
        if "ids" in query:
            ids = {number("ids", id) for id in query["ids"].split(",")}
            if len(ids) > 100:
                raise Refused(invalid("ids", "Array must contain at most 100 element(s)"))
        equal: Fields = {}
        if statuses:
            equal["status"] = statuses
        for parameter in ("owner_id", "org_id", "pipeline_id", "stage_id", "person_id"):
            if parameter in query:
                equal[parameter] = {number(parameter, query[parameter])}
        if "lead_id" in query:
            equal["lead_id"] = {query["lead_id"]}
        if "done" in query:
            if query["done"] not in ("true", "false"):
                raise Refused(invalid("done", "Expected boolean"))
            equal["done"] = {query["done"] == "true"}
        if "deal_id" in query:
            linked = set(self.crm.links.of("deals", number("deal_id", query["deal_id"]), name))
            ids = linked if ids is None else ids & linked

        def wanted(row: Row) -> bool:
            if not since <= row.updated < until or row.archived != archived or (ids is not None and row.id not in ids):
                return False
            if row.deleted and (name != "deals" or "deleted" not in statuses):
                return False
            if not equal:
                return True
            fields = row.read()
            if row.deleted:
                return all(fields[k] in values for k, values in equal.items() if k != "status")
            return all(fields[k] in values for k, values in equal.items())

        return wanted, key

    def writer(self, request: Request, name: str) -> Callable[[Row], bytes]:
        """How a row is written: with what include_fields, custom_fields and include_option_labels ask for."""
        included = set(filter(None, request.query.get("include_fields", "").split(",")))
        if unknown := included - INCLUDABLE.get(name, set()):
            raise Refused(invalid("include_fields", f"Invalid option '{min(unknown)}'"))
        codes = list(filter(None, request.query.get("custom_fields", "").split(",")))
        if len(codes) > 15:
            raise Refused(invalid("custom_fields", "Array must contain at most 15 element(s)"))
        labels = request.query.get("include_option_labels") == "true"
        if not included and not codes and not labels:
            return lambda row: row.fields
        options = self.options(name) if labels else {}

        def write(row: Row) -> bytes:
            text = row.fields
            if codes or labels:
                fields = row.read()
                custom = fields["custom_fields"]
                if codes:
                    custom = {code: custom[code] for code in codes if code in custom}
                fields["custom_fields"] = {code: labelled(value, options.get(code)) for code, value in custom.items()}
                text = dumps(fields)
            if not included:
                return text
            optional = row.optional
            if name == "activities":  # their only one
                return text[:-1] + b"," + (optional[1:] if optional else b'"attendees":[]}')
            values = row.read_optional()
            if "participants_count" in included:
                values["participants_count"] = len(pipedrive_history.taking_part(self.crm, row.id))
            chosen = {key: values.get(key) for key in sorted(included - {"source_lead_id"})}
            return text[:-1] + b"," + dumps(chosen)[1:] if chosen else text

        return write

    def options(self, name: str) -> dict[str, dict[int, str]]:
        """Labels of the options, by field code."""
        fields = self.crm.fixed[{"deals": "dealFields", "persons": "personFields"}.get(name, "organizationFields")]
        return {f["field_code"]: {o["id"]: o["label"] for o in f["options"] or ()} for f in fields}


def labelled(value: Any, labels: dict[int, str] | None) -> Any:
    if not labels or value is None:
        return value
    if isinstance(value, list):
        return [{"id": id, "label": labels.get(id)} for id in value]
    return {"id": value, "label": labels.get(value)}


def error(status: int, message: str) -> Answer:
    return answer(status, {"success": False, "error": message, "errorCode": status, "error_info": MORE_INFO})


def invalid(parameter: str, why: str) -> Answer:
    text = f"Validation failed: {parameter}: {why}"
    return answer(400, {"success": False, "error": text, "code": "ERR_SCHEMA_VALIDATION_FAILED"})


def allow(request: Request, parameters: set[str]) -> None:
    for name in request.query:
        if name not in parameters:
            raise Refused(invalid(name, f"Parameter '{name}' is not allowed for this request"))


def number(parameter: str, text: str) -> int:
    if not text.isdigit():
        raise Refused(invalid(parameter, "Expected number"))
    return int(text)


def moment(query: dict[str, str], parameter: str, default: int) -> int:
    if parameter not in query:
        return default
    try:
        return whole_seconds(query[parameter])
    except ValueError:
        raise Refused(invalid(parameter, "Invalid date-time, expected the format YYYY-MM-DDTHH:MM:SSZ")) from None


def sorting(request: Request, name: str) -> tuple[str, bool]:
    fields = ["id", "update_time", "add_time"] + (["due_date"] if name == "activities" else [])
    if name == "stages":
        fields.append("order_nr")
    sort_by = request.query.get("sort_by", "id")
    direction = request.query.get("sort_direction", "asc")
    if sort_by not in fields:
        raise Refused(invalid("sort_by", "Invalid option"))
    if direction not in ("asc", "desc"):
        raise Refused(invalid("sort_direction", "Invalid option"))
    return sort_by, direction == "desc"


def order_by(sort_by: str) -> Callable[[Row], Any] | None:
    if sort_by == "id":
        return None
    return lambda row: (sort_value(row, sort_by), row.id)


def sort_value(row: Row, sort_by: str) -> Any:
    if sort_by == "id":
        return row.id
    if sort_by == "update_time":
        return row.updated
    value = row.read()[sort_by]
    return seconds(value) if sort_by == "add_time" else value


def cut(rows: list[Row], request: Request, sort_by: str, descending: bool) -> tuple[list[Row], str | None]:
    """One page, and the cursor that names the first row of the next one by its value: rows may come and go between."""
    limit = number("limit", request.query.get("limit", "100"))
    if not 1 <= limit <= 500:
        raise Refused(invalid("limit", "Number must be between 1 and 500"))
    start = 0
    if descending:
        rows = rows[::-1]
    if cursor := request.query.get("cursor"):
        place = read_cursor(cursor, sort_by, descending)
        start = find(rows, place, sort_by, descending)
    page, rest = rows[start : start + limit], rows[start + limit : start + limit + 1]
    return page, write_cursor(rest[0], sort_by, descending) if rest else None


def find(rows: list[Row], place: tuple[Any, int], sort_by: str, descending: bool) -> int:
    """Index of the first row at or behind `place` (value, id), by halves."""
    low, high = 0, len(rows)
    while low < high:
        middle = (low + high) // 2
        here = (sort_value(rows[middle], sort_by), rows[middle].id)
        if (here > place) if descending else (here < place):
            low = middle + 1
        else:
            high = middle
    return low


def write_cursor(row: Row, sort_by: str, descending: bool) -> str:
    value = {
        "field": sort_by,
        "fieldValue": sort_value(row, sort_by),
        "sortDirection": "desc" if descending else "asc",
        "id": row.id,
    }
    return urlsafe_b64encode(dumps(value)).decode().rstrip("=")


def read_cursor(cursor: str, sort_by: str, descending: bool) -> tuple[Any, int]:
    try:
        value = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if (value["field"], value["sortDirection"]) != (sort_by, "desc" if descending else "asc"):
            raise ValueError(cursor)
        return value["fieldValue"], int(value["id"])
    except (ValueError, KeyError, TypeError):
        raise Refused(invalid("cursor", "Invalid cursor")) from None


def envelope(rows: Iterable[bytes], cursor: str | None) -> Answer:
    additional = dumps({"next_cursor": cursor})
    return Answer(200, b'{"success":true,"data":[' + b",".join(rows) + b'],"additional_data":' + additional + b"}")
