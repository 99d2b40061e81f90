"""Reads HubSpot: lists for a first sync, search for what changed, and associations beside both, in batches."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, ClassVar

from crm_sync.providers.base import (
    Account,
    Budget,
    CrmError,
    MissingPermission,
    Page,
    Provider,
    Step,
    UnexpectedAnswer,
    Version,
    VersionPage,
    chunks,
    pack,
    unpack,
)
from crm_sync.providers.http import Api, TokenHeader
from crm_sync.providers.hubspot import history, mapping
from crm_sync.providers.hubspot.mapping import Association
from crm_sync.providers.values import currency, identifier, instant, items, text, zone
from deals.records import Batch, DealRecord, Detail, Kept, PipelineRecord, RoleRecord, StageRecord, Status

Json = Mapping[str, Any]

VERSION = "2026-09"
_PIPELINES = f"/crm/pipelines/{VERSION}/deals"
FETCHED = 100  # inputs of one batch/read
ASSOCIATED = 1_000  # inputs of one reading of associations: ten pages of a list
ACTIVITIES = ("calls", "emails", "meetings", "communications")
ASSOCIATING = ("deals", *ACTIVITIES)  # whose associations are asked beside them
# What tells that a record changed; the same for all kinds but one.
MODIFIED = {"contacts": "lastmodifieddate"}
COMMON = ("hs_timestamp", "hubspot_owner_id", "hs_createdate", "hs_lastmodifieddate")
PROPERTIES = {
    "companies": ("name", "domain", "hs_lastmodifieddate", "hs_merged_object_ids"),
    "contacts": (
        "email",
        "hs_additional_emails",
        "firstname",
        "lastname",
        "jobtitle",
        "hs_buying_role",
        "associatedcompanyid",
        "lastmodifieddate",
        "hs_merged_object_ids",
    ),
    "deals": (
        "dealname",
        "amount",
        "deal_currency_code",
        "closedate",
        "createdate",
        "pipeline",
        "dealstage",
        "hubspot_owner_id",
        "hs_is_closed",
        "hs_is_closed_won",
        "hs_lastmodifieddate",
        "hs_v2_date_entered_current_stage",
        "hs_merged_object_ids",
    ),
    "calls": (*COMMON, "hs_call_title", "hs_call_status", "hs_call_disposition", "hs_call_duration"),
    "emails": (
        *COMMON,
        "hs_email_subject",
        "hs_email_direction",
        "hs_email_status",
        "hs_email_from_email",
        "hs_email_to_email",
        "hs_email_cc_email",
        "hs_email_bcc_email",
        "hs_email_headers",
    ),
    "meetings": (
        *COMMON,
        "hs_meeting_title",
        "hs_meeting_outcome",
        "hs_meeting_start_time",
        "hs_meeting_end_time",
        "hs_attendee_owner_ids",
    ),
    "communications": (*COMMON, "hs_communication_channel_type"),
}


class HubSpot(Provider):
    name = "hubspot"
    label = "HubSpot"
    streams: ClassVar[tuple[str, ...]] = (
        "owners",
        "pipelines",
        "roles",
        "companies",
        "contacts",
        "deals",
        *ACTIVITIES,
        "archived",  # nothing in a first sync; in a pull, what was deleted since
    )
    hourly = frozenset({"owners", "pipelines", "roles", "archived"})
    role_streams = ("contacts", "deals")
    details: ClassVar[Mapping[Detail, int]] = {"history": 50}  # fewer than without history (CRM: 400 beyond)
    compared: ClassVar[Mapping[str, Kept]] = {
        "pipelines": "pipelines",
        "stages": "stages",
        "companies": "companies",
        "contacts": "contacts",
        "deals": "deals",
        **dict.fromkeys(ACTIVITIES, "activities"),
    }

    def __init__(
        self,
        token: str,
        base_url: str,
        *,
        oauth: bool = False,
        role_field: str = "",
        title_field: str = "",
        activity_kinds: Mapping[str, str] = {},
        time_zone: str = "UTC",
        currency: str = "",
        timeout: tuple[float, float] = (5, 30),
        budget: Budget | None = None,
    ) -> None:
        self.api = Api(base_url, TokenHeader("Authorization", "Bearer ", token), timeout, budget=budget)
        self._zone, self._currency = zone(time_zone), currency

    def identify(self) -> Account:
        details = self.api.get(f"/account-info/{VERSION}/details")
        account_id, domain = identifier(details.get("portalId")), text(details.get("uiDomain"))
        if not account_id or not re.fullmatch(r"[a-z0-9-]{1,63}\.hubspot\.com", domain):
            raise UnexpectedAnswer("account-info tells no account", status=200)
        for kind in ("deals", "contacts"):  # any token opens account-info; without these two there is nothing to watch
            self.api.get(_objects(kind), {"limit": 1})
        return Account(
            account_id=account_id,
            name=f"HubSpot {account_id}",
            link_base=f"https://{domain}/contacts/{account_id}/record/0-3/",
            time_zone=zone(text(details.get("timeZone"))).key,
            currency=currency(details.get("companyCurrency")),
        )

    def clock_ahead(self) -> timedelta:
        return self.api.clock_ahead

    def read(self, stream: str, cursor: str | None, since: datetime | None, until: datetime) -> Page:
        if stream not in self.streams:
            raise ValueError(f"HubSpot has no stream {stream}.")
        if stream == "roles":
            roles = [RoleRecord(label, f"hs_buying_role/{value}") for value, label in self._buying_roles.items()]
            roles += self._deal_labels()
            return Page(Batch(roles=roles), None, len(roles), None)
        if stream == "archived":
            return self._archived(cursor, since)
        if stream == "pipelines":
            pipelines = self._pipelines()
            return _page(self._batch(stream, pipelines), None, pipelines)
        if stream in PROPERTIES and since is not None:
            records, following = self._search(stream, cursor or "0", since, until)
        else:
            steps = self._steps(stream)
            step, position = unpack(cursor)
            records, following = self._list(*steps[step], position)
            while following and stream in ASSOCIATING and len(records) + 100 <= ASSOCIATED:
                try:
                    more, following = self._list(*steps[step], following)
                except CrmError:  # met again by the next reading, which begins there
                    break
                records += more
            following = pack(step, following, len(steps))
        return _page(self._batch(stream, records), following, records)

    def _steps(self, stream: str) -> list[Step]:
        if stream == "owners":
            path = f"/crm/owners/{VERSION}"
            return [(path, {"limit": 100, "archived": archived}) for archived in ("false", "true")]
        return [(_objects(stream), {"limit": 100, "properties": ",".join(PROPERTIES[stream])})]

    def _pipelines(self) -> list[Json]:
        """All of them, with their stages; UnexpectedAnswer when there is none."""
        found, _ = self._list(_PIPELINES, {})
        if not found:
            raise UnexpectedAnswer(f"{_PIPELINES}: none at all, and every account has one", status=200)
        return found

    def _list(self, path: str, params: Mapping[str, Any], after: str = "") -> tuple[list[Json], str | None]:
        return _results(self.api.get(path, {**params, "after": after} if after else params), path, after)

    def _search(self, stream: str, last_id: str, since: datetime, until: datetime) -> tuple[list[Json], str | None]:
        """What changed in the window, by id: a search ends at 10,000 records, and many may share one time of change."""
        path, modified = f"{_objects(stream)}/search", MODIFIED.get(stream, "hs_lastmodifieddate")
        filters = [
            {"propertyName": modified, "operator": "GTE", "value": _milliseconds(since)},
            {"propertyName": modified, "operator": "LTE", "value": _milliseconds(until)},
            {"propertyName": "hs_object_id", "operator": "GT", "value": last_id},
        ]
        body = {
            "filterGroups": [{"filters": filters}],
            "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
            "properties": PROPERTIES[stream],
            "limit": 200,
        }
        records, following = _results(self.api.post(path, body), path)
        if not records or not following:
            return records, None
        reached = text(records[-1]["id"])
        if reached == last_id:
            raise UnexpectedAnswer(f"{path}: a page that leads nowhere", status=200)
        return records, reached

    def fetch(self, stream: str, ids: Sequence[str]) -> Page:
        if stream not in PROPERTIES:
            raise ValueError(f"HubSpot has no ids of {stream}.")
        prefix = f"{stream}/" if stream in ACTIVITIES else ""
        if bad := [id for id in ids if not re.fullmatch(rf"{prefix}[0-9]{{1,19}}", id)]:
            raise ValueError(f"{bad[0][:40]!r} is no id of {stream}.")
        living: list[Json] = []
        binned: list[Json] = []
        gone: list[str] = []
        for missing in chunks([id.removeprefix(prefix) for id in ids], FETCHED):
            for records, archived in ((living, "false"), (binned, "true")):
                if missing:
                    found = self._by_id(stream, missing, archived)
                    records += found
                    known = {text(record["id"]) for record in found}
                    missing = [id for id in missing if id not in known]
            gone += [prefix + id for id in missing]
        batch, deleted = self._batch(stream, living), self._deleted(stream, binned)
        batch = replace(
            batch,
            companies=[*batch.companies, *deleted.companies],
            contacts=[*batch.contacts, *deleted.contacts],
            deals=[*batch.deals, *deleted.deals],
            activities=[*batch.activities, *deleted.activities],
        )
        return _page(batch, None, [*living, *binned], tuple(gone))

    def versions(self, stream: str, cursor: str | None) -> VersionPage:
        if stream not in self.compared:
            raise ValueError(f"HubSpot has no versions of {stream}.")
        if stream in ("pipelines", "stages"):
            lines, _ = self._list(_PIPELINES, {})
            batch = self._batch("pipelines", lines)
            frame: Sequence[PipelineRecord | StageRecord] = getattr(batch, stream)
            return VersionPage([Version(one.external_id, None) for one in frame if not one.deleted], None)
        # The list and not the search, whose index lags behind and which ends at 10,000.
        params = {"limit": 100, "properties": MODIFIED.get(stream, "hs_lastmodifieddate")}
        records, following = self._list(_objects(stream), params, cursor or "")
        prefix = f"{stream}/" if stream in ACTIVITIES else ""
        return VersionPage([Version(prefix + text(one["id"]), mapping.updated(one)) for one in records], following)

    def detail(self, what: Detail, deals: Sequence[str]) -> Batch:
        """Stage, amount and close date as they were: `propertiesWithHistory` of batch/read, 50 deals at most."""
        if what not in self.details or not all(re.fullmatch(r"[0-9]{1,19}", id) for id in deals):
            raise ValueError(f"HubSpot tells no {what} of {', '.join(deals)[:80]}.")
        records = self._by_id("deals", list(deals), "false", propertiesWithHistory=history.PROPERTIES)
        return Batch(histories=[history.record(one, self._zone, self._stage_statuses) for one in records])

    def _by_id(self, stream: str, ids: list[str], archived: str, **more: Any) -> list[Json]:
        path = f"{_objects(stream)}/batch/read"
        body = {"inputs": [{"id": id} for id in ids], "properties": PROPERTIES[stream], **more}
        answer = self.api.post(f"{path}?archived={archived}", body)
        # 207: what it does not know is left out and told as an error; any other error would pass for "not known".
        if any(error.get("category") != "OBJECT_NOT_FOUND" for error in items(answer.get("errors"))):
            raise UnexpectedAnswer(f"{path}: not all could be read", status=207)
        return _results(_said(answer, path), path)[0]

    def _deleted(self, stream: str, records: list[Json]) -> Batch:
        """Records of the recycle bin: whom they were associated with is not asked any more."""
        match stream:
            case "companies":
                return Batch(companies=[mapping.company(record) for record in records])
            case "contacts":
                return Batch(contacts=[mapping.contact(record, self._buying_roles) for record in records])
            case "deals":
                return Batch(deals=[self._deal(record, None, ()) for record in records])
        return Batch(activities=[mapping.activity(stream, record) for record in records])

    def _archived(self, cursor: str | None, since: datetime | None) -> Page:
        """HubSpot lists all that its recycle bin holds; what was put there earlier is left out."""
        if since is None:
            return Page(Batch(), None, 0, None)
        streams = ("companies", "contacts", "deals", *ACTIVITIES)
        step, position = unpack(cursor)
        stream = streams[step]
        params = {"limit": 100, "archived": "true", "properties": ",".join(PROPERTIES[stream])}
        try:
            records, following = self._list(_objects(stream), params, position)
        except MissingPermission:  # told by the stream itself
            records, following = [], None
        records = [record for record in records if (instant(record.get("archivedAt")) or since) >= since]
        return _page(self._deleted(stream, records), pack(step, following, len(streams)), records)

    def _batch(self, stream: str, records: list[Json]) -> Batch:
        match stream:
            case "owners":
                return Batch(colleagues=[mapping.colleague(record) for record in records])
            case "pipelines":
                found = [mapping.pipeline(record) for record in records]
                return Batch(pipelines=[line for line, _ in found], stages=[one for _, own in found for one in own])
            case "companies":
                known = [mapping.company(record) for record in records]
                return Batch(companies=known, merges=mapping.merges(stream, records))
            case "contacts":
                people = [mapping.contact(record, self._buying_roles) for record in records]
                return Batch(contacts=people, merges=mapping.merges(stream, records))
            case "deals":
                contacts = self._associations("deals", "contacts", records)
                companies = self._associations("deals", "companies", records)
                keys = [text(record["id"]) for record in records]
                pairs = [(contacts.get(key, []), companies.get(key, [])) for key in keys]
                read = [self._deal(record, *pair) for record, pair in zip(records, pairs, strict=True)]
                return Batch(deals=read, merges=mapping.merges(stream, records))
            case _:
                deals = self._associations(stream, "deals", records)
                others = self._associations(stream, "contacts", records)
                return Batch(
                    activities=[
                        mapping.activity(stream, record, deals.get(key, []), others.get(key, []))
                        for record in records
                        for key in (text(record["id"]),)
                    ]
                )

    def _deal(self, record: Json, contacts: list[Association] | None, companies: Sequence[Association]) -> DealRecord:
        statuses = {} if mapping.knows_status(record) else self._stage_statuses
        return mapping.deal(record, self._zone, contacts, companies, self._currency, statuses)

    def _associations(self, origin: str, target: str, records: list[Json]) -> dict[str, list[Association]]:
        """By id; a record that has none is absent. HubSpot may give a long list of one record in several answers."""
        path = f"/crm/associations/{VERSION}/{origin}/{target}/batch/read"
        inputs = [{"id": text(record["id"])} for record in records]
        results: list[Json] = []
        while inputs:
            body = self.api.post(path, {"inputs": inputs})
            # That a record has none is told as an error too; any other would pass for "has none".
            if any(error.get("category") != "OBJECT_NOT_FOUND" for error in items(body.get("errors"))):
                raise UnexpectedAnswer(f"{path}: not all could be read", status=207)
            answer = items(_said(body, path).get("results"))
            results += answer
            asked, inputs = inputs, []
            for result in answer:
                source, after = result.get("from"), _after(result)
                key = identifier(source.get("id")) if isinstance(source, dict) else None
                if key and after:
                    inputs.append({"id": key, "after": after})
            if inputs == asked:
                raise UnexpectedAnswer(f"{path}: a page that leads nowhere", status=200)
        return mapping.associations(results)

    @cached_property
    def _buying_roles(self) -> dict[str, str]:
        """Labels of the buying roles by value; empty where the account lacks the property."""
        try:
            found = self.api.get(f"/crm/properties/{VERSION}/contacts/hs_buying_role")
        except UnexpectedAnswer as error:
            if error.status != 404:
                raise
            return {}
        options = items(found.get("options"))
        pairs = [(text(option.get("value"), 200), text(option.get("label"), 200)) for option in options]
        return {value: label for value, label in pairs if value and label}

    def _deal_labels(self) -> list[RoleRecord]:
        """Labels that the account gives to contacts on deals."""
        path = f"/crm/associations/{VERSION}/deals/contacts/labels"
        kinds = [kind for kind in items(self.api.get(path).get("results")) if not mapping.is_own(kind)]
        return [
            RoleRecord(label, f"label/{text(kind.get('typeId'))}")
            for kind in kinds
            if (label := text(kind.get("label"), 200))
        ]

    @cached_property
    def _stage_statuses(self) -> dict[str, Status]:
        stages = [stage for pipeline in self._pipelines() for stage in items(pipeline.get("stages"))]
        return {text(stage.get("id"), 100): mapping.stage_status(stage) for stage in stages}


def _objects(kind: str) -> str:
    return f"/crm/objects/{VERSION}/{kind}"


def _milliseconds(moment: datetime) -> str:
    return str(int(moment.timestamp() * 1000))


def _results(answer: Json, path: str, after: str = "") -> tuple[list[Json], str | None]:
    records = answer.get("results")
    if not isinstance(records, list):
        raise UnexpectedAnswer(f"{path}: no list of records", status=200)
    if not all(isinstance(record, dict) and identifier(record.get("id")) for record in records):
        raise UnexpectedAnswer(f"{path}: a record without id", status=200)
    following = _after(answer)
    if following and following == after:
        raise UnexpectedAnswer(f"{path}: a page that leads nowhere", status=200)
    return records, following


def _said(answer: Json, path: str) -> Json:
    """A batch tells of each of its inputs what it has, or as an error that it has nothing."""
    if not answer.get("results") and not answer.get("errors"):
        raise UnexpectedAnswer(f"{path}: nothing about what was asked", status=200)
    return answer


def _after(answer: Json) -> str | None:
    paging = answer.get("paging")
    following = paging.get("next") if isinstance(paging, dict) else None
    return identifier(following.get("after")) if isinstance(following, dict) else None


def _page(batch: Batch, cursor: str | None, records: list[Json], gone: tuple[str, ...] = ()) -> Page:
    kinds = (batch.companies, batch.contacts, batch.deals, batch.activities)
    return Page(
        batch, cursor, len(records), max((one.updated_at for kind in kinds for one in kind), default=None), gone
    )
