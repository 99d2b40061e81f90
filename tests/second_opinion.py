"""A second opinion on the CRMs' own JSON: every answer is read over HTTP as the CRM gives it.

    python -m tests.second_opinion .vigie/demo.json

It makes plain facts of the JSON; `tests.evaluator` judges them and shares no code with the product but `level_of` (job
titles). Default settings, calendar days.
"""

import json
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import requests

from deals.seniority import Level
from tests.evaluator import Activity, Days, Deal, Party, People, judge, plain_role

DEFAULTS: dict[str, dict[str, Any]] = {
    "no_activity": {"enabled": True, "days": 10},
    "no_meeting": {"enabled": True},
    "single_contact": {"enabled": True, "days": 10, "minimum": 2},
    "key_role": {"enabled": True, "roles": {}},
    "power_map": {"enabled": True, "level": Level.DIRECTOR, "days": 10},
    "stuck_in_stage": {"enabled": True, "days": 12, "stages": {}},
    "close_date_passed": {"enabled": True},
    "amount_empty": {"enabled": True, "zero": True},
    "deal_too_old": {"enabled": True, "days": 50},
}
# HubSpot's own call results: no answer, voicemail, busy, wrong number · connected, live message
UNANSWERED = {"73a0d17f-1163-4015-bdd5-ec830791da20", "b2cf5968-551e-4856-9783-52b3da59a7d0"}
UNANSWERED |= {"9d9162e7-6cf3-4944-bf63-4dff82258764", "17b47fee-58de-441e-a44c-c6300d46f273"}
ANSWERED = {"f240bbac-87c9-4f6e-bf70-924b57d47db7", "a4c4c377-d246-4b32-a13b-75a56a4cd0ff"}
UNANSWERED_STATUS = {"NO_ANSWER", "BUSY", "FAILED", "MISSED", "CANCELED"}


def moment(text: str | None) -> datetime | None:
    if not text:
        return None
    value = datetime.fromisoformat(text)
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def alerts(deal: Deal, people: People, now: datetime, zone: ZoneInfo, roles: Mapping[str, int]) -> dict[str, date]:
    """The alerts of one open deal, each with the date since when it holds: "kind" or "key_role:role"."""
    rules = {**DEFAULTS, "key_role": {"enabled": True, "roles": roles}}
    verdicts = judge(deal, people, rules, now, zone, Days(now.astimezone(zone).date()), roles)
    labels = {plain_role(role): role for role in roles}
    return {
        f"{kind}:{labels[subject]}" if subject else kind: verdict.on
        for (kind, subject), verdict in verdicts.items()
        if verdict.outcome == "fires" and verdict.on
    }


# ---- Pipedrive


# By the key of the type, where nobody has said otherwise: those that every account has.
TYPES = {"call": "call", "meeting": "meeting", "lunch": "meeting"}


def pipedrive(
    url: str,
    token: str,
    zone: ZoneInfo,
    role_field: str | None = None,
    title_field: str | None = None,
    kinds: Mapping[str, str] = TYPES,
    domains: Collection[str] | None = None,
) -> tuple[list[Deal], People]:
    """Open deals and people. A done activity took place; attendees and persons are its recorded participants.

    `domains`: the organisation's own, where an admin has said them.
    """
    get = requests.Session()
    get.headers["x-api-token"] = token

    def rows(path: str, **query: Any) -> Iterator[dict[str, Any]]:
        query["limit"] = 500
        while True:
            answer = get.get(f"{url}{path}", params=query, timeout=30)
            answer.raise_for_status()
            yield from answer.json()["data"] or []
            query["cursor"] = (answer.json().get("additional_data") or {}).get("next_cursor")
            if not query["cursor"]:
                return

    def listed(path: str) -> list[dict[str, Any]]:
        """The first 500 of a list of v1; no deal has more."""
        answer = get.get(f"{url}{path}", params={"limit": 500}, timeout=30)
        answer.raise_for_status()
        assert not answer.json()["additional_data"]["pagination"]["more_items_in_collection"]
        return list(answer.json()["data"] or [])

    fields = list(rows("/api/v2/personFields"))

    def named(name: str) -> str | None:
        """The account's own field of that name, before a built-in one that is only there with Contact Sync."""
        found = [f for f in fields if f["field_name"] == name]
        return max(found, key=lambda f: f["is_custom_field"])["field_code"] if found else None

    def held(person: dict[str, Any], key: str | None) -> Any:
        return person.get(key, person["custom_fields"].get(key)) if key else None

    role_key, title_key = role_field or named("Buying role"), title_field or named("Job title")
    labels = {o["id"]: o["label"] for f in fields if f["field_code"] == role_key for o in f["options"] or []}
    people = People((user["email"] for user in rows("/api/v1/users")), domains)
    for person in rows("/api/v2/persons"):
        chosen = held(person, role_key)  # an enum is one id, a set a list of ids, a text field a text
        options = [labels.get(one, one) for one in (chosen if isinstance(chosen, list) else [chosen]) if one]
        addresses = [email["value"] for email in person["emails"]]
        people.add(str(person["id"]), addresses, held(person, title_key), map(str, options))

    deals = {}
    told = "last_incoming_mail_time,last_outgoing_mail_time,participants_count,email_messages_count"
    for row in rows("/api/v2/deals", include_fields=told):
        created, close = moment(row["add_time"]), row["expected_close_date"]
        if row["status"] != "open" or row["is_deleted"] or row["is_archived"] or not created:
            continue
        deal = Deal(
            id=str(row["id"]),
            amount=None if row["value"] is None else Decimal(str(row["value"])),
            currency=row["currency"],
            created=created,
            close_date=date.fromisoformat(close) if close else None,
            stage_entry=moment(row["stage_change_time"]) or created,
        )
        its = f"/api/v1/deals/{row['id']}"
        taking_part = {str(row["person_id"])} if row["person_id"] else set()
        if row["participants_count"]:
            taking_part |= {str(one["person_id"]["value"]) for one in listed(f"{its}/participants")}
        deal.roles = people.roles_on_deal({person: set() for person in sorted(taking_part)})
        messages = [one["data"] for one in listed(f"{its}/mailMessages")] if row["email_messages_count"] else []
        deal.activities += [pipedrive_mail(message, people) for message in messages]
        readable = max((a.when for a in deal.activities if a.took_place), default=None)
        mails = [at for name in ("incoming", "outgoing") if (at := moment(row.get(f"last_{name}_mail_time")))]
        if mails and (readable is None or max(mails) > readable):  # a mail that may not be read engages nobody
            deal.activities.append(Activity("email", max(mails), True, False, []))
        for change in rows(f"{its}/changelog"):  # newest first
            was, now, at = change["old_value"], change["new_value"], moment(change["time"])
            if change["field_key"] == "status" and was != "open" and now == "open":
                deal.reopened = deal.reopened or at
            if change["field_key"] == "value" and not deal.amount and float(was or 0) and not float(now or 0):
                deal.emptied = deal.emptied or at
        deals[row["id"]] = deal

    for row in rows("/api/v2/activities", include_fields="attendees"):
        kind = kinds.get(row["type"])
        if not kind or row["is_deleted"] or row["deal_id"] not in deals or not row["due_date"]:
            continue
        done_at = moment(row["marked_as_done_time"]) if row["done"] else None
        if row["due_time"]:
            hours, minutes, *_ = map(int, (row["duration"] or "0:0").split(":"))
            when = datetime.fromisoformat(f"{row['due_date']}T{row['due_time']}+00:00")
            when += timedelta(hours=hours, minutes=minutes)
            when = min(when, done_at) if done_at else when
        else:  # all day: a day of the calendar, or the day it was marked done if earlier
            due = date.fromisoformat(row["due_date"])
            due = min(due, done_at.astimezone(zone).date()) if done_at else due
            when = datetime.combine(due, time(), zone)
        parties = []
        for one in row.get("attendees") or []:
            more = {"declined": one["status"] == "declined", "organiser": one["is_organizer"]}
            if one["user_id"]:
                parties.append(Party(f"user {one['user_id']}", colleague=True, **more))
            elif one["person_id"]:
                parties.append(people.contact(str(one["person_id"]), **more))
            elif one["email"]:
                parties.append(people.address(one["email"], **more))
        invited = {party.person for party in parties if not party.organiser}
        persons = [one["person_id"] for one in row["participants"] or []]
        persons += [row["person_id"]] if row["person_id"] and row["person_id"] not in persons else []
        parties += [p for p in (people.contact(str(id)) for id in persons) if p.person not in invited]
        if all(party.organiser and (party.colleague or kind == "meeting") for party in parties):
            parties = []
        deals[row["deal_id"]].activities.append(Activity(kind, when, row["done"], kind != "message", parties))
    return list(deals.values()), people


def pipedrive_mail(message: dict[str, Any], people: People) -> Activity:
    """A message on a deal: sender and recipients are engaged, copies are not. A draft was never sent."""
    parties = []
    for name in ("from", "to", "cc", "bcc"):
        for one in message[name]:
            linked, address = one["linked_person_id"], one["email_address"]
            more = {"engages": name in ("from", "to")}
            party = people.contact(str(linked), **more) if linked else people.address(address, **more)
            parties.append(replace(party, colleague=party.colleague or people.is_colleague(address)))
    if len(parties) == 1 and message["from"] and parties[0].colleague:
        parties = []  # only its sender is recorded: counts, and engages nobody
    when, sent = moment(message["message_time"]), not (message["draft_flag"] or message["deleted_flag"])
    assert when
    return Activity("email", when, sent, False, parties)


# ---- HubSpot


def hubspot(url: str, token: str) -> tuple[list[Deal], People]:
    """Open deals and people. Activities reach deals and people through associations only."""
    http = requests.Session()
    http.headers["authorization"] = f"Bearer {token}"

    def get(path: str, **query: Any) -> dict[str, Any]:
        answer = http.get(f"{url}{path}", params=query, timeout=30)
        answer.raise_for_status()
        return dict(answer.json())

    def rows(path: str, **query: Any) -> Iterator[dict[str, Any]]:
        while True:
            page = get(path, **query)
            yield from page["results"]
            query["after"] = page.get("paging", {}).get("next", {}).get("after")
            if not query["after"]:
                return

    def objects(kind: str, properties: str, **query: Any) -> list[dict[str, Any]]:
        return list(rows(f"/crm/objects/2026-09/{kind}", limit=50, properties=properties, **query))

    def links(kind: str, to: str, ids: list[str]) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for start in range(0, len(ids), 100):
            body = {"inputs": [{"id": id} for id in ids[start : start + 100]]}
            answer = http.post(f"{url}/crm/associations/2026-09/{kind}/{to}/batch/read", json=body, timeout=30)
            answer.raise_for_status()
            found |= {str(one["from"]["id"]): one["to"] for one in answer.json()["results"]}
        return found

    owners = [o for archived in ("false", "true") for o in rows("/crm/owners/2026-09", limit=100, archived=archived)]
    people = People(owner["email"] for owner in owners)
    for row in objects("contacts", "email,hs_additional_emails,jobtitle,hs_buying_role"):
        p = row["properties"]
        addresses = [p["email"], *(p["hs_additional_emails"] or "").split(";")]
        roles = [role for role in (p["hs_buying_role"] or "").split(";") if role]
        people.add(row["id"], addresses, p["jobtitle"], roles)

    portal = ZoneInfo(get("/account-info/2026-09/details")["timeZone"])
    stages = [s for pipeline in rows("/crm/pipelines/2026-09/deals") for s in pipeline["stages"]]
    closed_stages = {s["id"] for s in stages if s["metadata"]["isClosed"] == "true"}
    names = "amount,deal_currency_code,closedate,createdate,dealstage,hs_is_closed"
    names += ",hs_v2_date_entered_current_stage"
    deals = {}
    for row in objects("deals", names, propertiesWithHistory="dealstage,amount"):
        p, histories = row["properties"], row.get("propertiesWithHistory") or {}
        history, amounts = histories.get("dealstage") or [], histories.get("amount") or []
        if p["hs_is_closed"] == "true":
            continue
        closes, created = moment(p["closedate"]), moment(p["createdate"]) or moment(row["createdAt"])
        assert created
        reopenings = [
            moment(new["timestamp"])
            for new, old in pairwise(history)  # newest first
            if old["value"] in closed_stages and new["value"] not in closed_stages
        ]
        entered = moment(p["hs_v2_date_entered_current_stage"]) or moment(history[0]["timestamp"] if history else None)
        deals[row["id"]] = Deal(
            id=row["id"],
            amount=Decimal(p["amount"]) if p["amount"] else None,
            currency=p["deal_currency_code"] or "",
            created=created,
            close_date=closes.astimezone(portal).date() if closes else None,
            stage_entry=entered or created,
            reopened=reopenings[0] if reopenings else None,
        )
        emptied = [moment(new["timestamp"]) for new, old in pairwise(amounts) if empty(new) and not empty(old)]
        deals[row["id"]].emptied = emptied[0] if emptied and not deals[row["id"]].amount else None
    for id, contacts in links("deals", "contacts", list(deals)).items():
        labels = {str(to["toObjectId"]): {t["label"] for t in to["associationTypes"] if t["label"]} for to in contacts}
        deals[id].roles = people.roles_on_deal(labels)

    times = {
        "calls": "hs_timestamp,hs_call_disposition,hs_call_status",
        "emails": "hs_timestamp,hs_email_status,hs_email_direction,"
        "hs_email_from_email,hs_email_to_email,hs_email_cc_email,hs_email_bcc_email",
        "meetings": "hs_timestamp,hs_meeting_start_time,hs_meeting_end_time,hs_meeting_outcome,"
        "hs_attendee_owner_ids,hubspot_owner_id",
        "communications": "hs_timestamp",
    }
    for kind, properties in times.items():
        found = objects(kind, properties)
        ids = [row["id"] for row in found]
        to_deals, to_contacts = links(kind, "deals", ids), links(kind, "contacts", ids)
        for row in found:
            contacts = [people.contact(str(to["toObjectId"])) for to in to_contacts.get(row["id"], [])]
            activity = hubspot_activity(kind, row["properties"], contacts, people)
            for to in to_deals.get(row["id"], []):
                if activity and str(to["toObjectId"]) in deals:
                    deals[str(to["toObjectId"])].activities.append(activity)
    return list(deals.values()), people


def empty(version: dict[str, Any]) -> bool:
    return not version["value"] or not Decimal(version["value"])


def hubspot_activity(kind: str, p: dict[str, Any], contacts: list[Party], people: People) -> Activity | None:
    when = moment(p["hs_timestamp"])
    if kind == "meetings":
        when = moment(p["hs_meeting_end_time"]) or moment(p["hs_meeting_start_time"]) or when
        outcome = p["hs_meeting_outcome"]
        attendees = [one for one in (p["hs_attendee_owner_ids"] or "").split(";") if one]
        parties = contacts + [Party(f"owner {id}", True, organiser=id == p["hubspot_owner_id"]) for id in attendees]
        if all(party.organiser for party in parties):
            parties = []
        off = outcome in ("CANCELED", "RESCHEDULED")
        return when and Activity("meeting", when, not off and outcome != "NO_SHOW", not off, parties)
    if kind == "calls":
        result = p["hs_call_disposition"]  # wins over the status
        answered = result not in UNANSWERED and (result in ANSWERED or p["hs_call_status"] not in UNANSWERED_STATUS)
        return when and Activity("call", when, answered, answered, contacts)
    if kind == "communications":
        return when and Activity("message", when, True, False, contacts)
    sent = p["hs_email_status"] in (None, "", "SENT") and p["hs_email_direction"] != "DRAFT_EMAIL"
    named = {name: (p[f"hs_email_{name}_email"] or "").split(";") for name in ("from", "to", "cc", "bcc")}
    listed = [(name, address) for name, addresses in named.items() for address in addresses if address.strip()]
    parties = [people.address(address, engages=name in ("from", "to")) for name, address in listed]
    if [name for name, _ in listed] == ["from"] and parties[0].colleague:
        parties = []  # only its sender is recorded: counts, and engages nobody
    elif not listed:
        parties = contacts
    return when and Activity("email", when, sent, False, parties)


# ---- The script


def report(name: str, deals: list[Deal], found: Mapping[str, Mapping[str, date]]) -> str:
    def amounts(chosen: Iterable[Deal]) -> str:
        total: Counter[str] = Counter()
        for deal in chosen:
            total[deal.currency] += deal.amount or 0
        return "  ".join(f"{currency} {amount:,.2f}" for currency, amount in sorted(total.items()))

    at_risk = [deal for deal in deals if found[deal.id]]
    lines = [
        name,
        f"  open deals {len(deals):>6}  {amounts(deals)}",
        f"  at risk    {len(at_risk):>6}  {amounts(at_risk)}",
    ]
    for kind in sorted({kind for kinds in found.values() for kind in kinds}):
        having = [deal for deal in deals if kind in found[deal.id]]
        lines.append(f"  {kind:<32}{len(having):>5}  {amounts(having)}")
    return "\n".join(lines)


def main(path: str) -> None:
    """`organisations[]` of the file may carry "time_zone" and "key_roles" ({role: days}); the default is none."""
    demo, now = json.loads(Path(path).read_text()), datetime.now(UTC)
    sandbox = demo["sandbox"]
    for organisation in demo["organisations"]:
        crm, zone = organisation["provider"], ZoneInfo(organisation.get("time_zone", "Europe/Paris"))
        address, token = f"{sandbox['url']}/{crm}", sandbox[f"{crm}_token"]
        deals, people = pipedrive(address, token, zone) if crm == "pipedrive" else hubspot(address, token)
        found = {d.id: alerts(d, people, now, zone, organisation.get("key_roles", {})) for d in deals}
        print(report(f"{organisation['name']} ({crm}, {zone.key})", deals, found))


if __name__ == "__main__":
    main(sys.argv[1])
