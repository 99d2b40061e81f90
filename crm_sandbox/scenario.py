"""Serves exact objects, for instance the JSON that the CRMs publish, instead of an invented pipeline.

The file: {"pipedrive": {"deals": […], "persons": […], …}, "hubspot": {"deals": […], "owners": […],
"properties": {"deals": […]}, "labels": {"deals/contacts": […]}, "account": {…},
"associations": {"deals/contacts": […]}}}. A list may stand in the CRM's own envelope ({"data": …} or {"results": …}).
Objects that are not given are empty, lists of the account (users, fields, owners, properties …) are the invented
ones. Pipedrive's "dealPersons" {"<deal>": [person, …]} adds participants besides each deal's own person.
"""

from typing import Any

from crm_sandbox import hubspot_data, pipedrive_data
from crm_sandbox.clock import milliseconds, seconds
from crm_sandbox.hubspot import ALWAYS
from crm_sandbox.pipedrive import INCLUDABLE
from crm_sandbox.store import Crm, Fields, Row

FIXED_PIPEDRIVE = ("users", "me", "activityTypes", "dealFields", "personFields", "organizationFields", "activityFields")
FIXED_HUBSPOT = ("owners", "pipelines", "account")


def unwrapped(value: Any) -> Any:
    if isinstance(value, dict):
        for envelope in ("data", "results"):
            if envelope in value:
                return value[envelope]
    return value


def pipedrive(given: Fields, now: int) -> Crm:
    crm = Crm(pipedrive_data.TABLES)
    crm.fixed = pipedrive_data.fixed(now) | {name: unwrapped(given[name]) for name in FIXED_PIPEDRIVE if name in given}
    for name in pipedrive_data.TABLES:
        for one in unwrapped(given.get(name, [])):
            optional = {key: one[key] for key in one if key in INCLUDABLE.get(name, ()) and key != "source_lead_id"}
            fields = {key: value for key, value in one.items() if key not in optional}
            row = Row(one["id"], seconds(one["update_time"]), fields, optional, archived=one.get("is_archived", False))
            row.deleted = one["is_deleted"]
            crm.tables[name].add(row)
    for row in crm.tables["deals"]:
        person = row.read()["person_id"]
        others = unwrapped(given.get("dealPersons", {})).get(str(row.id), [])
        for id in [*([person] if person else []), *others]:
            crm.links.add("deals", row.id, "persons", id)
    for row in crm.tables["activities"]:
        if deal := row.read()["deal_id"]:
            crm.links.add("deals", deal, "activities", row.id)
    return crm


def hubspot(given: Fields, now: int) -> Crm:
    crm = Crm(hubspot_data.OBJECTS)
    crm.fixed = hubspot_data.fixed(now) | {name: unwrapped(given[name]) for name in FIXED_HUBSPOT if name in given}
    for name in ("properties", "labels"):
        crm.fixed[name] |= {kind: unwrapped(value) for kind, value in given.get(name, {}).items()}
    for kind in hubspot_data.OBJECTS:
        for one in unwrapped(given.get(kind, [])):
            properties = {ALWAYS[kind][0]: one.get("createdAt")} | one["properties"]
            history = one.get("propertiesWithHistory")
            row = Row(int(one["id"]), milliseconds(one["updatedAt"]), properties, history, archived=one["archived"])
            crm.tables[kind].add(row)
    for pair, answers in given.get("associations", {}).items():
        kind, other = pair.split("/")
        for one in unwrapped(answers):
            for to in one["to"]:
                id, to_id = int(one["from"]["id"]), int(to["toObjectId"])
                crm.links.add(kind, id, other, to_id)
                crm.links.types[kind, id, other, to_id] = to["associationTypes"]
    return crm
