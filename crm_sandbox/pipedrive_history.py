"""What Pipedrive tells of single deals (v1): changelog, participants, mail messages.

A changelog is invented from the deal as it is, always the same, until something of the deal changes; from then on it
is kept, as a row of the table "changelog". One mail in six is another user's private one: counted, never shown.
"""

import json
from itertools import pairwise
from typing import Any

from crm_sandbox.clock import DAY, iso, seconds
from crm_sandbox.messages import Answer, Refused, Request, answer
from crm_sandbox.pipedrive_data import PIPELINE_IDS, STAGE_IDS, USER_IDS, v1_time
from crm_sandbox.pipedrive_mail import COMPANY
from crm_sandbox.store import Crm, Fields, Row

COST = {"participants": 10, "mailMessages": 20, "changelog": 20}
TRACKED = ("stage_id", "value", "expected_close_date", "status", "title")
BROWSER = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Safari/537.36"


def handle(crm: Crm, request: Request, id: str, what: str) -> Answer:
    row = crm.tables["deals"].rows.get(int(id)) if id.isdigit() else None
    if row is None or row.deleted:
        raise Refused(answer(404, {"success": False, "error": "Deal not found", "errorCode": 404}))
    if what == "changelog":
        return by_cursor(request, changes(crm, row))
    if what == "participants":
        return participants(crm, request, row)
    mails = crm.tables["mailMessages"].rows
    linked = crm.links.of("deals", row.id, "mailMessages")
    shown = [mails[id].read() for id in linked if id in mails and not is_private(id)]
    found = [{"object": "mailMessage", "timestamp": v1_time(row.updated), "data": one} for one in shown]
    return by_start(request, sorted(found, key=lambda one: one["data"]["message_time"], reverse=True), {})


def is_private(message: int) -> bool:
    return message % 6 == 3


def size(request: Request) -> int:
    limit = request.query.get("limit", "100")
    if not limit.isdigit() or not 1 <= int(limit) <= 500:
        raise Refused(answer(400, {"success": False, "error": "limit: 1 to 500", "errorCode": 400}))
    return int(limit)


def by_start(request: Request, found: list[Fields], related: Fields) -> Answer:
    start, limit = int(request.query.get("start", "0")), size(request)
    more = len(found) > start + limit
    paging: Fields = {"start": start, "limit": limit, "more_items_in_collection": more}
    if more:
        paging["next_start"] = start + limit
    return answer(
        200,
        {"success": True, "data": found[start : start + limit], "additional_data": {"pagination": paging}} | related,
    )


def by_cursor(request: Request, found: list[Fields]) -> Answer:
    start, limit = int(request.query.get("cursor") or 0), size(request)
    following = str(start + limit) if len(found) > start + limit else None
    page = {"success": True, "data": found[start : start + limit], "additional_data": {"next_cursor": following}}
    return answer(200, page)


# ---- Participants


def taking_part(crm: Crm, deal: int) -> list[Row]:
    rows = crm.tables["persons"].rows
    found = [rows[id] for id in crm.links.of("deals", deal, "persons") if id in rows]
    return [row for row in found if not row.deleted]


def participants(crm: Crm, request: Request, row: Row) -> Answer:
    deal, users = row.read(), {user["id"]: user for user in crm.fixed["users"]}
    found = list[Fields]()
    people, companies = dict[str, Fields](), dict[str, Fields]()
    user = short_user(users[deal["creator_user_id"]])
    for one in taking_part(crm, row.id):
        person = one.read()
        owner = short_user(users[person["owner_id"]])
        company = crm.tables["organizations"].rows.get(person["org_id"] or 0)
        organization = short_organization(company.read()) if company else None
        if organization:
            companies[str(person["org_id"])] = {"id": person["org_id"], **organization}
        contact: Fields = {"active_flag": True, "name": person["name"], "email": v1_list(person["emails"])}
        contact["phone"] = v1_list(person["phones"])
        people[str(one.id)] = {**contact, "id": one.id, "owner_id": owner["id"]}
        found.append(
            {
                "id": row.id * 10_000 + one.id,
                "person_id": contact | {"value": one.id},
                "add_time": v1_time(max(seconds(deal["add_time"]), seconds(person["add_time"]))),
                "active_flag": True,
                "related_item_data": {"deal_id": row.id, "title": deal["title"]},
                "person": v1_person(person, owner, organization),
                "added_by_user_id": user | {"value": user["id"]},
                "related_item_type": "deal",
                "related_item_id": row.id,
            }
        )
    objects = {"user": {str(user["id"]): user}, "person": people, "organization": companies}
    return by_start(request, found, {"related_objects": objects})


def v1_list(values: list[Fields]) -> list[Fields]:
    return [{"label": one["label"], "value": one["value"], "primary": one["primary"]} for one in values]


def short_user(user: Fields) -> Fields:
    known = {key: user[key] for key in ("id", "name", "email", "active_flag")}
    return known | {"has_pic": 0, "pic_hash": None}


def short_organization(fields: Fields) -> Fields:
    known = {"name": fields["name"], "people_count": 1, "owner_id": fields["owner_id"], "address": None}
    return known | {"active_flag": True, "cc_email": None}


def v1_person(person: Fields, owner: Fields, organization: Fields | None) -> Fields:
    counts = dict.fromkeys(
        (
            *("open_deals_count", "related_open_deals_count", "closed_deals_count", "related_closed_deals_count"),
            *("participant_open_deals_count", "participant_closed_deals_count", "email_messages_count"),
            *("activities_count", "done_activities_count", "undone_activities_count", "files_count", "notes_count"),
            *("followers_count", "won_deals_count", "related_won_deals_count", "lost_deals_count"),
            "related_lost_deals_count",
        ),
        0,
    )
    nothing = ("next_activity_time", "last_incoming_mail_time", "last_outgoing_mail_time", "picture_id")
    last = ("next_activity_date", "next_activity_id", "last_activity_id", "last_activity_date")
    return {
        "id": person["id"],
        "company_id": COMPANY,
        "owner_id": owner | {"value": owner["id"]},
        "org_id": organization and organization | {"value": person["org_id"]},
        "name": person["name"],
        "first_name": person["first_name"],
        "last_name": person["last_name"],
        **counts,
        "active_flag": True,
        "phone": v1_list(person["phones"]),
        "email": v1_list(person["emails"]),
        "first_char": person["name"][:1].lower(),
        "update_time": v1_time(seconds(person["update_time"])),
        "add_time": v1_time(seconds(person["add_time"])),
        "visible_to": "3",
        "sync_needed": False,
        **dict.fromkeys(nothing + last),
        "label": (person["label_ids"] or [None])[0],
        "label_ids": person["label_ids"],
        "org_name": organization and organization["name"],
        "owner_name": owner["name"],
        "cc_email": "boreal@pipedrivemail.example",
    }


# ---- Changelog


def changes(crm: Crm, row: Row) -> list[Fields]:
    """Newest first."""
    kept = crm.tables["changelog"].rows.get(row.id)
    return list(json.loads(kept.fields)["changes"]) if kept else invented(row.read())


def note(crm: Crm, row: Row, before: bytes, after: Fields, at: int) -> None:
    """The deal of `row` was as in `before` and becomes `after`."""
    old = json.loads(before)
    made = [
        change(name, old[name], after[name], at, after)
        for name in TRACKED
        if (old[name] or None) != (after[name] or None)
    ]
    if made:
        crm.tables["changelog"].add(Row(row.id, at, {"changes": [*made, *changes(crm, row)]}))


def change(name: str, old: Any, new: Any, at: int, deal: Fields) -> Fields:
    return {
        "field_key": name,
        "old_value": None if old is None else str(old),
        "new_value": None if new is None else str(new),
        "actor_user_id": deal["owner_id"] or USER_IDS[0],
        "time": v1_time(at),
        "change_source": "app",
        "change_source_user_agent": BROWSER,
        "is_bulk_update_flag": False,
    }


def invented(deal: Fields) -> list[Fields]:
    """Stages one after the other, some left and entered again; amounts and close dates that moved; deals that were lost
    and opened again. It ends in what the deal is now."""
    id, created = deal["id"], seconds(deal["add_time"])
    closed = deal["close_time"] and seconds(deal["close_time"])
    entered = deal["stage_change_time"] and seconds(deal["stage_change_time"])
    span, found = (entered or closed or created) - created, list[Fields]()

    def add(name: str, old: Any, new: Any, at: float) -> None:
        found.append(change(name, old, new, int(at), deal))

    if entered and deal["stage_id"]:
        stages = STAGE_IDS[PIPELINE_IDS.index(deal["pipeline_id"])]
        path = list(stages[: stages.index(deal["stage_id"]) + 1])
        if id % 6 == 0 and len(path) > 1:
            path += [path[-2], path[-1]]
        if len(path) == 1:
            path.insert(0, stages[1])
        for n, (old, new) in enumerate(pairwise(path), start=1):
            add("stage_id", old, new, entered if n == len(path) - 1 else created + span * n / (len(path) - 1))
    if span > DAY:
        if deal["value"] and id % 3 == 0:
            add("value", deal["value"] * 4 // 5 // 100 * 100, deal["value"], created + span * 0.4)
        elif not deal["value"] and id % 2 == 0:
            add("value", 12_000, 0, created + span * 0.5)
        if deal["expected_close_date"] and id % 5 < 2:
            earlier = iso(seconds(deal["expected_close_date"]) - 21 * DAY)[:10]
            add("expected_close_date", earlier, deal["expected_close_date"], created + span * 0.6)
        if id % 7 == 0:
            add("title", "?", deal["title"], created + span * 0.1)
    if closed:
        add("status", "open", deal["status"], closed)
    elif span > 6 * DAY and id % 31 == 17:
        add("status", "open", "lost", created + span * 0.2)
        add("status", "lost", "open", created + span * 0.25)
    return sorted(found, key=lambda one: one["time"], reverse=True)
