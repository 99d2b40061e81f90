"""Changes in HubSpot, with the properties that the CRM itself would set."""

import json
from datetime import date, datetime, time

from crm_sandbox.clock import ZONE, iso_ms, seconds
from crm_sandbox.hubspot_data import (
    BUYING_ROLES,
    CONNECTED,
    LABELS,
    LOST,
    OBJECTS,
    PIPELINES,
    UNANSWERED,
    WON,
    closed_flags,
    label,
    party,
    probability,
)
from crm_sandbox.hubspot_history import version
from crm_sandbox.store import Crm, Fields, Row, dumps

ACTIVITIES = {"call": "calls", "email": "emails", "meeting": "meetings", "message": "communications"}
MODIFIED = dict.fromkeys(OBJECTS, "hs_lastmodifieddate") | {"contacts": "lastmodifieddate"}
ATTEMPTS = dict(zip(("no_answer", "voicemail", "busy"), UNANSWERED, strict=False))


class HubSpotWriter:
    def __init__(self, crm: Crm) -> None:
        self.crm = crm

    def store(self, kind: str, row: Row, properties: Fields, at: int, history: Fields | None = None) -> None:
        table = self.crm.tables[kind]
        before = row.fields if row.id in table.rows else None
        properties[MODIFIED[kind]] = iso_ms(at * 1000)
        # Every property value of HubSpot is a string or null.
        text = {name: value if value is None else plain(value) for name, value in properties.items()}
        row.updated, row.fields = at * 1000, dumps(text)
        if history is not None:
            row.optional = dumps(history)
        if row.id in table.rows:
            table.touch()
        else:
            table.add(row)
        if self.crm.watcher:
            self.crm.watcher(kind, row, before)

    def blank(self, kind: str, at: int) -> tuple[Row, Fields]:
        id = self.crm.tables[kind].next_id()
        properties: Fields = dict.fromkeys(self.known(kind))
        created = "createdate" if "createdate" in properties else "hs_createdate"
        properties |= {"hs_object_id": str(id), created: iso_ms(at * 1000)}
        return Row(id, at * 1000, properties), properties

    def known(self, kind: str) -> list[str]:
        return [definition["name"] for definition in self.crm.fixed["properties"].get(kind, ())]

    def check(self, kind: str, change: Fields) -> None:
        if unknown := set(change) - set(self.known(kind)):
            raise ValueError(f"{kind} have no property {min(unknown)}")

    def save_deal(self, id: int | None, change: Fields, at: int) -> int:
        if id is None:
            row, properties = self.blank("deals", at)
            first = self.crm.fixed["pipelines"][0]
            properties |= closed_flags("open") | {"deal_currency_code": "EUR", "dealname": ""}
            change = {"pipeline": first["id"], "dealstage": first["stages"][0]["id"]} | change
        else:
            row = self.crm.tables["deals"].rows[id]
            properties = row.read()
        change, history = dict(change), row.read_optional()
        contacts: Fields = change.pop("contacts", None) or {}
        archiving = [bool(change.pop(name)) for name in ("archived", "deleted") if name in change]
        row.archived = any(archiving) if archiving else row.archived
        if "close_date" in change:
            change["closedate"] = midday(change.pop("close_date"))
        if "status" in change:
            change["dealstage"] = self.stage_for(change.pop("status"), properties["pipeline"])
        self.check("deals", change)
        stage = change.get("dealstage", properties["dealstage"])
        if stage and stage != properties["dealstage"]:
            change = self.entered(stage, at) | change
            history["dealstage"] = [version(stage, at), *history.get("dealstage", [])]
        for name in ("amount", "closedate"):
            if name in change and (change[name] or None) != (properties[name] or None):
                value = "" if change[name] is None else plain(change[name])
                history[name] = [version(value, at), *history.get(name, [])]
        if "amount" in change:
            change.setdefault("amount_in_home_currency", change["amount"])
        for contact, labels in contacts.items():
            self.associate(row.id, int(contact), labels)
        properties |= change
        if contacts:
            properties["num_associated_contacts"] = len(self.crm.links.of("deals", row.id, "contacts"))
        self.store("deals", row, properties, at, history)
        return row.id

    def stage_for(self, status: str, pipeline: str | None) -> str:
        index = PIPELINES.index(pipeline) if pipeline in PIPELINES else 0
        first = self.crm.fixed["pipelines"][index]["stages"][0]["id"]
        return str({"open": first, "won": WON[index], "lost": LOST[index]}[status])

    def entered(self, stage: str, at: int) -> Fields:
        """What a new stage sets on a deal; a closed one overwrites the close date."""
        found = [(p, s) for p in self.crm.fixed["pipelines"] for s in p["stages"] if s["id"] == stage]
        if not found:
            raise ValueError(f"no such stage: {stage}")
        pipeline, one = found[0]
        closed = one["metadata"]["isClosed"] == "true"
        status = "open" if not closed else "won" if probability(stage) == "1.0" else "lost"
        set_by_stage = {
            "pipeline": pipeline["id"],
            "hs_v2_date_entered_current_stage": iso_ms(at * 1000),
            "hs_deal_stage_probability": one["metadata"]["probability"],
        }
        return set_by_stage | closed_flags(status) | ({"closedate": iso_ms(at * 1000)} if closed else {})

    def associate(self, deal: int, contact: int, labels: list[str] | None) -> None:
        if labels is None:
            self.crm.links.remove("deals", deal, "contacts", contact)
            return
        if unknown := set(labels) - set(LABELS):
            raise ValueError(f"no such label: {min(unknown)}")
        self.crm.links.add("deals", deal, "contacts", self.crm.tables["contacts"].rows[contact].id)
        label(self.crm, deal, contact, labels)

    def save_contact(self, id: int | None, change: Fields, at: int) -> int:
        if id is None:
            row, properties = self.blank("contacts", at)
        else:
            row = self.crm.tables["contacts"].rows[id]
            properties = row.read()
        change = dict(change)
        row.archived = bool(change.pop("archived", change.pop("deleted", row.archived)))
        if "name" in change:
            change["firstname"], _, change["lastname"] = change.pop("name").partition(" ")
        if "job_title" in change:
            change["jobtitle"] = change.pop("job_title")
        if "role" in change:
            role = change.pop("role")
            change["hs_buying_role"] = BUYING_ROLES.get(role, role)
        self.check("contacts", change)
        self.store("contacts", row, properties | change, at)
        return row.id

    def log_activity(self, change: Fields, at: int) -> Fields:
        if change.get("kind") not in ACTIVITIES:
            raise ValueError(f"kind must be one of {', '.join(ACTIVITIES)}")
        kind = ACTIVITIES[change["kind"]]
        row, properties = self.blank(kind, at)
        when = seconds(change["time"]) if change.get("time") else at
        planned = bool(change.get("planned", when > at))
        outcome = change.get("outcome")
        people = [int(one["contact"]) for one in change.get("participants", ()) if "contact" in one]
        colleagues = [str(one["colleague"]) for one in change.get("participants", ()) if "colleague" in one]
        start, subject = iso_ms(when * 1000), change.get("subject", change["kind"].capitalize())
        end = iso_ms((when + 60 * int(change.get("minutes", 30))) * 1000)
        properties |= {
            "hs_timestamp": start,
            "hubspot_owner_id": change.get("owner_id"),
            "hs_engagement_source": "CRM_UI",
        }
        if kind == "calls":
            disposition, status = ATTEMPTS.get(
                outcome or "", (None if planned else CONNECTED, None if planned else "COMPLETED")
            )
            incoming = "contact" in (change.get("from") or {})
            properties |= {"hs_call_title": subject, "hs_call_disposition": disposition, "hs_call_status": status}
            properties["hs_call_direction"] = "INBOUND" if incoming else "OUTBOUND"
        elif kind == "meetings":
            held = "SCHEDULED" if planned else "COMPLETED"
            outcomes = {
                "cancelled": "CANCELED",
                "declined": "CANCELED",
                "no_show": "NO_SHOW",
                "rescheduled": "RESCHEDULED",
            }
            properties |= {
                "hs_meeting_title": subject,
                "hs_meeting_start_time": start,
                "hs_meeting_end_time": end,
                "hs_meeting_outcome": outcomes.get(outcome or "", held),
                "hs_attendee_owner_ids": ";".join(colleagues) or None,
            }
        elif kind == "emails":
            copied = [int(one["contact"]) for one in change.get("cc", ()) if "contact" in one]
            properties |= self.mail(change, subject)
            people += [one for one in copied if one not in people]
            sender = change.get("from") or {}
            if "contact" in sender and int(sender["contact"]) not in people:
                people.append(int(sender["contact"]))
        else:
            properties |= {"hs_communication_channel_type": "LINKEDIN_MESSAGE", "hs_communication_body": subject}
            properties["hs_communication_logged_from"] = "CRM"
        self.store(kind, row, properties, at)
        for deal in change.get("deals", ()):
            self.crm.links.add(kind, row.id, "deals", self.crm.tables["deals"].rows[int(deal)].id)
        for contact in people:
            self.crm.links.add(kind, row.id, "contacts", self.crm.tables["contacts"].rows[contact].id)
        return {"id": row.id, "type": kind}

    def mail(self, change: Fields, subject: str) -> Fields:
        sender = self.address(change.get("from") or {"colleague": self.crm.fixed["owners"][0]["id"]})
        to = [self.address(one) for one in change.get("participants", ())]
        copied = [self.address(one) for one in change.get("cc", ())]
        headers = {"from": party(sender), "to": [party(a) for a in to], "cc": [party(a) for a in copied], "bcc": []}
        incoming = "contact" in (change.get("from") or {})
        return {
            "hs_email_direction": "INCOMING_EMAIL" if incoming else "EMAIL",
            "hs_email_status": {"bounced": "BOUNCED"}.get(change.get("outcome", ""), None if incoming else "SENT"),
            "hs_email_subject": subject,
            "hs_email_from_email": sender,
            "hs_email_to_email": ";".join(to) or None,
            "hs_email_cc_email": ";".join(copied) or None,
            "hs_email_headers": json.dumps(headers),
        }

    def address(self, one: Fields) -> str:
        if "contact" in one:
            return str(self.crm.tables["contacts"].rows[int(one["contact"])].read()["email"])
        if "colleague" in one:
            return str(next(o["email"] for o in self.crm.fixed["owners"] if o["id"] == str(one["colleague"])))
        return str(one["email"])

    def find(self, id: int) -> tuple[str, Row]:
        for kind in ACTIVITIES.values():
            if id in self.crm.tables[kind].rows:
                return kind, self.crm.tables[kind].rows[id]
        raise KeyError(id)

    def change_activity(self, id: int, change: Fields, at: int) -> None:
        kind, row = self.find(id)
        self.check(kind, change)
        self.store(kind, row, row.read() | change, at)

    def delete_activity(self, id: int, at: int) -> None:
        kind, row = self.find(id)
        row.archived = True
        self.store(kind, row, row.read(), at)


def plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def midday(day: str | None) -> str | None:
    """A close date as HubSpot keeps it: a moment of that day in the portal's zone."""
    if day is None:
        return None
    return iso_ms(int(datetime.combine(date.fromisoformat(day), time(12), ZONE).timestamp()) * 1000)
