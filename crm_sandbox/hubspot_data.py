"""Puts an invented pipeline into the words of HubSpot's CRM objects. Property values are strings or None."""

import json
from typing import Any

from crm_sandbox import names
from crm_sandbox.clock import DAY, Days, iso_ms, utc_offset
from crm_sandbox.data import Act, Company, Deal, Person, Story
from crm_sandbox.hubspot_history import invented
from crm_sandbox.store import Crm, Fields, Row

OBJECTS = ("deals", "contacts", "companies", "calls", "emails", "meetings", "communications")
# Ids are unique over all kinds of objects, as they look in real portals.
FIRST_ID = {
    "deals": 21_678_000_011,
    "contacts": 57_156_000_023,
    "companies": 17_705_000_017,
    "calls": 61_290_000_029,
    "emails": 62_410_000_013,
    "meetings": 63_870_000_019,
    "communications": 64_930_000_031,
}
STEP = 7
OWNER_IDS = tuple(41_629_779 + 13 * index for index in range(len(names.COLLEAGUES)))
TEAMS = {"Grands comptes": "368389", "Mid-market": "368390"}
PIPELINES = ("default", "11348541")
OPEN_STAGES = (
    (
        "appointmentscheduled",
        "qualifiedtobuy",
        "presentationscheduled",
        "decisionmakerboughtin",
        "contractsent",
        "986321",
    ),
    ("11348542", "11348543", "11348544", "11348545", "11348546"),
)
WON = ("closedwon", "11348547")
LOST = ("closedlost", "11348548")
BUYING_ROLES = {label: label.upper().replace(" ", "_") for label in names.ROLES}
LABELS = {label: 36 + 2 * index for index, label in enumerate(names.ROLES[:4])}  # odd ids: the other direction

CONNECTED, LIVE_MESSAGE = "f240bbac-87c9-4f6e-bf70-924b57d47db7", "a4c4c377-d246-4b32-a13b-75a56a4cd0ff"
# How an unanswered call looks: disposition, status. The disposition says more than the status.
UNANSWERED = (
    ("73a0d17f-1163-4015-bdd5-ec830791da20", "COMPLETED"),  # no answer
    ("b2cf5968-551e-4856-9783-52b3da59a7d0", "COMPLETED"),  # voicemail
    ("9d9162e7-6cf3-4944-bf63-4dff82258764", "BUSY"),
    ("17b47fee-58de-441e-a44c-c6300d46f273", "COMPLETED"),  # wrong number
    (None, "NO_ANSWER"),
    (None, "FAILED"),
)
MESSAGE_KINDS = ("LINKEDIN_MESSAGE", "SMS", "WHATS_APP")
OUTCOMES = {"cancelled": "CANCELED", "declined": "CANCELED", "no_show": "NO_SHOW", "rescheduled": "RESCHEDULED"}


def generate(seed: int, size: int, now: int) -> Crm:
    crm = Crm(OBJECTS)
    crm.fixed = fixed(now)
    story = Story("hubspot", seed, size, now)
    next_id = dict(FIRST_ID)
    for deal in story.deals():
        people = {person.number: contact_id(person) for person in deal.people}
        if deal.company and company_id(deal.company) not in crm.tables["companies"].rows:
            crm.tables["companies"].add(company_row(deal.company))
        deal_id = FIRST_ID["deals"] + STEP * deal.number
        crm.tables["deals"].add(deal_row(deal_id, deal, story.days))
        if deal.company:
            crm.links.add("deals", deal_id, "companies", company_id(deal.company))
        for person in deal.people:
            id = people[person.number]
            if id not in crm.tables["contacts"].rows:
                crm.tables["contacts"].add(contact_row(person))
                if person.company:
                    crm.links.add("contacts", id, "companies", company_id(person.company))
            crm.links.add("deals", deal_id, "contacts", id)
            if person.role in LABELS and has_label(person):
                label(crm, deal_id, id, [person.role])
        for act in sorted(deal.acts, key=lambda act: act.logged):
            if act.kind == "task":
                continue
            kind, properties, present = activity(act, deal, story.days)
            id = next_id[kind]
            next_id[kind] += STEP
            crm.tables[kind].add(engagement_row(id, properties, act.logged))
            crm.links.add(kind, id, "deals", deal_id)
            for person in present:
                crm.links.add(kind, id, "contacts", contact_id(person))
    return crm


def contact_id(person: Person) -> int:
    return FIRST_ID["contacts"] + STEP * person.number


def company_id(company: Company) -> int:
    return FIRST_ID["companies"] + STEP * company.number


def has_label(person: Person) -> bool:
    """Half of the roles are labels on the deal, the others the contact's buying role, some both."""
    return person.number % 2 == 0


def label(crm: Crm, deal_id: int, contact: int, labels: list[str]) -> None:
    """Sets the labels of a contact on a deal, in both directions; the unlabelled type is always listed as well."""
    for shift, key, plain in (
        (0, ("deals", deal_id, "contacts", contact), 3),
        (1, ("contacts", contact, "deals", deal_id), 4),
    ):
        crm.links.types[key] = [
            {"category": "HUBSPOT_DEFINED", "typeId": plain, "label": None},
            *({"category": "USER_DEFINED", "typeId": LABELS[name] + shift, "label": name} for name in labels),
        ]


def deal_row(id: int, deal: Deal, days: Days) -> Row:
    stage, closed_stage = None, {"won": WON, "lost": LOST}.get(deal.status)
    if closed_stage:
        stage = closed_stage[deal.pipeline]
    elif deal.stage is not None:
        stage = OPEN_STAGES[deal.pipeline][deal.stage]
    touched = [act.at for act in deal.acts if act.at <= days.now and act.kind != "task"]
    planned = [act.at for act in deal.acts if act.at > days.now and act.kind != "task"]
    last = max([deal.created, deal.stage_since, deal.closed or 0, *(act.logged for act in deal.acts)])
    updated = max(deal.created * 1000, last * 1000 - id % 1000)
    amount = None if deal.amount is None else str(deal.amount)
    if deal.amount is None and deal.number % 2:
        amount = ""  # cleared by hand
    close = None
    if deal.closed:
        close = iso_ms(deal.closed * 1000)
    elif deal.close is not None:
        close = iso_ms((days.midnight(deal.close) + 12 * 3600) * 1000)
    entered = iso_ms(deal.stage_since * 1000) if stage else None
    properties = {
        "dealname": deal.title,
        "amount": amount,
        "deal_currency_code": deal.currency,
        "amount_in_home_currency": amount,
        "closedate": close,
        "createdate": iso_ms(deal.created * 1000),
        "pipeline": PIPELINES[deal.pipeline] if stage else None,
        "dealstage": stage,
        "hubspot_owner_id": None if deal.owner is None else str(OWNER_IDS[deal.owner]),
        "hubspot_team_id": None if deal.owner is None else TEAMS[names.COLLEAGUES[deal.owner][2]],
        **closed_flags(deal.status),
        "hs_deal_stage_probability": probability(stage) if stage else None,
        "hs_lastmodifieddate": iso_ms(updated),
        "hs_object_id": str(id),
        "hs_v2_date_entered_current_stage": entered,
        "notes_last_updated": iso_ms(max(touched) * 1000) if touched else None,
        "notes_last_contacted": iso_ms(max(touched) * 1000) if touched else None,
        "notes_next_activity_date": iso_ms(min(planned) * 1000) if planned else None,
        "num_associated_contacts": str(len(deal.people)),
        "closed_lost_reason": names.LOST[id % len(names.LOST)] if deal.status == "lost" else None,
        "description": None,
        "dealtype": "newbusiness" if deal.pipeline == 0 else "existingbusiness",
        "hs_next_step": None,
        "hs_priority": None,
        "hs_merged_object_ids": None,
    }
    stages = [*OPEN_STAGES[deal.pipeline][: (deal.stage or 0) + 1], *([stage] if closed_stage else [])] if stage else []
    lost, since, closed = LOST[deal.pipeline], deal.stage_since, bool(closed_stage)
    history = invented(deal.number, deal.created, since, stages, lost, amount, close, closed)
    return Row(id, updated, properties, history, archived=deal.archived or deal.deleted)


def closed_flags(status: str) -> Fields:
    return {
        "hs_is_closed": str(status != "open").lower(),
        "hs_is_closed_won": str(status == "won").lower(),
        "hs_is_closed_lost": str(status == "lost").lower(),
    }


def probability(stage: str) -> str:
    if stage in WON:
        return "1.0"
    if stage in LOST:
        return "0.0"
    stages = next(stages for stages in OPEN_STAGES if stage in stages)
    return str(round((stages.index(stage) + 1) / (len(stages) + 1), 1))


def contact_row(person: Person) -> Row:
    roles = ""
    if person.role and (not has_label(person) or person.role not in LABELS or person.number % 6 == 0):
        roles = BUYING_ROLES[person.role]
        if person.number % 10 == 1:
            roles += ";INFLUENCER" if roles != "INFLUENCER" else ";END_USER"
    created = person.created * 1000 + person.number % 1000
    id = contact_id(person)
    properties = {
        "email": person.email,
        "firstname": person.first,
        "lastname": person.last,
        "jobtitle": person.title or None,
        "company": person.company.name if person.company else None,
        "associatedcompanyid": str(company_id(person.company)) if person.company else None,
        "phone": None,
        "hs_buying_role": roles or None,
        "hubspot_owner_id": str(OWNER_IDS[person.number % 5]),
        "lifecyclestage": "opportunity",
        "createdate": iso_ms(created),
        "lastmodifieddate": iso_ms(created),
        "hs_object_id": str(id),
        "hs_additional_emails": f"{person.first[0]}.{person.email}".lower() if person.number % 25 == 0 else None,
        "hs_email_optout": None,
        "hs_merged_object_ids": None,
        "notes_last_contacted": None,
    }
    return Row(id, created, properties)


def company_row(company: Company) -> Row:
    created = company.created * 1000 + company.number % 1000
    id = company_id(company)
    properties = {
        "name": company.name,
        "domain": company.domain,
        "city": company.city,
        "country": "France" if company.lang == "fr" else "United Kingdom",
        "annualrevenue": None,
        "numberofemployees": str((company.number * 37) % 900 + 8),
        "hubspot_owner_id": str(OWNER_IDS[company.number % 5]),
        "createdate": iso_ms(created),
        "hs_lastmodifieddate": iso_ms(created),
        "hs_object_id": str(id),
    }
    return Row(id, created, properties)


def engagement_row(id: int, properties: Fields, logged: int) -> Row:
    at = logged * 1000 - id % 1000
    common = {
        "hs_createdate": iso_ms(at),
        "hs_lastmodifieddate": iso_ms(at),
        "hs_object_id": str(id),
        "hs_engagement_source": "CRM_UI",
    }
    return Row(id, at, properties | common)


def activity(act: Act, deal: Deal, days: Days) -> tuple[str, Fields, list[Person]]:
    """Kind of object, its properties, and the contacts with which it is associated."""
    owner = deal.owner or 0
    subjects = names.SUBJECTS[deal.lang][{"organiser": "meeting"}.get(act.kind, act.kind)]
    subject = subjects[act.flavour % len(subjects)]
    base = {"hs_timestamp": iso_ms(act.at * 1000), "hubspot_owner_id": str(OWNER_IDS[owner])}
    if act.kind == "attempt" and act.flavour % 5 == 0:
        bounced = names.SUBJECTS[deal.lang]["email"][act.flavour % 5]
        return "emails", base | email(act, deal, owner, bounced) | {"hs_email_status": "BOUNCED"}, act.people
    if act.kind in ("call", "attempt"):
        return "calls", base | call(act, subject, days), act.people
    if act.kind == "email":
        return "emails", base | email(act, deal, owner, subject), [*act.people, *act.copied]
    if act.kind == "message":
        channel = MESSAGE_KINDS[act.flavour % 3]
        message = {"hs_communication_channel_type": channel, "hs_communication_body": subject}
        return "communications", base | message | {"hs_communication_logged_from": "CRM"}, act.people
    guests = [owner] if act.kind != "organiser" else []
    if act.kind == "internal":
        guests.append((owner + 1) % 5)
    outcome = OUTCOMES.get(act.outcome) or (
        "SCHEDULED" if not act.done else None if act.flavour % 9 == 0 else "COMPLETED"
    )
    meeting = {
        "hs_meeting_title": subject,
        "hs_meeting_start_time": iso_ms(act.at * 1000),
        "hs_meeting_end_time": iso_ms((act.at + act.minutes * 60) * 1000),
        "hs_meeting_outcome": outcome,
        "hs_attendee_owner_ids": ";".join(str(OWNER_IDS[guest]) for guest in guests) or None,
        "hs_meeting_external_url": None,
        "hs_meeting_location": None,
        "hs_activity_type": None,
        "hs_i_cal_uid": None,
    }
    # HubSpot keeps no answer of an invited contact: who declined is no longer associated.
    present = [person for person in act.people if act.outcome == "declined" or person not in act.declined]
    return "meetings", base | meeting, present


def call(act: Act, subject: str, days: Days) -> Fields:
    disposition: str | None
    status: str | None
    if act.kind == "attempt":
        disposition, status = UNANSWERED[act.flavour % len(UNANSWERED)]
    elif act.at > days.now:
        disposition, status = None, None
    else:
        disposition, status = (CONNECTED, LIVE_MESSAGE, CONNECTED, None)[act.flavour % 4], "COMPLETED"
    return {
        "hs_call_title": subject,
        "hs_call_direction": "INBOUND" if act.inbound else "OUTBOUND",
        "hs_call_status": status,
        "hs_call_disposition": disposition,
        "hs_call_duration": str(act.minutes * 60_000) if act.kind == "call" and status else None,
        "hs_call_body": None,
    }


def email(act: Act, deal: Deal, owner: int, subject: str) -> Fields:
    colleague = colleague_email(owner)
    people = [person.email for person in act.people]
    inbound = act.inbound and act.kind == "email"
    sender, to = (people[0], [colleague, *people[1:]]) if inbound and people else (colleague, people)
    copied = [person.email for person in act.copied]
    if act.flavour % 7 == 0:
        copied.append(colleague_email((owner + 1) % 5))
    silent = act.kind == "email" and act.flavour % 41 == 0 and not act.copied  # logged without any address
    headers = {"from": party(sender), "to": [party(a) for a in to], "cc": [party(a) for a in copied], "bcc": []}
    return {
        "hs_email_direction": "INCOMING_EMAIL" if inbound else "EMAIL",
        "hs_email_status": None if inbound else "SENT",
        "hs_email_subject": ("RE: " if inbound else "") + subject,
        "hs_email_from_email": None if silent else sender,
        "hs_email_to_email": None if silent else ";".join(to),
        "hs_email_cc_email": None if silent else ";".join(copied) or None,
        "hs_email_bcc_email": None,
        "hs_email_headers": None if silent else json.dumps(headers, separators=(",", ":")),
        "hs_email_thread_id": None,
        "hs_email_message_id": f"<{act.at}.{deal.number}@mail.example>",
    }


def party(address: str) -> Fields:
    return {"email": address, "firstName": None, "lastName": None}


def colleague_email(index: int) -> str:
    first, last, *_ = names.COLLEAGUES[index]
    return f"{first}.{last}@{names.OWN_DOMAIN}".lower()


# The account: what nothing here changes.

STRING, TEXT, NUMBER = ("string", "text"), ("string", "textarea"), ("number", "number")
TIME, CHOICE, CHECKS, YES_NO = (
    ("datetime", "date"),
    ("enumeration", "select"),
    ("enumeration", "checkbox"),
    ("bool", "booleancheckbox"),
)
ENGAGEMENT = {
    "hs_timestamp": TIME,
    "hubspot_owner_id": CHOICE,
    "hs_createdate": TIME,
    "hs_lastmodifieddate": TIME,
    "hs_object_id": NUMBER,
    "hs_engagement_source": CHOICE,
}
PROPERTIES: dict[str, dict[str, tuple[str, str]]] = {
    "deals": {
        "dealname": STRING, "amount": NUMBER, "deal_currency_code": CHOICE, "amount_in_home_currency": NUMBER,
        "closedate": TIME, "createdate": TIME, "pipeline": CHOICE, "dealstage": CHOICE, "hubspot_owner_id": CHOICE,
        "hubspot_team_id": CHOICE, "hs_is_closed": YES_NO, "hs_is_closed_won": YES_NO, "hs_is_closed_lost": YES_NO,
        "hs_deal_stage_probability": NUMBER, "hs_lastmodifieddate": TIME, "hs_object_id": NUMBER,
        "hs_v2_date_entered_current_stage": TIME, "notes_last_updated": TIME, "notes_last_contacted": TIME,
        "notes_next_activity_date": TIME, "num_associated_contacts": NUMBER, "closed_lost_reason": TEXT,
        "description": TEXT, "dealtype": CHOICE, "hs_next_step": TEXT, "hs_priority": CHOICE,
        "hs_merged_object_ids": CHECKS,
    },
    "contacts": {
        "email": STRING, "firstname": STRING, "lastname": STRING, "jobtitle": STRING, "company": STRING,
        "associatedcompanyid": NUMBER,
        "phone": STRING,
        "hs_buying_role": CHECKS, "hubspot_owner_id": CHOICE, "lifecyclestage": CHOICE, "createdate": TIME,
        "lastmodifieddate": TIME, "hs_object_id": NUMBER, "hs_additional_emails": CHECKS, "hs_email_optout": YES_NO,
        "hs_merged_object_ids": CHECKS, "notes_last_contacted": TIME,
    },
    "companies": {
        "name": STRING, "domain": STRING, "city": STRING, "country": STRING, "annualrevenue": NUMBER,
        "numberofemployees": NUMBER, "hubspot_owner_id": CHOICE, "createdate": TIME, "hs_lastmodifieddate": TIME,
        "hs_object_id": NUMBER,
    },
    "calls": ENGAGEMENT | {
        "hs_call_title": STRING, "hs_call_direction": CHOICE, "hs_call_status": CHOICE, "hs_call_disposition": CHOICE,
        "hs_call_duration": NUMBER, "hs_call_body": TEXT,
    },
    "emails": ENGAGEMENT | {
        "hs_email_direction": CHOICE, "hs_email_status": CHOICE, "hs_email_subject": STRING,
        "hs_email_from_email": STRING, "hs_email_to_email": STRING, "hs_email_cc_email": STRING,
        "hs_email_bcc_email": STRING, "hs_email_headers": TEXT, "hs_email_thread_id": STRING,
        "hs_email_message_id": STRING,
    },
    "meetings": ENGAGEMENT | {
        "hs_meeting_title": STRING, "hs_meeting_start_time": TIME, "hs_meeting_end_time": TIME,
        "hs_meeting_outcome": CHOICE, "hs_attendee_owner_ids": CHECKS, "hs_meeting_external_url": STRING,
        "hs_meeting_location": STRING, "hs_activity_type": CHOICE, "hs_i_cal_uid": STRING,
    },
    "communications": ENGAGEMENT | {
        "hs_communication_channel_type": CHOICE, "hs_communication_body": TEXT, "hs_communication_logged_from": CHOICE,
    },
}  # fmt: skip
BUYING_ROLE_LABELS = names.phrases(
    "Blocker | Budget Holder | Champion | Decision Maker | End User | Executive Sponsor | Influencer | "
    "Legal & Compliance | Other"
)
READ_ONLY = {"hs_object_id", "createdate", "hs_createdate", "hs_lastmodifieddate", "lastmodifieddate"}


def fixed(now: int) -> dict[str, Any]:
    return {
        "owners": [owner(index, now) for index in range(len(names.COLLEAGUES))],
        "pipelines": [pipeline(index, now) for index in range(len(names.PIPELINES))],
        "properties": {
            kind: [property_definition(name, *types) for name, types in sorted(properties.items())]
            for kind, properties in PROPERTIES.items()
        },
        "labels": {
            "deals/contacts": association_labels(3, 0),
            "contacts/deals": association_labels(4, 1),
        },
        "account": account(now),
    }


def association_labels(plain: int, shift: int) -> list[Fields]:
    return [
        *({"category": "USER_DEFINED", "typeId": id + shift, "label": name} for name, id in LABELS.items()),
        {"category": "HUBSPOT_DEFINED", "typeId": plain, "label": None},
    ]


def owner(index: int, now: int) -> Fields:
    first, last, team, active = names.COLLEAGUES[index]
    user = 9_586_504 + 31 * index
    fields: Fields = {
        "id": str(OWNER_IDS[index]),
        "email": colleague_email(index),
        "type": "PERSON",
        "firstName": first,
        "lastName": last,
        "userId": user if active else None,
        "userIdIncludingInactive": user,
        "createdAt": iso_ms((now - (700 - 40 * index) * DAY) * 1000),
        "updatedAt": iso_ms((now - (90 - index) * DAY) * 1000),
        "archived": not active,
    }
    if active:
        teams = TEAMS if index == 0 else [team]  # who leads the sales is in all of them
        fields["teams"] = [{"id": TEAMS[name], "name": name, "primary": name == team} for name in teams]
    return fields


def pipeline(index: int, now: int) -> Fields:
    name, stage_names = names.PIPELINES[index]
    at = iso_ms(Days(now).midnight(-1200) * 1000)
    ids = [*OPEN_STAGES[index], WON[index], LOST[index]]
    stages = [
        {
            "label": label,
            "displayOrder": position,
            "metadata": {"isClosed": str(id in (*WON, *LOST)).lower(), "probability": probability(id)},
            "id": id,
            "createdAt": at,
            "updatedAt": at,
            "writePermissions": "CRM_PERMISSIONS_ENFORCEMENT",
            "archived": False,
        }
        for position, (id, label) in enumerate(zip(ids, [*stage_names, "Gagnée", "Perdue"], strict=True))
    ]
    return {
        "label": name,
        "displayOrder": index,
        "id": PIPELINES[index],
        "stages": stages,
        "createdAt": at,
        "updatedAt": at,
        "archived": False,
    }


def property_definition(name: str, kind: str, field_kind: str) -> Fields:
    options: list[Fields] = []
    if name == "hs_buying_role":
        values = ((label, label.upper().replace("&", "AND").replace(" ", "_")) for label in BUYING_ROLE_LABELS)
        options = [option(label, value, -1) for label, value in values]
    words = name.removeprefix("hs_").removeprefix("v2_").replace("_", " ")
    read_only = name in READ_ONLY or name.startswith(("notes_", "hs_is_closed", "hs_v2_", "num_"))
    return {
        "updatedAt": "2023-02-08T15:18:26.769Z",
        "createdAt": "2020-06-30T15:57:36.948Z",
        "name": name,
        "label": words.title(),
        "type": kind,
        "fieldType": field_kind,
        "description": "",
        "groupName": "deal_information" if name == "hs_buying_role" else "information",
        "options": options,
        "displayOrder": -1,
        "calculated": name.startswith(("hs_is_closed", "hs_v2_", "num_")),
        "externalOptions": name in ("hubspot_owner_id", "pipeline", "dealstage"),
        "hasUniqueValue": name in ("email", "hs_object_id"),
        "hidden": False,
        "hubspotDefined": True,
        "modificationMetadata": {
            "archivable": True,
            "readOnlyDefinition": True,
            "readOnlyOptions": False,
            "readOnlyValue": read_only,
        },
        "formField": name == "hs_buying_role",
    }


def option(label: str, value: str, order: int) -> Fields:
    return {"label": label, "value": value, "description": "", "displayOrder": order, "hidden": False}


def account(now: int) -> Fields:
    offset = utc_offset(now)
    return {
        "portalId": 26_114_907,
        "accountType": "STANDARD",
        "timeZone": "Europe/Paris",
        "companyCurrency": "EUR",
        "additionalCurrencies": ["GBP", "USD", "CHF"],
        "utcOffset": f"+{offset // 3600:02d}:00",
        "utcOffsetMilliseconds": offset * 1000,
        "uiDomain": "app-eu1.hubspot.com",
        "dataHostingLocation": "eu1",
    }
