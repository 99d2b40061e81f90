"""Puts an invented pipeline into the words of Pipedrive's REST API v2 (users and activity types: v1)."""

import hashlib
from typing import Any
from uuid import UUID

from crm_sandbox import names
from crm_sandbox.clock import DAY, Days, iso, local_date, utc_offset
from crm_sandbox.data import Act, Company, Deal, Person, Story, slug
from crm_sandbox.pipedrive_mail import FIRST_MESSAGE, Party, message
from crm_sandbox.store import Crm, Fields, Row

TABLES = ("deals", "persons", "organizations", "activities", "pipelines", "stages", "mailMessages", "changelog")
FIRST_DEAL, FIRST_PERSON, FIRST_ORG = 101, 1001, 501


def field_code(name: str) -> str:
    """The 40 characters under which this account keeps a custom field."""
    return hashlib.sha1(f"sandbox {name}".encode(), usedforsecurity=False).hexdigest()


ROLE_FIELD, TITLE_FIELD = field_code("Buying role"), field_code("Job title")
PRIORITY_FIELD, BUYER_FIELD = field_code("Priority"), field_code("Economic buyer")
ROLE_OPTIONS = {label: 31 + index for index, label in enumerate(names.ROLES)}
# Labels of persons: the account's own, and the two roles that some colleagues mark in this way.
LABEL_OPTIONS = {"Newsletter": 4, "Champion": 5, "Decision maker": 6}
PIPELINE_IDS = (1, 2)
STAGE_IDS = ((1, 2, 3, 4, 5, 6), (7, 8, 9, 10, 11))
USER_IDS = tuple(19_405_511 + 7 * index for index in range(len(names.COLLEAGUES)))
MAIL_TIMES = ("last_incoming_mail_time", "last_outgoing_mail_time")


def generate(seed: int, size: int, now: int) -> Crm:
    crm = Crm(TABLES)
    crm.fixed = fixed(now)
    opened = Days(now).midnight(-1200)
    for pipeline, (name, stages) in enumerate(names.PIPELINES):
        crm.tables["pipelines"].add(Row(PIPELINE_IDS[pipeline], opened, pipeline_fields(pipeline, name, opened)))
        for position, stage in enumerate(stages):
            fields = stage_fields(pipeline, position, stage, opened, len(stages))
            crm.tables["stages"].add(Row(fields["id"], opened, fields))
    story = Story("pipedrive", seed, size, now)
    activity_id, message_id = 2001, FIRST_MESSAGE
    for deal in story.deals():
        if deal.company and deal.company.number + FIRST_ORG not in crm.tables["organizations"].rows:
            fields = organization(deal.company)
            crm.tables["organizations"].add(Row(fields["id"], deal.company.created, fields))
        for person in deal.people:
            if person.number + FIRST_PERSON not in crm.tables["persons"].rows:
                crm.tables["persons"].add(Row(person.number + FIRST_PERSON, person.created, person_fields(person)))
            crm.links.add("deals", deal.number + FIRST_DEAL, "persons", person.number + FIRST_PERSON)
        activity_ids = []
        for act in sorted(deal.acts, key=lambda act: act.logged):
            if act.kind == "email":
                crm.tables["mailMessages"].add(mail(message_id, act, deal))
                crm.links.add("deals", deal.number + FIRST_DEAL, "mailMessages", message_id)
                message_id += 1
                continue
            crm.tables["activities"].add(activity(activity_id, act, deal, story.days))
            activity_ids.append(activity_id)
            crm.links.add("deals", deal.number + FIRST_DEAL, "activities", activity_id)
            activity_id += 1
        crm.tables["deals"].add(deal_row(deal, story.days, activity_ids))
    return crm


def deal_row(deal: Deal, days: Days, activity_ids: list[int]) -> Row:
    id = deal.number + FIRST_DEAL
    owner = USER_IDS[deal.owner] if deal.owner is not None else None
    updated = max([deal.created, deal.stage_since, deal.closed or 0, *(act.logged for act in deal.acts)])
    won = iso(deal.closed) if deal.closed and deal.status == "won" else None
    lost = iso(deal.closed) if deal.closed and deal.status == "lost" else None
    on = local_date(deal.closed) if deal.closed else None
    lead = lead_id(id) if id % 8 == 0 else None
    monthly = (deal.amount or 0) // 12 if id % 5 == 0 else None
    fields = {
        "id": id,
        "title": deal.title,
        "creator_user_id": owner or USER_IDS[0],
        "owner_id": owner,
        "value": deal.amount or 0,
        "person_id": deal.people[deal.primary].number + FIRST_PERSON if deal.people else None,
        "org_id": deal.company.number + FIRST_ORG if deal.company else None,
        "stage_id": None if deal.stage is None else STAGE_IDS[deal.pipeline][deal.stage],
        "pipeline_id": PIPELINE_IDS[deal.pipeline],
        "currency": deal.currency,
        "archive_time": iso(updated) if deal.archived else None,
        "add_time": iso(deal.created),
        "update_time": iso(updated),
        "stage_change_time": iso(deal.stage_since) if deal.stage_since > deal.created else None,
        "status": deal.status,
        "is_archived": deal.archived,
        "is_deleted": deal.deleted,
        "probability": 10 * (1 + id % 9) if id % 3 == 0 else None,
        "lost_reason": names.LOST[id % len(names.LOST)] if lost else None,
        "visible_to": 3,
        "close_time": won or lost,
        "won_time": won,
        "lost_time": lost,
        "local_won_date": on if won else None,
        "local_lost_date": on if lost else None,
        "local_close_date": on,
        "expected_close_date": None if deal.close is None else days.text(deal.close),
        "label_ids": [1 + id % 3] if id % 4 == 0 else [],
        "origin": "ManuallyCreated" if not lead else "LeadInbox",
        "origin_id": None,
        "channel": 52 if lead else None,
        "channel_id": "Salon Supply Chain" if lead else None,
        "source_lead_id": lead,
        "acv": 12 * monthly if monthly else None,
        "arr": 12 * monthly if monthly else None,
        "mrr": monthly,
        "custom_fields": {PRIORITY_FIELD: 1 + id % 3 if id % 2 else None, BUYER_FIELD: buyer(deal)},
    }
    row = Row(id, updated, fields, optional(deal, activity_ids), archived=deal.archived)
    row.deleted = deal.deleted
    return row


def buyer(deal: Deal) -> int | None:
    """Who signs, known on every third deal: whoever decides, if the account knows, else the last who joined."""
    if not deal.people or deal.number % 3:
        return None
    deciders = [person for person in deal.people if person.role in names.ROLES[:1]]
    return (deciders or deal.people)[-1].number + FIRST_PERSON


def person_labels(person: Person) -> list[int]:
    labels = [LABEL_OPTIONS["Newsletter"]] if person.number % 10 == 0 else []
    return labels + ([LABEL_OPTIONS[person.role]] if person.role in LABEL_OPTIONS and person.number % 4 else [])


def optional(deal: Deal, activity_ids: list[int]) -> Fields:
    """What `include_fields` may ask of a deal."""
    mails = [act for act in deal.acts if act.kind == "email"]
    planned = [act for act in deal.acts if act.kind != "email" and not act.done]
    times = [max((act.at for act in mails if act.inbound is inbound), default=None) for inbound in (True, False)]
    return {
        "next_activity_id": activity_ids[-1] if planned else None,
        "last_activity_id": activity_ids[0] if activity_ids and len(planned) < len(activity_ids) else None,
        "first_won_time": iso(deal.closed) if deal.closed and deal.status == "won" else None,
        "products_count": 0,
        "files_count": 0,
        "notes_count": 0,
        "followers_count": 1,
        "email_messages_count": len(mails),
        "activities_count": len(activity_ids),
        "done_activities_count": len(activity_ids) - len(planned),
        "undone_activities_count": len(planned),
        "participants_count": len(deal.people),
        "last_incoming_mail_time": iso(times[0]) if times[0] else None,
        "last_outgoing_mail_time": iso(times[1]) if times[1] else None,
        "smart_bcc_email": f"boreal+deal{deal.number + FIRST_DEAL}@pipedrivemail.example",
    }


def activity(id: int, act: Act, deal: Deal, days: Days) -> Row:
    """A done call, meeting or lunch took place. What was missed or fell through stays undone, or is deleted when it
    lies ahead: Pipedrive has no outcome. An unanswered call has a type of its own, as teams do."""
    lunch = act.kind == "meeting" and act.flavour % 11 == 0 and act.done
    kind = {"attempt": "unanswered_call", "internal": "meeting", "organiser": "meeting"}.get(act.kind, act.kind)
    subject = {"organiser": "meeting"}.get(
        act.kind, act.outcome if act.outcome in ("no_show", "cancelled") else act.kind
    )
    subjects = names.SUBJECTS[deal.lang]["lunch" if lunch else subject]
    people = [*act.people, *(person for person in act.declined if person not in act.people)]
    owner = deal.owner or 0
    end = act.at + act.minutes * 60
    marked = min(days.now, end + (act.flavour % 40) * 600) if act.done else None
    updated = max(act.logged, marked or 0)
    met = kind == "meeting" or lunch
    online = met and act.flavour % 4 == 0
    gone = act.at > days.now and act.outcome == "cancelled"
    fields = {
        "id": id,
        "subject": subjects[act.flavour % len(subjects)],
        "type": "lunch" if lunch else kind,
        "owner_id": USER_IDS[owner],
        "creator_user_id": USER_IDS[owner],
        "is_deleted": gone,
        "add_time": iso(act.logged),
        "update_time": iso(updated),
        "deal_id": deal.number + FIRST_DEAL,
        "lead_id": lead_id(id) if id % 40 == 0 else None,
        "person_id": people[0].number + FIRST_PERSON if people else None,
        "org_id": deal.company.number + FIRST_ORG if deal.company else None,
        "project_id": 8 if id % 40 == 1 else None,
        "due_date": local_date(act.at) if act.all_day else iso(act.at)[:10],
        "due_time": None if act.all_day else iso(act.at)[11:19],
        "duration": None if act.all_day else f"{act.minutes // 60:02d}:{act.minutes % 60:02d}:00",
        "busy": met,
        "done": act.done,
        "marked_as_done_time": iso(marked) if marked else None,
        "location": address(deal.company) if met and deal.company and act.flavour % 5 == 0 else None,
        "participants": [
            {"person_id": person.number + FIRST_PERSON, "primary": index == 0} for index, person in enumerate(people)
        ],
        "conference_meeting_client": "google_meet" if online else None,
        "conference_meeting_url": "https://meet.example/abc-xyz" if online else None,
        "conference_meeting_id": "abc-xyz" if online else None,
        "public_description": "Ordre du jour en pièce jointe" if online else None,
        "priority": 263 if id % 20 == 0 else None,
        "note": "À rappeler" if id % 15 == 0 else None,
    }
    attendees: list[Fields] = []
    if met:
        attendees.append(colleague_attendee(owner, organiser=True))
        if act.kind == "internal":
            attendees.append(colleague_attendee((owner + 1) % 5, organiser=False))
        attendees += [person_attendee(person, person in act.declined) for person in people]
    row = Row(id, updated, fields, {"attendees": attendees})
    row.deleted = gone
    return row


def mail(id: int, act: Act, deal: Deal) -> Row:
    """From the first of the people to the owner, or from the owner to all of them. Some addresses are nobody's."""
    first, last, *_ = names.COLLEAGUES[deal.owner or 0]
    owner = Party(colleague_email(deal.owner or 0), f"{first} {last}")
    people, copied = map(parties, (act.people, act.copied))
    if act.flavour % 7 == 0:
        copied.append(Party(f"assistance{act.flavour % 50}@cabinet-durand.example", "Cabinet Durand"))
    if act.flavour % 23 == 0:
        people.append(Party(f"invite{act.flavour % 50}@ailleurs.example", ""))
    subjects = names.SUBJECTS[deal.lang]["email"]
    read = {"from": people[:1], "to": [owner, *people[1:]]} if act.inbound else {"from": [owner], "to": people}
    user = USER_IDS[deal.owner or 0]
    return message(id, act.at, act.logged, user, subjects[act.flavour % len(subjects)], {**read, "cc": copied})  # type: ignore[dict-item]


def parties(people: list[Person]) -> list[Party]:
    """The CRM has linked most addresses with their persons, not all."""
    numbers = [None if person.number % 9 == 4 else person.number + FIRST_PERSON for person in people]
    return [Party(p.email, f"{p.first} {p.last}", id) for p, id in zip(people, numbers, strict=True)]


def colleague_attendee(index: int, *, organiser: bool) -> Fields:
    return {
        "email": colleague_email(index),
        "name": " ".join(names.COLLEAGUES[index][:2]),
        "status": "accepted",
        "is_organizer": organiser,
        "person_id": None,
        "user_id": USER_IDS[index],
    }


def person_attendee(person: Person, declined: bool) -> Fields:
    return {
        "email": person.email,
        "name": f"{person.first} {person.last}",
        "status": "declined" if declined else "accepted" if person.number % 3 else "noreply",
        "is_organizer": False,
        "person_id": person.number + FIRST_PERSON,
        "user_id": None,
    }


def colleague_email(index: int) -> str:
    first, last, *_ = names.COLLEAGUES[index]
    return f"{first}.{last}@{names.OWN_DOMAIN}".lower()


def person_fields(person: Person) -> Fields:
    synced = person.number % 12 == 0
    # Contact Sync filled the native title of some; the account's own field holds it for all.
    return {
        "id": person.number + FIRST_PERSON,
        "name": f"{person.first} {person.last}",
        "first_name": person.first,
        "last_name": person.last,
        "owner_id": USER_IDS[person.number % 5],
        "org_id": person.company.number + FIRST_ORG if person.company else None,
        "add_time": iso(person.created),
        "update_time": iso(person.created),
        "emails": [{"value": person.email, "primary": True, "label": "work"}],
        "phones": [{"value": phone(person), "primary": True, "label": "work"}] if person.number % 3 else [],
        "is_deleted": False,
        "visible_to": 3,
        "label_ids": person_labels(person),
        "picture_id": person.number if synced else None,
        "custom_fields": {ROLE_FIELD: ROLE_OPTIONS.get(person.role), TITLE_FIELD: person.title or None},
        "notes": "Rencontré au salon" if synced else None,
        "im": [{"value": slug(person.last), "primary": True, "label": "skype"}] if synced else [],
        "birthday": f"19{60 + person.number % 39}-03-14" if synced else None,
        "job_title": (person.title or None) if person.number % 5 < 3 else None,
        "postal_address": address(person.company) if synced and person.company else None,
    }


def lead_id(number: int) -> str:
    return str(UUID(int=0x35B0D604_EB0D_42D0_BE11_EAC883205000 + number))


def phone(person: Person) -> str:
    # Ranges that the French and British regulators keep for fiction.
    if person.lang == "fr":
        return f"+33 1 99 00 {person.number // 100 % 100:02d} {person.number % 100:02d}"
    return f"+44 1632 960{person.number % 1000:03d}"


def organization(company: Company) -> Fields:
    return {
        "id": company.number + FIRST_ORG,
        "name": company.name,
        "owner_id": USER_IDS[company.number % 5],
        "org_id": company.number + FIRST_ORG,
        "add_time": iso(company.created),
        "update_time": iso(company.created),
        "address": address(company),
        "is_deleted": False,
        "visible_to": 3,
        "label_ids": [7] if company.number % 6 == 0 else [],
        "website": f"https://www.{company.domain}",
        "linkedin": f"https://linkedin.example/company/{company.number}" if company.number % 3 == 0 else None,
        "industry": 2 + company.number % 5 if company.number % 3 else None,
        "annual_revenue": 1_200_000 if company.number % 4 == 0 else None,
        "employee_count": (company.number * 37) % 900 + 8,
        "custom_fields": {},
    }


def address(company: Company) -> Fields:
    country = "France" if company.lang == "fr" else "United Kingdom"
    street = "rue des Tilleuls" if company.lang == "fr" else "Mill Lane"
    number = str(company.number % 120 + 1)
    exact = company.number % 2 == 0
    return {
        "value": f"{number} {street}, {company.city}, {country}",
        "country": country,
        "admin_area_level_1": "Région" if exact else None,
        "admin_area_level_2": "Agglomération" if exact else None,
        "locality": company.city,
        "sublocality": "Centre" if exact else None,
        "route": street,
        "street_number": number,
        "subpremise": "B" if exact else None,
        "postal_code": f"{10 + company.number % 80}000" if exact else None,
    }


def pipeline_fields(index: int, name: str, opened: int) -> Fields:
    return {
        "id": PIPELINE_IDS[index],
        "name": name,
        "order_nr": index + 1,
        "is_deleted": False,
        "is_deal_probability_enabled": True,
        "add_time": iso(opened),
        "update_time": iso(opened),
    }


def stage_fields(pipeline: int, position: int, name: str, opened: int, count: int) -> Fields:
    return {
        "id": STAGE_IDS[pipeline][position],
        "order_nr": position + 1,
        "name": name,
        "is_deleted": False,
        "deal_probability": round(100 * (position + 1) / (count + 1)),
        "pipeline_id": PIPELINE_IDS[pipeline],
        "is_deal_rot_enabled": position == 3,
        "days_to_rotten": 21 if position == 3 else None,
        "add_time": iso(opened),
        "update_time": iso(opened),
    }


def fixed(now: int) -> dict[str, Any]:
    """Lists of the account that nothing here changes: users, activity types, fields."""
    users = [user(index, now) for index in range(len(names.COLLEAGUES))]
    me = users[0] | {
        "company_id": 13_204_711,
        "company_name": names.OWN_NAME,
        "company_domain": "boreal-solutions",
        "company_country": "FR",
        "company_industry": "IT Services",
        "language": {"language_code": "fr", "country_code": "FR"},
    }
    types = ("call", "meeting", "task", "deadline", "email", "lunch", "unanswered_call", "message")
    return {
        "users": users,
        "me": me,
        "activityTypes": [activity_type(index, key) for index, key in enumerate(types)],
        "dealFields": [
            field("Title", "title", "varchar"),
            field("Value", "value", "monetary", subfields=MONEY),
            field("Organization", "org_id", "org"),
            field("Contact person", "person_id", "people"),
            field("Pipeline", "pipeline_id", "double"),
            field("Stage", "stage_id", "stage"),
            field("Status", "status", "status"),
            field("Owner", "owner_id", "user"),
            field("Expected close date", "expected_close_date", "date"),
            field("Deal created", "add_time", "date"),
            field("Last stage change", "stage_change_time", "date"),
            field("Priority", PRIORITY_FIELD, "enum", custom=True, options={"Low": 1, "Medium": 2, "High": 3}),
            field("Economic buyer", BUYER_FIELD, "people", custom=True),
            field("Last email received", "last_incoming_mail_time", "date", optional=True),
            field("Last email sent", "last_outgoing_mail_time", "date", optional=True),
        ],
        "personFields": [
            field("Name", "name", "varchar", person=True),
            field("Email", "email", "varchar", person=True),
            field("Phone", "phone", "phone", person=True),
            field("Organization", "org_id", "org", person=True),
            field("Labels", "label_ids", "set", person=True, options=LABEL_OPTIONS),
            field("Job title", "job_title", "varchar", person=True),
            field("Job title", TITLE_FIELD, "varchar", person=True, custom=True),
            field("Buying role", ROLE_FIELD, "enum", person=True, custom=True, options=ROLE_OPTIONS),
            field(
                "Newsletter", field_code("Newsletter"), "enum", person=True, custom=True, options={"Oui": 41, "Non": 42}
            ),
        ],
        "organizationFields": [
            field("Name", "name", "varchar"),
            field("Owner", "owner_id", "user"),
            field("Address", "address", "address"),
            field("Website", "website", "varchar"),
        ],
        "activityFields": [
            field("Subject", "subject", "varchar"),
            field("Type", "type", "enum"),
            field("Due date", "due_date", "date"),
            field("Done", "done", "boolean"),
            field("Deal", "deal_id", "deal"),
        ],
    }


COLOURS = ("green", "yellow", "red")
MONEY = [
    {"field_code": "value", "field_name": "Amount of Value", "field_type": "double"},
    {"field_code": "currency", "field_name": "Currency of Value", "field_type": "varchar"},
]


def field(
    name: str,
    code: str,
    kind: str,
    *,
    person: bool = False,
    custom: bool = False,
    optional: bool = False,
    options: dict[str, int] | None = None,
    subfields: list[Fields] | None = None,
) -> Fields:
    visible: Fields = {"add_visible_flag": True, "details_visible_flag": True}
    required: Fields = {"enabled": code in ("title", "name")}
    if person:
        visible["show_in_add_deal_dialog"] = {"show": code == "name", "order": 1 if code == "name" else None}
    else:
        visible["projects_detail_visible_flag"] = not custom
        visible["show_in_pipelines"] = {"show_in_all": True, "pipeline_ids": []}
        required |= {"stage_ids": [], "statuses": {}}
    choices: list[Fields] = [{"id": id, "label": label} for label, id in (options or {}).items()]
    if not person:
        choices = [choice | {"color": COLOURS[index % 3]} for index, choice in enumerate(choices)]
    return {
        "field_name": name,
        "field_code": code,
        "description": "",
        "field_type": kind,
        "options": choices or None,
        "subfields": subfields,
        "is_custom_field": custom,
        "is_optional_response_field": optional,
        "ui_visibility": visible,
        "important_fields": {"enabled": False, "stage_ids": []},
        "required_fields": required,
    }


def user(index: int, now: int) -> Fields:
    first, last, _team, active = names.COLLEAGUES[index]
    since = v1_time(now - (700 - 40 * index) * DAY)
    admin = index == 0
    return {
        "id": USER_IDS[index],
        "name": f"{first} {last}",
        "default_currency": "EUR",
        "locale": "fr_FR",
        "lang": 5,
        "email": colleague_email(index),
        "phone": f"+33 1 99 00 55 {index:02d}",
        "activated": True,
        "last_login": v1_time(now - 3600 * (index + 1)),
        "created": since,
        "modified": v1_time(now - 3600 * (index + 1)),
        "has_created_company": admin,
        "access": [
            {"app": app, "admin": admin, "permission_set_id": f"62cc4d7f-4038-4352-abf3-a8c1c822b63{number}"}
            for number, app in enumerate(("sales", "global", "account_settings"))
        ],
        "active_flag": active,
        "timezone_name": "Europe/Paris",
        "timezone_offset": f"+{utc_offset(now) // 3600:02d}:00",
        "role_id": 1,
        "icon_url": "https://www.boreal-solutions.example/claire.png" if admin else None,
        "is_you": admin,
        "is_deleted": not active,
    }


def v1_time(epoch: int) -> str:
    return iso(epoch)[:19].replace("T", " ")


def activity_type(index: int, key: str) -> Fields:
    return {
        "id": index + 1,
        "order_nr": index + 1,
        "name": {"unanswered_call": "Unanswered call"}.get(key, key.capitalize()),
        "key_string": key,
        "icon_key": key if key in ("call", "meeting", "task", "deadline", "email", "lunch") else "bubble",
        "active_flag": True,
        "color": "FFFFFF",
        "is_custom_flag": key in ("unanswered_call", "message"),
        "add_time": "2023-10-04 16:24:55",
        "update_time": "2023-10-04 16:24:55",
    }
