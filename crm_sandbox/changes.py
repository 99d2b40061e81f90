"""What happens to objects as a whole: deleted, restored, archived, merged, or left out of the lists without a word.

    POST /control/{crm}/changes   {"change": …, "kind": a table or "stages"/"pipelines", "ids": […] or all, "at"}

delete, restore     as a user does; HubSpot's bin holds what is deleted ("archived" there)
archive, unarchive  Pipedrive's deals
purge               it is gone for good: no list and no id knows it, nothing tells it
merge               "ids" into "into"; "new_id": HubSpot makes one new object of them all
remember, recall    all that the CRM holds, for later; and as it was then
hide, show          lists and searches leave it out, reading by id knows it. "all" instead of "ids": an empty list

"silent": the time of change stays. Nothing says that a CRM moves it whenever something happens to an object.
"""

from copy import deepcopy
from typing import Any

from crm_sandbox.hubspot_writer import MODIFIED, HubSpotWriter
from crm_sandbox.pipedrive_writer import PipedriveWriter
from crm_sandbox.store import Crm, Fields, Row, dumps

SIMPLE = ("delete", "restore", "archive", "unarchive")


def apply(writer: Any, change: Fields, at: int) -> Fields:
    """Returns {"ids": those changed, "id": the survivor of a merge}. KeyError: no such object or kind; ValueError."""
    crm: Crm = writer.crm
    what, kind = change["change"], change.get("kind", "")
    if what == "remember":
        crm.kept = deepcopy((crm.tables, crm.links, crm.fixed))
        return {}
    if what == "recall":
        crm.tables, crm.links, crm.fixed = deepcopy(crm.kept)
        return {}
    table = crm.tables.get(kind)
    if table is None:
        return frame(crm, kind, what, {str(id) for id in change["ids"]})
    ids = sorted(table.rows) if change.get("ids", "all") == "all" else [int(id) for id in change["ids"]]
    rows = [table.rows[id] for id in ids]
    if what in SIMPLE:
        for row in rows:
            simple(writer, kind, row, what, row.updated if change.get("silent") else at)
    elif what == "purge":
        table.remove(ids)
    elif what in ("hide", "show"):
        table.hidden = table.hidden | set(ids) if what == "hide" else table.hidden - set(ids)
        table.touch()
    elif what == "merge":
        return merge(writer, kind, rows, int(change["into"]), at, bool(change.get("new_id")))
    else:
        raise ValueError(f"no such change: {what}")
    return {"ids": ids}


def simple(writer: Any, kind: str, row: Row, what: str, at: int) -> None:
    fields = row.read()
    if isinstance(writer, PipedriveWriter):
        if "archive" in what:
            fields["is_archived"] = what == "archive"
        else:
            fields["is_deleted"] = what == "delete"
        writer.store(kind, row, fields, at)
    else:
        row.archived = what in ("delete", "archive")
        store(writer, kind, row, fields, at)


def store(writer: HubSpotWriter, kind: str, row: Row, fields: Fields, at: int) -> None:
    """`at` in seconds, or the row's own time of change, which is in milliseconds."""
    if at == row.updated:
        row.fields = dumps(fields | {MODIFIED[kind]: fields[MODIFIED[kind]]})
        writer.crm.tables[kind].touch()
    else:
        writer.store(kind, row, fields, at)


def merge(writer: Any, kind: str, losers: list[Row], into: int, at: int, new_id: bool) -> Fields:
    """The survivor takes over all associations. In Pipedrive, where they are fields, the other ends have changed."""
    crm, survivor = writer.crm, writer.crm.tables[kind].rows[into]
    if new_id:
        losers = [*losers, survivor]
        survivor = Row(crm.tables[kind].next_id(), survivor.updated, survivor.read() | {"hs_object_id": None})
        crm.tables[kind].add(survivor)
    for row in losers:
        heir(writer, kind, row.id, survivor.id, at)
        crm.survivor = survivor.id
        simple(writer, kind, row, "delete", at)
        crm.survivor = 0
    fields = survivor.read()
    if isinstance(writer, HubSpotWriter):
        old = [one for one in (fields.get("hs_merged_object_ids") or "").split(";") if one]
        fields["hs_object_id"] = str(survivor.id)
        fields["hs_merged_object_ids"] = ";".join(dict.fromkeys([*old, *(str(row.id) for row in losers)]))
        if kind == "contacts":
            extra = [row.read().get("email") for row in losers]
            more = [*(fields.get("hs_additional_emails") or "").split(";"), *extra]
            fields["hs_additional_emails"] = ";".join(dict.fromkeys(filter(None, more))) or None
    writer.store(kind, survivor, fields, at)
    return {"ids": [row.id for row in losers], "id": survivor.id}


# Pipedrive: where objects of other tables name one of a kind.
NAMED = {
    "deals": {"activities": "deal_id"},
    "persons": {"activities": "person_id", "deals": "person_id"},
    "organizations": {"activities": "org_id", "deals": "org_id", "persons": "org_id"},
}


def heir(writer: Any, kind: str, loser: int, survivor: int, at: int) -> None:
    crm: Crm = writer.crm
    for (origin, other), pairs in list(crm.links.to.items()):
        if origin != kind:
            continue
        for id in list(pairs.get(loser, ())):
            types = crm.links.types.get((kind, loser, other, id)), crm.links.types.get((other, id, kind, loser))
            crm.links.remove(kind, loser, other, id)
            crm.links.add(kind, survivor, other, id)
            for key, one in zip(((kind, survivor, other, id), (other, id, kind, survivor)), types, strict=True):
                if one:
                    crm.links.types.setdefault(key, one)
    for other, name in (NAMED.get(kind, {}) if "persons" in crm.tables else {}).items():
        for row in list(crm.tables[other]):
            fields = row.read()
            changed = fields.get(name) == loser
            if changed:
                fields[name] = survivor
            for one in fields.get("participants") or () if kind == "persons" else ():
                if one["person_id"] == loser:
                    one["person_id"], changed = survivor, True
            if changed and not row.deleted:
                writer.store(other, row, fields, max(at, row.updated))
    if kind == "companies":
        for row in crm.tables["contacts"]:
            fields = row.read()
            if fields.get("associatedcompanyid") == str(loser):
                row.fields = dumps(fields | {"associatedcompanyid": str(survivor)})
    for table in crm.tables.values():
        table.touch()


def frame(crm: Crm, kind: str, what: str, ids: set[str]) -> Fields:
    """HubSpot's pipelines and stages, which are no objects: they can be deleted for good."""
    if what != "delete" or kind not in ("pipelines", "stages") or "pipelines" not in crm.fixed:
        raise ValueError(f"{what} {kind}")
    pipelines = crm.fixed["pipelines"]
    if kind == "pipelines":
        crm.fixed["pipelines"] = [one for one in pipelines if one["id"] not in ids]
    else:
        crm.fixed["pipelines"] = [
            one | {"stages": [stage for stage in one["stages"] if stage["id"] not in ids]} for one in pipelines
        ]
    return {"ids": sorted(ids)}
