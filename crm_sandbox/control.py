"""The control path: what a test or a demo does to the CRMs, and what it asks about them. No CRM has it.

    POST   /control/faults                      {"crm", "status": 429|500|401|"down"|"cut"|"empty"|…, "count", "path",
                                                 "daily", "retry_after", "share", "seed", "seconds"}; without count
                                                 until taken away (crm_sandbox.faults)
    GET    /control/faults                      DELETE takes all away
    GET    /control/requests                    what the CRMs were asked since the last DELETE
    POST   /control/{crm}/deals                 a new deal; answers {"id"}
    POST   /control/{crm}/deals/{id}            changes a deal
    POST   /control/{crm}/contacts[/{id}]       a new contact; changes a contact
    POST   /control/{crm}/activities            logs or plans a call, meeting, email or message; answers {"id", "type"}
    POST   /control/{crm}/activities/{id}       changes one: its own field or property names
    DELETE /control/{crm}/activities/{id}
    POST   /control/{crm}/account               changes lists of the account by their names in "fixed" (see raw):
                                                 {"personFields": […]}, {"labels": {"deals/contacts": […]}}
    POST   /control/{crm}/oauth                 how its sign-ins and token answers are (crm_sandbox.oauth.Manners);
                                                 DELETE: as at the start; GET: counts of what was asked
    POST   /control/{crm}/oauth/expire          every access token ends now
    POST   /control/{crm}/oauth/uninstall       the app is thrown out; Pipedrive tells it (DELETE on its callback)
    POST   /control/{crm}/limits                how often may be asked (crm_sandbox.limits.Limits), and what was
    POST   /control/{crm}/webhooks              how changes are told (crm_sandbox.webhooks); GET: what was; DELETE
    GET    /control/{crm}/webhooks/acknowledged  which of them were answered with 2xx, and all that there were to tell
    POST   /control/{crm}/clock                 {"skew": seconds by which the CRM's clock is ahead, in its answers' Date
                                                 and in what it says has changed; "late": seconds until its search and
                                                 its lists of changes find a change}; DELETE
    POST   /control/{crm}/changes               deletes, restores, merges, hides … objects (crm_sandbox.changes)
    GET    /control/{crm}/raw                   everything held, deleted and archived objects too

Every change takes "at" (ISO 8601 with a zone; default: the CRM's time) as the time of the change.
A deal takes the CRM's own field or property names, and for both CRMs: status (open, won, lost), amount, close_date
(YYYY-MM-DD or null), archived, deleted, contacts ({"<contact id>": ["label", …] or [] to add, null to remove}).
A contact takes the CRM's own names, and for both: name, email, job_title, role (a label or null), deleted.
An activity takes kind, deals (ids), participants, cc, from ({"contact": id}, {"colleague": id} or {"email": address}),
time (when it takes place), minutes, planned, subject, outcome (cancelled, no_show, rescheduled, no_answer,
voicemail, busy, declined), and for Pipedrive all_day and done_at.
"""

import json
from typing import Protocol

from crm_sandbox import changes
from crm_sandbox.clock import seconds
from crm_sandbox.faults import Fault, Faults
from crm_sandbox.limits import Limits
from crm_sandbox.messages import Answer, Refused, Request, answer
from crm_sandbox.oauth import OAuth
from crm_sandbox.server import Log
from crm_sandbox.store import Crm, Fields, dumps
from crm_sandbox.webhooks import HubSpotWebhooks, PipedriveWebhooks


class Writer(Protocol):
    """Changes one CRM. KeyError: no such object; ValueError: a value makes no sense."""

    crm: Crm

    def save_deal(self, id: int | None, change: Fields, at: int) -> int: ...
    def save_contact(self, id: int | None, change: Fields, at: int) -> int: ...
    def log_activity(self, change: Fields, at: int) -> Fields: ...
    def change_activity(self, id: int, change: Fields, at: int) -> None: ...
    def delete_activity(self, id: int, at: int) -> None: ...


class Control:
    prefix = "control"

    def __init__(
        self,
        writers: dict[str, Writer],
        faults: Faults,
        log: Log,
        oauth: dict[str, OAuth],
        limits: dict[str, Limits],
        webhooks: dict[str, PipedriveWebhooks | HubSpotWebhooks],
    ) -> None:
        self.writers, self.faults, self.log, self.oauth, self.limits = writers, faults, log, oauth, limits
        self.webhooks = webhooks

    def fault(self, status: int, *, daily: bool, retry_after: int) -> Answer:
        raise NotImplementedError("the control path never fails on demand")

    def handle(self, request: Request) -> Answer:
        try:
            return self.route(request)
        except Refused as refusal:
            return refusal.answer
        except KeyError as error:
            return answer(404, {"error": f"unknown: {error}"})
        except (ValueError, TypeError) as error:
            return answer(400, {"error": str(error)})

    def route(self, request: Request) -> Answer:
        match [request.method, *request.parts]:
            case ["POST", "faults"]:
                self.faults.waiting.append(Fault.parse(json.loads(request.body)))
                return self.list_faults()
            case ["GET", "faults"]:
                return self.list_faults()
            case ["DELETE", "faults"]:
                self.faults.waiting.clear()
                return self.list_faults()
            case ["GET", "requests"]:
                value = {"total": len(self.log.entries), "counts": self.log.counts, "requests": self.log.entries}
                return answer(200, value)
            case ["DELETE", "requests"]:
                self.log.clear()
                return answer(200, {})
            case [method, crm, "oauth", *rest] if len(rest) < 2:
                change = json.loads(request.body) if request.body else {}
                return self.oauth[crm].control(method, rest[0] if rest else "", change)
            case ["GET", crm, "webhooks", "acknowledged"]:
                return answer(200, self.webhooks[crm].courier.ledger())
            case [("POST" | "DELETE") as method, crm, "clock"]:
                given = json.loads(request.body) if method == "POST" else {"skew": 0, "late": 0}
                return set_clock(self.writers[crm].crm, given)
            case [method, crm, "webhooks"]:
                return self.webhooks[crm].control(method, json.loads(request.body) if request.body else {})
            case ["POST", crm, "limits"]:
                return answer(200, self.limits[crm].change(json.loads(request.body)))
            case ["POST", crm, "changes"]:
                change, at = moment(json.loads(request.body), self.writers[crm].crm)
                return answer(200, changes.apply(self.writers[crm], change, at))
            case ["GET", crm, "raw"]:
                return Answer(200, raw(self.writers[crm].crm))
            case ["POST", crm, "account"]:
                return change_account(self.writers[crm].crm, json.loads(request.body))
            case [("POST" | "DELETE") as method, crm, kind, *rest] if len(rest) <= 2:
                # HubSpot's activities may be named with their kind: activities/calls/61…
                return self.write(method, self.writers[crm], kind, rest[-1] if rest else None, request)
        raise KeyError(f"{request.method} /control/{request.path}")

    def list_faults(self) -> Answer:
        return answer(200, {"faults": [fault.told() for fault in self.faults.waiting]})

    def write(self, method: str, writer: Writer, kind: str, id: str | None, request: Request) -> Answer:
        change, at = moment(json.loads(request.body) if request.body else {}, writer.crm)
        number = int(id) if id else None
        match method, kind:
            case "POST", "deals":
                return answer(200, {"id": writer.save_deal(number, change, at)})
            case "POST", "contacts":
                return answer(200, {"id": writer.save_contact(number, change, at)})
            case "POST", "activities" if number is None:
                return answer(200, writer.log_activity(change, at))
            case "POST", "activities" if number is not None:
                writer.change_activity(number, change, at)
                return answer(200, {"id": number})
            case "DELETE", "activities" if number is not None:
                writer.delete_activity(number, at)
                return answer(200, {"id": number})
        raise KeyError(f"{method} {kind}")


def moment(change: Fields, crm: Crm) -> tuple[Fields, int]:
    """The change without its time, and the time in epoch seconds."""
    at = change.pop("at", None)
    return change, seconds(at) if at else int(crm.now())


def set_clock(crm: Crm, given: dict[str, float]) -> Answer:
    for name, value in given.items():
        if name not in ("skew", "late") or not isinstance(value, int | float) or (name == "late" and value < 0):
            raise ValueError("skew: seconds; late: seconds, from 0")
        setattr(crm, name, float(value))
    return answer(200, {"skew": crm.skew, "late": crm.late})


def change_account(crm: Crm, change: Fields) -> Answer:
    """The records that use what has changed keep their time of change, as in the CRMs."""
    for name, value in change.items():
        kept = crm.fixed[name]
        if type(value) is not type(kept):
            raise ValueError(f"{name} is no {type(value).__name__}")
        crm.fixed[name] = kept | value if isinstance(value, dict) else value
    for pair, labels in change.get("labels", {}).items():
        now = {label["typeId"]: label for label in labels}
        for key, types in crm.links.types.items():
            if f"{key[0]}/{key[2]}" == pair:
                crm.links.types[key] = [now.get(label["typeId"], label) for label in types]
    return answer(200, {})


def raw(crm: Crm) -> bytes:
    """{"tables": {name: [{"id", "fields", "optional", "archived", "deleted"}]}, "links": …, "fixed": …} as JSON."""
    tables = []
    for name, table in crm.tables.items():
        rows = b",".join(
            b'{"id":%d,"archived":%s,"deleted":%s,"fields":%s,"optional":%s}'
            % (row.id, flag(row.archived), flag(row.deleted), row.fields, row.optional or b"{}")
            for row in table
        )
        tables.append(dumps(name) + b":[" + rows + b"]")
    links = [
        {
            "from": a,
            "to": b,
            "pairs": [[i, j, crm.links.types.get((a, i, b, j))] for i, js in pairs.items() for j in js],
        }
        for (a, b), pairs in crm.links.to.items()
    ]
    return b'{"tables":{%s},"links":%s,"fixed":%s}' % (b",".join(tables), dumps(links), dumps(crm.fixed))


def flag(value: bool) -> bytes:
    return b"true" if value else b"false"
