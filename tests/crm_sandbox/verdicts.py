"""The nine rules of the product in plain Python over the CRMs' own JSON (`/control/{crm}/raw`), with default limits.

Written apart from the product: it tells whether the invented data is of use, not whether the product is right.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from crm_sandbox import names
from crm_sandbox.hubspot_data import CONNECTED, LIVE_MESSAGE
from crm_sandbox.pipedrive_data import ROLE_FIELD, ROLE_OPTIONS, TITLE_FIELD

ZONE = ZoneInfo("Europe/Paris")
LEVEL = {
    title: level for level, langs in names.TITLES.items() for all in langs.values() for one in all for title in one
}
ROLES = frozenset({"Decision maker", "Champion"})


@dataclass
class Deal:
    id: str
    created: date
    stage_since: date
    close: date | None
    amount: float
    held: list[tuple[datetime, frozenset[str]]] = field(default_factory=list)  # when, who was engaged
    planned: list[date] = field(default_factory=list)  # ends of meetings and scheduled calls, held ones too
    roles: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # role to contacts of the deal
    level: dict[str, str] = field(default_factory=dict)


def margins(deal: Deal, today: date) -> dict[str, int | None]:
    """By rule: for how many days the alert has been firing (0: since today), negative when it is still to come, None
    when it cannot come by itself. A rule that cannot be evaluated is left out."""
    held = sorted(deal.held, key=lambda one: one[0], reverse=True)
    days = lambda since: (today - since).days  # noqa: E731
    last = max([deal.created, *(local(at) for at, _ in held[:1])])
    result: dict[str, int | None] = {"no_activity": days(last) - 10, "stuck_in_stage": days(deal.stage_since) - 12}
    result["deal_too_old"] = days(deal.created) - 50
    result["amount_empty"] = 0 if not deal.amount else None
    result["no_meeting"] = days(max(deal.planned, default=deal.created - timedelta(1)) + timedelta(1))
    if deal.close:
        result["close_date_passed"] = days(deal.close) - 1
    engaged = frozenset().union(*(who for _, who in held))
    levels = {deal.level.get(one, "-") for one in engaged}
    if levels & set("cvd"):
        result["power_map"] = None
    elif deal.close and (levels != {"-"} or (deal.close - today).days > 10):
        result["power_map"] = days(deal.close) + 10
    streak: list[date] = []
    single: frozenset[str] = frozenset()
    for at, who in held:
        if who and (len(who) > 1 or who != (single or who)):
            break
        if who:
            single = who
            streak.append(local(at))
    result["single_contact"] = days(max(streak[-1] + timedelta(10), streak[-2])) if len(streak) > 1 else None
    for role in ROLES & deal.roles.keys():
        met = [local(at) for at, who in held if who & deal.roles[role]]
        result["key_role"] = max(result.get("key_role") or -999, days(max([deal.created, *met[:1]])) - 12)
    return result


def firing(deal: Deal, today: date) -> set[str]:
    return {rule for rule, since in margins(deal, today).items() if since is not None and since >= 0}


def local(at: datetime) -> date:
    return at.astimezone(ZONE).date()


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def pipedrive(raw, now: datetime) -> list[Deal]:
    rows = raw["tables"]
    persons = {row["id"]: row["fields"] for row in rows["persons"]}
    labels = {id: label for label, id in ROLE_OPTIONS.items()}
    deals = {}
    for row in rows["deals"]:
        one = row["fields"]
        if one["status"] != "open" or row["deleted"] or row["archived"]:
            continue
        deal = Deal(
            id=str(one["id"]),
            created=local(moment(one["add_time"])),
            stage_since=local(moment(one["stage_change_time"] or one["add_time"])),
            close=date.fromisoformat(one["expected_close_date"]) if one["expected_close_date"] else None,
            amount=one["value"],
        )
        mails = [row["optional"].get(f"last_{way}_mail_time") for way in ("incoming", "outgoing")]
        deal.held += [(moment(max(filter(None, mails))), frozenset())] if any(mails) else []
        if one["person_id"]:
            role = labels.get(persons[one["person_id"]]["custom_fields"][ROLE_FIELD])
            deal.roles[role].add(str(one["person_id"]))
        deals[one["id"]] = deal
    for row in rows["activities"]:
        one, attendees = row["fields"], row["optional"]["attendees"]
        deal = deals.get(one["deal_id"])
        if row["deleted"] or deal is None or one["type"] not in ("call", "meeting", "lunch"):
            continue
        declined = {a["person_id"] for a in attendees if a["status"] == "declined"}
        people = [p["person_id"] for p in one["participants"]]
        engaged = frozenset(str(id) for id in people if id not in declined)
        others = [a for a in attendees if not a["is_organizer"]]
        internal = bool(others) and all(a["user_id"] for a in others)
        for id in people:
            deal.level[str(id)] = LEVEL[persons[id]["custom_fields"][TITLE_FIELD] or ""]
        if one["due_time"] is None:
            ends = datetime.combine(date.fromisoformat(one["due_date"]), datetime.min.time(), ZONE)
        else:
            hours, minutes, _ = map(int, one["duration"].split(":"))
            ends = moment(f"{one['due_date']}T{one['due_time']}Z") + timedelta(hours=hours, minutes=minutes)
        if internal:
            continue
        if one["done"]:
            deal.held.append((min(ends, moment(one["marked_as_done_time"])), engaged))
        if others and not people:
            continue
        if not people or engaged:
            deal.planned.append(local(ends))
    return list(deals.values())


def hubspot(raw, now: datetime) -> list[Deal]:
    rows = raw["tables"]
    contacts = {row["id"]: row["fields"] for row in rows["contacts"]}
    by_email = {one["email"]: str(id) for id, one in contacts.items()}
    links = defaultdict(list)
    for pair in raw["links"]:
        for a, b, types in pair["pairs"]:
            links[pair["from"], pair["to"], a].append((b, types))
    deals = {}
    for row in rows["deals"]:
        one = row["fields"]
        if one["hs_is_closed"] == "true" or row["archived"]:
            continue
        deal = Deal(
            id=str(row["id"]),
            created=local(moment(one["createdate"])),
            stage_since=local(moment(one["hs_v2_date_entered_current_stage"] or one["createdate"])),
            close=local(moment(one["closedate"])) if one["closedate"] else None,
            amount=float(one["amount"] or 0),
        )
        for contact, types in links["deals", "contacts", row["id"]]:
            held = {label["label"] for label in types or [] if label["label"]}
            held |= {
                value.replace("_", " ").capitalize() for value in (contacts[contact]["hs_buying_role"] or "").split(";")
            }
            for role in held:
                deal.roles[role].add(str(contact))
        deals[row["id"]] = deal
    for kind in ("calls", "emails", "meetings", "communications"):
        for row in rows[kind]:
            one, (deal_id, _) = row["fields"], links[kind, "deals", row["id"]][0]
            deal = deals.get(deal_id)
            if deal is None or row["archived"]:
                continue
            people = frozenset(str(id) for id, _ in links[kind, "contacts", row["id"]])
            for id in people:
                deal.level[id] = LEVEL[contacts[int(id)]["jobtitle"] or ""]
            at = moment(one["hs_timestamp"])
            if kind == "calls":
                disposition = one["hs_call_disposition"]
                answered = disposition in (CONNECTED, LIVE_MESSAGE) or (
                    disposition is None and one["hs_call_status"] not in ("NO_ANSWER", "BUSY", "FAILED")
                )
                if at <= now and answered:
                    deal.held.append((at, people))
                if at > now or answered:
                    deal.planned.append(local(at))
            elif kind == "meetings":
                ends, outcome = moment(one["hs_meeting_end_time"]), one["hs_meeting_outcome"]
                if one["hs_attendee_owner_ids"] and not people:
                    continue
                if ends <= now and outcome in (None, "SCHEDULED", "COMPLETED"):
                    deal.held.append((ends, people))
                if outcome not in ("CANCELED", "RESCHEDULED"):
                    deal.planned.append(local(ends))
            elif kind == "communications":
                deal.held.append((at, people))
            elif one["hs_email_status"] != "BOUNCED":
                to = [one["hs_email_from_email"], *(one["hs_email_to_email"] or "").split(";")]
                engaged = frozenset(by_email[address] for address in to if address in by_email)
                deal.held.append((at, engaged if one["hs_email_from_email"] else people))
    return list(deals.values())


def today(now: datetime) -> date:
    return local(now.astimezone(UTC))
