"""The oracle of the synchronisation: what is here is what the CRM holds, row by row and field by field.

It reads the sandbox's own tables and shares no code with the product.
"""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import Q

from accounts.models import Organisation
from accounts.tenancy import tenant
from deals.models import Activity, Company, Contact, Deal
from tests.sandbox import Sandbox

Rows = dict[str, dict[str, Any]]
KINDS = {"call": "call", "meeting": "meeting", "lunch": "meeting"}
HUBSPOT = {"calls": "call", "emails": "email", "meetings": "meeting", "communications": "message"}
CHANNELS = {"WHATS_APP": "WhatsApp", "LINKEDIN_MESSAGE": "LinkedIn", "SMS": "SMS"}


def differences(organisation: Organisation, sandbox: Sandbox, crm: str) -> list[str]:
    """One line for each row or field that differs; empty when nothing does. The one connection of `organisation`."""
    raw = sandbox.raw(crm)
    theirs = named(pipedrive(raw) if crm == "pipedrive" else hubspot(raw))
    ours = named(stored(organisation))
    found = []
    for kind, rows in theirs.items():
        found += [f"{kind} {id}: missing" for id in rows.keys() - ours[kind].keys()]
        found += [f"{kind} {id}: extra" for id in ours[kind].keys() - rows.keys()]
        for id in rows.keys() & ours[kind].keys():
            for name, value in rows[id].items():
                if ours[kind][id][name] != value:
                    found.append(f"{kind} {id}: {name} is {ours[kind][id][name]!r} and not {value!r}")
    return sorted(found)


def named(rows: dict[str, Rows]) -> dict[str, Rows]:
    """A company that is deleted is none: one CRM goes on naming it, the other does not."""
    for row in (*rows["deals"].values(), *rows["contacts"].values()):
        row["company"] = row["company"] if row["company"] in rows["companies"] else ""
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
                "updated_at": d.updated_at,
            }
            for d in Deal.objects.filter(**mine)
        }
        contacts = {
            c.external_id: {
                "name": c.name,
                "emails": sorted(c.emails),
                "company": c.company_ref,
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
                "subject": a.subject,
                "owner": a.owner_ref,
                "deals": sorted(set(a.linked)),
                "updated_at": a.updated_at,
            }
            for a in Activity.objects.filter(**mine).exclude(external_id__startswith="mail/").annotate(linked=linked)
        }
    return {"deals": deals, "contacts": contacts, "companies": companies, "activities": activities}


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)


def ref(value: Any) -> str:
    return "" if value is None else str(value)


def cents(value: Any) -> Decimal:
    return Decimal(str(value or 0)).quantize(Decimal("0.01"))


def pipedrive(raw: dict[str, Any]) -> dict[str, Rows]:
    def living(table: str) -> dict[str, dict[str, Any]]:
        return {str(row["id"]): row["fields"] for row in raw["tables"][table] if not row["deleted"]}

    deals = living("deals")
    return {
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
                "updated_at": moment(d["update_time"]),
            }
            for id, d in deals.items()
        },
        "contacts": {
            id: {
                "name": p["name"],
                "emails": sorted(e["value"].lower() for e in p["emails"]),
                "company": ref(p["org_id"]),
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
                "subject": a["subject"],
                "owner": ref(a["owner_id"]),
                "deals": [str(a["deal_id"])] if str(a["deal_id"]) in deals else [],
                "updated_at": moment(a["update_time"]),
            }
            for id, a in living("activities").items()
            if a["type"] in KINDS and (a["due_date"] or a["done"])
        },
    }


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

    deals, companies, zone = living("deals"), living("companies"), ZoneInfo("Europe/Paris")
    of_deals = linked("deals", "companies")
    activities: Rows = {}
    for kind, name in HUBSPOT.items():
        on_deals = linked(kind, "deals")
        for id, a in living(kind).items():
            subject = {"calls": "hs_call_title", "emails": "hs_email_subject", "meetings": "hs_meeting_title"}.get(kind)
            activities[f"{kind}/{id}"] = {
                "kind": name,
                "subject": ref(a[subject]) if subject else CHANNELS[a["hs_communication_channel_type"]],
                "owner": ref(a["hubspot_owner_id"]),
                "deals": sorted(deal for deal in on_deals.get(id, ()) if deal in deals),
                "updated_at": moment(a["hs_lastmodifieddate"]),
            }
    closed = {"true": "lost", "false": "open"}
    return {
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


def shown(found: list[str]) -> str:
    return json.dumps(found[:20], indent=1)
