"""The oracle of the synchronisation: what is here is what the CRM holds, row by row and field by field.

It reads the sandbox's own tables and shares no code with the product.
"""

import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import Q

from accounts.models import Organisation
from accounts.tenancy import tenant
from crm_sync.models import Connection
from deals.models import (
    Activity,
    Colleague,
    Company,
    Contact,
    Deal,
    DealContact,
    Participant,
    Pipeline,
    Role,
    Stage,
    TeamMember,
)
from tests import second_opinion
from tests.evaluator import plain_role
from tests.sandbox import Sandbox

Rows = dict[str, dict[str, Any]]
KINDS = {"call": "call", "meeting": "meeting", "lunch": "meeting", "message": "message"}  # the last one by its name
HUBSPOT = {"calls": "call", "emails": "email", "meetings": "meeting", "communications": "message"}
CHANNELS = {"WHATS_APP": "WhatsApp", "LINKEDIN_MESSAGE": "LinkedIn", "SMS": "SMS"}


def differences(organisation: Organisation, sandbox: Sandbox, crm: str) -> list[str]:
    """One line for each row or field that differs; empty when nothing does. The one connection of `organisation`."""
    return compared(organisation, sandbox, crm)[0]


def compared(organisation: Organisation, sandbox: Sandbox, crm: str) -> tuple[list[str], dict[str, int]]:
    """The differences, and how many rows of each kind the CRM holds."""
    raw = sandbox.raw(crm)
    with tenant(organisation):
        connection = Connection.objects.get(provider=crm)
    theirs = named(
        pipedrive(raw, connection.role_field, connection.title_field) if crm == "pipedrive" else hubspot(raw)
    )
    ours = named(stored(organisation))
    found = []
    for kind, rows in theirs.items():
        found += [f"{kind} {id}: missing" for id in rows.keys() - ours[kind].keys()]
        found += [f"{kind} {id}: extra" for id in ours[kind].keys() - rows.keys()]
        for id in rows.keys() & ours[kind].keys():
            for name, value in rows[id].items():
                if ours[kind][id][name] != value:
                    found.append(f"{kind} {id}: {name} is {ours[kind][id][name]!r} and not {value!r}")
    return sorted(found), {kind: len(rows) for kind, rows in theirs.items()}


def participants(organisation: Organisation, sandbox: Sandbox) -> list[str]:
    """As `differences`, of the participants of Pipedrive's open deals, once they have been read deal by deal."""
    raw = sandbox.raw("pipedrive")
    living = {row["id"] for row in raw["tables"]["persons"] if not row["deleted"]}
    theirs: dict[str, set[str]] = {}
    for links in raw["links"]:
        if (links["from"], links["to"]) == ("deals", "persons"):
            for deal, person, _ in links["pairs"]:
                if person in living:
                    theirs.setdefault(str(deal), set()).add(str(person))
    with tenant(organisation):
        ours: dict[str, set[str]] = {id: set() for id in Deal.objects.open().values_list("external_id", flat=True)}
        for c in DealContact.objects.filter(contact__deleted=False).select_related("deal"):
            if c.deal.external_id in ours:
                ours[c.deal.external_id].add(c.contact_ref)
    differing = sorted(id for id in ours if ours[id] != theirs.get(id, set()))
    return [f"participants of deal {id}: {ours[id]} and not {theirs.get(id, set())}" for id in differing]


def named(rows: dict[str, Rows]) -> dict[str, Rows]:
    """A company or contact that is deleted is none: one CRM goes on naming it, the other does not, and what names it
    has not changed."""
    for row in (*rows["deals"].values(), *rows["contacts"].values()):
        row["company"] = row["company"] if row["company"] in rows["companies"] else ""
    for row in rows["deals"].values():
        row["contacts"] = {id: what for id, what in row["contacts"].items() if id in rows["contacts"]}
    for row in rows["activities"].values():
        row["people"] = sorted(id for id in set(row["people"]) if id in rows["contacts"])
    return rows


def stored(organisation: Organisation) -> dict[str, Rows]:
    """What is here and not deleted."""
    mine: dict[str, Any] = {"organisation": organisation, "deleted": False}
    with tenant(organisation):
        deals = {
            d.external_id: {
                "title": d.title,
                "status": d.status,
                "amount": d.amount or Decimal(0),
                "currency": d.currency,
                "stage": d.stage_ref,
                "pipeline": d.pipeline_ref,
                "owner": d.owner_ref,
                "company": d.company_ref,
                "close_on": str(d.close_on) if d.close_on else None,
                "archived": d.archived,
                "created_at": d.created_at,
                "stage_entered_at": d.crm_stage_entered_at,
                "closed_at": d.closed_at,
                "mail_at": None if d.archived else d.mail_at,
                "contacts": {},
                "updated_at": d.updated_at,
            }
            for d in Deal.objects.filter(**mine)
        }
        for c in DealContact.objects.filter(deal__deleted=False).select_related("deal"):
            if c.primary or c.roles or not c.participant:  # participants are read later: see `participants`
                deals[c.deal.external_id]["contacts"][c.contact_ref] = (c.primary, sorted(map(plain_role, c.roles)))
        contacts = {
            c.external_id: {
                "name": c.name,
                "emails": sorted(c.emails),
                "company": c.company_ref,
                "job_title": c.job_title,
                "roles": sorted(map(plain_role, c.roles)),
                "updated_at": c.updated_at,
            }
            for c in Contact.objects.filter(**mine)
        }
        companies = {
            c.external_id: {"name": c.name, "updated_at": c.updated_at} for c in Company.objects.filter(**mine)
        }
        linked = ArrayAgg("deal_activities__deal_ref", filter=Q(deal_activities__deal__deleted=False), default=[])
        activities = {
            a.external_id: {
                "kind": a.kind,
                "state": a.state,
                "at": a.at,
                "on": str(a.on) if a.on else None,
                "starts_at": a.starts_at,
                "ends_at": a.ends_at,
                "subject": a.subject,
                "owner": a.owner_ref,
                "deals": sorted(set(a.linked)),
                "people": [],
                "others": [],
                "updated_at": a.updated_at,
            }
            for a in Activity.objects.filter(**mine).exclude(external_id__startswith="mail").annotate(linked=linked)
        }
        for p in Participant.objects.filter(activity__deleted=False).select_related("activity"):
            if row := activities.get(p.activity.external_id):
                if p.contact_ref:
                    row["people"].append(p.contact_ref)
                else:
                    row["others"].append((p.colleague_ref, p.address))
        for row in activities.values():
            row["others"] = sorted(set(row["others"]))
        teams: dict[str, list[str]] = {}
        for member in TeamMember.objects.filter(team__source__isnull=False).select_related("team", "colleague"):
            teams.setdefault(member.colleague.external_id, []).append(member.team.name)
        colleagues = {
            c.external_id: {
                "name": c.name,
                "email": c.email,
                "active": c.active,
                "teams": sorted(teams.get(c.external_id, [])),
            }
            for c in Colleague.objects.filter(organisation=organisation)
        }
        pipelines = {
            p.external_id: {"name": p.name, "position": p.position} for p in Pipeline.objects.filter(deleted=False)
        }
        stages = {
            s.external_id: {"name": s.name, "position": s.position, "pipeline": s.pipeline_ref, "closed": s.closed}
            for s in Stage.objects.filter(deleted=False)
        }
        roles: Rows = {plain_role(role.key): {} for role in Role.objects.filter(stale=False)}
    return {
        "colleagues": colleagues,
        "pipelines": pipelines,
        "stages": stages,
        "roles": roles,
        "companies": companies,
        "contacts": contacts,
        "deals": deals,
        "activities": activities,
    }


def maybe(text: str | None) -> datetime | None:
    return moment(text) if text else None


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)


def ref(value: Any) -> str:
    return "" if value is None else str(value)


def cents(value: Any) -> Decimal:
    return Decimal(str(value or 0)).quantize(Decimal("0.01"))


def pipedrive(raw: dict[str, Any], role_field: str = "", title_field: str = "") -> dict[str, Rows]:
    def living(table: str) -> dict[str, dict[str, Any]]:
        return {str(row["id"]): row["fields"] for row in raw["tables"][table] if not row["deleted"]}

    def own(person: dict[str, Any], name: str) -> Any:
        return person["custom_fields"].get(name, person.get(name)) if name else None

    fields = {f["field_code"]: f for f in raw["fixed"]["personFields"]}
    options = {o["id"]: o["label"] for o in (fields.get(role_field) or {}).get("options") or ()}
    optional = {str(row["id"]): row["optional"] for row in raw["tables"]["deals"]}
    attendees = {str(row["id"]): row["optional"].get("attendees") or [] for row in raw["tables"]["activities"]}
    deals = living("deals")
    return {
        "colleagues": {
            str(u["id"]): {"name": u["name"], "email": u["email"].lower(), "active": u["active_flag"], "teams": []}
            for u in raw["fixed"]["users"]
        },
        "pipelines": {id: {"name": p["name"], "position": p["order_nr"]} for id, p in living("pipelines").items()},
        "stages": {
            id: {"name": s["name"], "position": s["order_nr"], "pipeline": str(s["pipeline_id"]), "closed": False}
            for id, s in living("stages").items()
        },
        "roles": {plain_role(label): {} for label in options.values()},
        "deals": {
            id: {
                "title": d["title"],
                "status": d["status"],
                "amount": cents(d["value"]),
                "currency": d["currency"],
                "stage": ref(d["stage_id"]),
                "pipeline": ref(d["pipeline_id"]),
                "owner": ref(d["owner_id"]),
                "company": ref(d["org_id"]),
                "close_on": d["expected_close_date"],
                "archived": d["is_archived"],
                "created_at": moment(d["add_time"]),
                "stage_entered_at": moment(d["stage_change_time"] or d["add_time"]),
                "closed_at": None if d["status"] == "open" else maybe(d["close_time"] or d[f"{d['status']}_time"]),
                "mail_at": None if d["is_archived"] else mail_at(optional[id]),
                "contacts": {str(d["person_id"]): (True, [])} if d["person_id"] else {},
                "updated_at": moment(d["update_time"]),
            }
            for id, d in deals.items()
        },
        "contacts": {
            id: {
                "name": p["name"],
                "emails": sorted(e["value"].lower() for e in p["emails"]),
                "company": ref(p["org_id"]),
                "job_title": (own(p, title_field or "job_title") or "").strip(),
                "roles": sorted(plain_role(options[one]) for one in chosen(own(p, role_field)) if one in options),
                "updated_at": moment(p["update_time"]),
            }
            for id, p in living("persons").items()
        },
        "companies": {
            id: {"name": o["name"], "updated_at": moment(o["update_time"])} for id, o in living("organizations").items()
        },
        "activities": {
            id: {
                "kind": KINDS[a["type"]],
                "state": "held" if a["done"] else "planned",
                **times(a),
                "subject": a["subject"],
                "owner": ref(a["owner_id"]),
                "deals": [str(a["deal_id"])] if str(a["deal_id"]) in deals else [],
                "people": [
                    str(one)
                    for one in (
                        a["person_id"],
                        *(p["person_id"] for p in a["participants"] or ()),
                        *(one["person_id"] for one in attendees[id]),
                    )
                    if one
                ],
                "others": sorted(
                    {
                        (ref(one["user_id"]), (one["email"] or "").strip().lower())
                        for one in attendees[id]
                        if not one["person_id"] and (one["user_id"] or one["email"])
                    }
                ),
                "updated_at": moment(a["update_time"]),
            }
            for id, a in living("activities").items()
            if a["type"] in KINDS and (a["due_date"] or a["done"])
        },
    }


def chosen(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def mail_at(optional: dict[str, Any]) -> datetime | None:
    found = [moment(text) for way in ("incoming", "outgoing") if (text := optional.get(f"last_{way}_mail_time"))]
    return max(found, default=None)


def clock_time(text: str | None) -> timedelta | None:
    if not text:
        return None
    hours, minutes, *seconds = map(int, text.split(":"))
    return timedelta(hours=hours, minutes=minutes, seconds=sum(seconds))


def times(a: dict[str, Any]) -> dict[str, Any]:
    """Of an activity of Pipedrive: due_date and due_time are UTC; without a time it is a day of the calendar."""
    starts = ends = None
    due, done = clock_time(a["due_time"]), maybe(a["marked_as_done_time"]) if a["done"] else None
    if not a["due_date"]:
        at = done or moment(a["update_time"])
    elif due is None:
        at = None
    else:
        starts = datetime.combine(date.fromisoformat(a["due_date"]), time(), UTC) + due
        ends = starts + (clock_time(a["duration"]) or timedelta())
        at = min(ends, done or ends) if a["done"] else starts if KINDS[a["type"]] == "call" else ends
    return {"at": at, "on": None if at else a["due_date"], "starts_at": starts, "ends_at": ends}


def hubspot(raw: dict[str, Any]) -> dict[str, Rows]:
    def living(table: str) -> dict[str, dict[str, Any]]:
        return {str(row["id"]): row["fields"] for row in raw["tables"][table] if not row["archived"]}

    def linked(kind: str, other: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for links in raw["links"]:
            if (links["from"], links["to"]) == (kind, other):
                for one, another, _ in links["pairs"]:
                    found.setdefault(str(one), []).append(str(another))
        return found

    def labels() -> dict[str, dict[str, Any]]:
        """Of the contacts of each deal: not primary (companies are), and the account's own labels."""
        found: dict[str, dict[str, Any]] = {}
        for links in raw["links"]:
            if (links["from"], links["to"]) == ("deals", "contacts"):
                for deal, contact, types in links["pairs"]:
                    own = {plain_role(t["label"]) for t in types or () if t["category"] == "USER_DEFINED"}
                    found.setdefault(str(deal), {})[str(contact)] = (False, sorted(own))
        return found

    fixed, contacts_of = raw["fixed"], labels()
    buying = next((p for p in fixed["properties"]["contacts"] if p["name"] == "hs_buying_role"), {})
    options = {o["value"]: o["label"] for o in buying.get("options", ())}
    offered = [
        *options.values(),
        *(t["label"] for t in fixed["labels"]["deals/contacts"] if t["category"] == "USER_DEFINED"),
    ]
    deals, companies, zone = living("deals"), living("companies"), ZoneInfo("Europe/Paris")
    of_deals = linked("deals", "companies")
    activities: Rows = {}
    for kind, name in HUBSPOT.items():
        on_deals, people = linked(kind, "deals"), linked(kind, "contacts")
        for id, a in living(kind).items():
            subject = {"calls": "hs_call_title", "emails": "hs_email_subject", "meetings": "hs_meeting_title"}.get(kind)
            activities[f"{kind}/{id}"] = {
                "kind": name,
                **happening(kind, a),
                **parties(kind, a, people.get(id, [])),
                "subject": ref(a[subject]) if subject else CHANNELS[a["hs_communication_channel_type"]],
                "owner": ref(a["hubspot_owner_id"]),
                "deals": sorted(deal for deal in on_deals.get(id, ()) if deal in deals),
                "updated_at": moment(a["hs_lastmodifieddate"]),
            }
    closed = {"true": "lost", "false": "open"}
    return {
        "colleagues": {
            o["id"]: {
                "name": " ".join(filter(None, (o["firstName"], o["lastName"]))) or o["email"],
                "email": o["email"].lower(),
                "active": not o["archived"],
                "teams": sorted(team["name"] for team in o.get("teams") or ()),
            }
            for o in fixed["owners"]
        },
        "pipelines": {p["id"]: {"name": p["label"], "position": p["displayOrder"]} for p in fixed["pipelines"]},
        "stages": {
            s["id"]: {
                "name": s["label"],
                "position": s["displayOrder"],
                "pipeline": p["id"],
                "closed": s["metadata"]["isClosed"] == "true" or float(s["metadata"]["probability"]) in (0, 1),
            }
            for p in fixed["pipelines"]
            for s in p["stages"]
        },
        "roles": {plain_role(label): {} for label in offered},
        "deals": {
            id: {
                "title": ref(d["dealname"]),
                "status": "won" if d["hs_is_closed_won"] == "true" else closed[d["hs_is_closed"]],
                "amount": cents(d["amount"]),
                "currency": d["deal_currency_code"],
                "stage": ref(d["dealstage"]),
                "pipeline": ref(d["pipeline"]),
                "owner": ref(d["hubspot_owner_id"]),
                "company": next((one for one in of_deals.get(id, ()) if one in companies), ""),
                "close_on": str(moment(d["closedate"]).astimezone(zone).date()) if d["closedate"] else None,
                "archived": False,
                "created_at": moment(d["createdate"]),
                "stage_entered_at": maybe(d["hs_v2_date_entered_current_stage"]),
                "closed_at": maybe(d["closedate"]) if d["hs_is_closed"] == "true" else None,
                "mail_at": None,
                "contacts": contacts_of.get(id, {}),
                "updated_at": moment(d["hs_lastmodifieddate"]),
            }
            for id, d in deals.items()
        },
        "contacts": {
            id: {
                "name": " ".join(filter(None, (c["firstname"], c["lastname"]))),
                "emails": sorted(
                    {e.lower() for e in [c["email"], *(c.get("hs_additional_emails") or "").split(";")] if e}
                ),
                "company": ref(c.get("associatedcompanyid")),
                "job_title": (c["jobtitle"] or "").strip(),
                "roles": sorted({plain_role(options.get(one, one)) for one in several(c["hs_buying_role"])}),
                "updated_at": moment(c["lastmodifieddate"]),
            }
            for id, c in living("contacts").items()
        },
        "companies": {
            id: {"name": c["name"] or c["domain"], "updated_at": moment(c["hs_lastmodifieddate"])}
            for id, c in companies.items()
        },
        "activities": activities,
    }


def several(value: str | None) -> list[str]:
    return [part.strip() for part in (value or "").split(";") if part.strip()]


def happening(kind: str, a: dict[str, Any]) -> dict[str, Any]:
    """Of an activity of HubSpot: what became of it, and when."""
    at, starts, ends, state = moment(a["hs_timestamp"]), None, None, "held"
    if kind == "calls":
        starts, length = at, float(a["hs_call_duration"] or 0)
        ends = at + timedelta(milliseconds=length) if 0 < length < 86_400_000 else None
        result, status = a["hs_call_disposition"], a["hs_call_status"]
        if result in second_opinion.UNANSWERED:
            state = "attempt"
        elif result not in second_opinion.ANSWERED and status in second_opinion.UNANSWERED_STATUS:
            state = "cancelled" if status == "CANCELED" else "attempt"
    elif kind == "meetings":
        starts, ends = maybe(a["hs_meeting_start_time"]) or at, maybe(a["hs_meeting_end_time"])
        at = ends or starts
        outcomes = {"CANCELED": "cancelled", "NO_SHOW": "no_show", "RESCHEDULED": "rescheduled"}
        state = outcomes.get(a["hs_meeting_outcome"] or "", "held")
    elif kind == "emails":
        bounced, draft = ("BOUNCED", "FAILED"), ("SCHEDULED", "SENDING", "DRAFT")
        status = a["hs_email_status"]
        state = "bounced" if status in bounced else "draft" if status in draft else "held"
        if state == "held" and a["hs_email_direction"] == "DRAFT_EMAIL":
            state = "draft"
    return {"state": state, "at": at, "on": None, "starts_at": starts, "ends_at": ends}


def parties(kind: str, a: dict[str, Any], contacts: list[str]) -> dict[str, Any]:
    """Contacts, and colleagues or addresses. An e-mail with any address says nothing of its associated contacts."""
    if kind == "meetings":
        return {"people": contacts, "others": sorted({(one, "") for one in several(a["hs_attendee_owner_ids"])})}
    if kind != "emails":
        return {"people": contacts, "others": []}
    headers = json.loads(a["hs_email_headers"] or "{}")
    named = [p["email"] for part in ("from", "to", "cc", "bcc") for p in listed(headers.get(part)) if p["email"]]
    named += [one for part in ("from", "to", "cc", "bcc") for one in several(a[f"hs_email_{part}_email"])]
    return {"people": [] if named else contacts, "others": sorted({("", one.lower()) for one in named})}


def listed(value: Any) -> list[dict[str, Any]]:
    return value if isinstance(value, list) else [value] if value else []


def shown(found: list[str]) -> str:
    return json.dumps(found[:20], indent=1)
