"""Reads Pipedrive: REST v2, and v1 for users, of whom v2 knows nothing.

Teams are not read: Pipedrive deprecates the only list of them (/v1/legacyTeams) without a successor, so an
organisation's admin makes them (`deals.teams`).
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, ClassVar

from crm_sync.providers.base import (
    Account,
    Budget,
    Field,
    Page,
    Provider,
    Step,
    UnexpectedAnswer,
    VersionPage,
    chunks,
    pack,
    unpack,
)
from crm_sync.providers.http import Api, TokenHeader
from crm_sync.providers.pipedrive import details, mapping, types
from crm_sync.providers.values import currency, identifier, items, text, zone
from deals.records import ActivityRecord, Batch, Detail, Kept, RoleRecord

Json = Mapping[str, Any]

LIMIT = 500  # a call costs the same whatever its limit
DEAL_FIELDS = {
    "include_fields": "last_incoming_mail_time,last_outgoing_mail_time,email_messages_count,participants_count"
}
# The role field that is no field: each field of the deals that holds people is a role, and they are its holders.
DEAL_PEOPLE = "deal_people"
LABELS = "label_ids"
CHOICES, TEXTS = ("enum", "set"), ("varchar", "text")
HOOKED = ("deal", "person", "organization", "activity")  # objects whose changes are posted to us
FETCHED = 100  # ids in one request (v2 reference, parameter `ids`)


class Pipedrive(Provider):
    name = "pipedrive"
    label = "Pipedrive"
    streams: ClassVar[tuple[str, ...]] = (
        "users",
        "pipelines",
        "stages",
        "activity_types",
        "roles",
        "organizations",
        "persons",
        "deals",
        "archived_deals",  # and, in a pull, the deals deleted in the last 30 days
        "activities",
    )
    hourly = frozenset({"users", "pipelines", "stages", "activity_types", "roles"})
    role_streams = ("persons", "deals", "archived_deals")
    # The rules wait for the first two.
    details: ClassVar[Mapping[Detail, int]] = {"participants": 1, "mail": 1, "history": 1}
    compared: ClassVar[Mapping[str, Kept]] = {
        "pipelines": "pipelines",
        "stages": "stages",
        "organizations": "companies",
        "persons": "contacts",
        "deals": "deals",  # the archived ones too
        "activities": "activities",
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
        header, prefix = ("Authorization", "Bearer ") if oauth else ("x-api-token", "")
        self.api = Api(base_url, TokenHeader(header, prefix, token), timeout, budget=budget)
        self._role_field, self._title_field = role_field, title_field
        self._kinds = {**types.KINDS, **activity_kinds}

    def identify(self) -> Account:
        data = self.api.get("/api/v1/users/me").get("data")
        me: Json = data if isinstance(data, Mapping) else {}
        account_id, domain = identifier(me.get("company_id")), text(me.get("company_domain"))
        if not account_id or not re.fullmatch(r"[a-z0-9-]{1,63}", domain):
            raise UnexpectedAnswer("users/me tells no company")
        return Account(
            account_id=account_id,
            name=text(me.get("company_name"), 200) or domain,
            link_base=f"https://{domain}.pipedrive.com/deal/",
            time_zone=zone(text(me.get("timezone_name"))).key,
            currency=currency(me.get("default_currency")),
            user_id=identifier(me.get("id")) or "",
        )

    def clock_ahead(self) -> timedelta:
        return self.api.clock_ahead

    def fields(self) -> list[Field]:
        found = []
        for field in self._person_fields:
            key, label, kind = (
                text(field.get("field_code")),
                text(field.get("field_name"), 200),
                field.get("field_type"),
            )
            own = field.get("is_custom_field") is True
            if kind in CHOICES and (own or key == LABELS):
                found.append(Field(key, label, "role", tuple(_options(field).values())))
            elif kind in TEXTS and own:
                found.append(Field(key, label, "role"))
            if kind in TEXTS and (own or key == "job_title"):
                found.append(Field(key, label, "title"))
        if roles := tuple(self._people_fields.values()):
            found.append(Field(DEAL_PEOPLE, "", "role", roles))
        return found

    def read(self, stream: str, cursor: str | None, since: datetime | None, until: datetime) -> Page:
        if stream == "roles":
            return self._roles(whole=since is None)
        if stream == "activity_types":
            records, _ = self._list("/api/v1/activityTypes", {})
            return Page(Batch(), None, len(records), None, types=types.read(records))
        steps = self._steps(stream, since)
        step, position = unpack(cursor)
        path, params = steps[step]
        records, following = self._list(path, params, position)
        if stream in ("users", "pipelines", "stages") and not (records or position):
            raise UnexpectedAnswer(f"{path}: none at all, and every account has some", status=200)
        return self._page(stream, records, pack(step, following, len(steps)))

    def fetch(self, stream: str, ids: Sequence[str]) -> Page:
        if stream not in ("organizations", "persons", "deals", "archived_deals", "activities"):
            raise ValueError(f"Pipedrive has no ids of {stream}.")
        if bad := [id for id in ids if not re.fullmatch(r"[0-9]{1,19}", id)]:
            raise ValueError(f"{bad[0][:40]!r} is no id of Pipedrive.")
        # A list leaves out what it does not hold, without a word. Deals have three: living, deleted, archived.
        steps = self._steps(stream.removeprefix("archived_"), None)
        if stream.endswith("deals"):
            steps += [("/api/v2/deals", {"limit": LIMIT, "status": "deleted"}), *self._steps("archived_deals", None)]
        records: list[Json] = []
        gone: list[str] = []
        for missing in chunks(ids, FETCHED):
            for path, params in steps:
                if missing:
                    found, _ = self._list(path, {**params, "ids": ",".join(missing)})
                    records += found
                    known = {identifier(record.get("id")) for record in found}
                    missing = [id for id in missing if id not in known]
            gone += missing
        return self._page(stream, records, None, tuple(gone))

    def versions(self, stream: str, cursor: str | None) -> VersionPage:
        if stream not in self.compared:
            raise ValueError(f"Pipedrive has no versions of {stream}.")
        paths = ["/api/v2/deals", "/api/v2/deals/archived"] if stream == "deals" else [f"/api/v2/{stream}"]
        step, position = unpack(cursor)
        records, following = self._list(paths[step], {"limit": LIMIT}, position)
        found = [mapping.version(record) for record in records if stream != "activities" or self._activity(record)]
        return VersionPage(found, pack(step, following, len(paths)))

    def _page(self, stream: str, records: list[Json], cursor: str | None, gone: tuple[str, ...] = ()) -> Page:
        batch = self._batch(stream, records)
        kinds = (batch.companies, batch.contacts, batch.deals, batch.activities)
        times = (one.updated_at for kind in kinds for one in kind)
        return Page(batch, cursor, len(records), max(times, default=None), gone)

    def detail(self, what: Detail, deals: Sequence[str]) -> Batch:
        """Of one deal: its participants [10 tokens], the mail on it [20] or its changelog [20], in one request."""
        if what not in self.details or len(deals) != 1 or not re.fullmatch(r"[0-9]{1,19}", deals[0]):
            raise ValueError(f"Pipedrive tells no {what} of {', '.join(deals)[:80]}.")
        return details.read(self._list_v1 if what != "history" else self._list, what, deals[0])

    def _list_v1(self, path: str, params: Mapping[str, Any], position: str = "") -> tuple[list[Json], str | None]:
        """As `_list`, where v1 counts its pages from `start`."""
        answer = self.api.get(path, {**params, "start": position or "0"})
        data, additional = answer.get("data", ()), answer.get("additional_data")
        records = [] if data is None else data
        if answer.get("success") is not True or not isinstance(records, list):
            raise UnexpectedAnswer(f"{path}: no list of records", status=200)
        paging = additional.get("pagination") if isinstance(additional, Mapping) else None
        if not isinstance(paging, Mapping):  # always there, also where a list is empty
            raise UnexpectedAnswer(f"{path}: no page of a list", status=200)
        if paging.get("more_items_in_collection") is not True:
            return items(records), None
        following = identifier(paging.get("next_start")) or ""
        if not following.isdigit() or int(following) <= int(position or 0):
            raise UnexpectedAnswer(f"{path}: a page that leads nowhere", status=200)
        return items(records), following

    def keep_webhooks(self, url: str, user: str, password: str) -> bool:
        """One for each object and all its changes. Pipedrive deletes those that failed for three days."""
        working = set()
        for hook in self._hooks(url):
            kind = text(hook.get("event_object"))
            if hook.get("is_active") in (1, True) and hook.get("event_action") == "*" and kind not in working:
                working.add(kind)
            else:
                self.api.delete(f"/api/v1/webhooks/{identifier(hook.get('id'))}")
        missing = [kind for kind in HOOKED if kind not in working]
        for kind in missing:
            body = {"subscription_url": url, "event_action": "*", "event_object": kind, "version": "2.0"}
            login = {"http_auth_user": user, "http_auth_password": password}
            self.api.post("/api/v1/webhooks", body | login | {"name": f"Vigie: {kind}"})
        return bool(missing)

    def drop_webhooks(self, url: str) -> None:
        for hook in self._hooks(url):
            self.api.delete(f"/api/v1/webhooks/{identifier(hook.get('id'))}")

    def _hooks(self, url: str) -> list[Json]:
        """Ours: those that post to `url`."""
        found = items(self.api.get("/api/v1/webhooks").get("data"))
        return [hook for hook in found if hook.get("subscription_url") == url and identifier(hook.get("id"))]

    def _roles(self, whole: bool) -> Page:
        """Those that the account offers. A text offers none: they are found on the people, and when these are read
        whole nothing counts that was found before."""
        offered = self._deal_roles if self._role_field == DEAL_PEOPLE else self._role_options
        if offered is None:
            return Page(Batch(roles=() if whole else None), None, 0, None)
        roles = [RoleRecord(label, f"{self._role_field}/{key}") for key, label in offered.items()]
        return Page(Batch(roles=roles), None, len(roles), None)

    def _steps(self, stream: str, since: datetime | None) -> list[Step]:
        # Whole seconds: a fraction is refused.
        changed = {} if since is None else {"updated_since": since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
        page = {"limit": LIMIT}
        match stream:
            case "users":
                return [("/api/v1/users", {})]
            case "pipelines" | "stages":
                return [(f"/api/v2/{stream}", page)]
            case "organizations" | "persons":
                return [(f"/api/v2/{stream}", page | changed)]
            case "deals":
                return [("/api/v2/deals", page | changed | DEAL_FIELDS)]
            case "archived_deals":
                archived: Step = ("/api/v2/deals/archived", page | changed)
                # All that the CRM still tells, as nothing says that a deletion moves the time of change.
                deleted: Step = ("/api/v2/deals", page | {"status": "deleted"})
                return [archived, deleted] if changed else [archived]
            case "activities":
                return [("/api/v2/activities", page | changed | {"include_fields": "attendees"})]
        raise ValueError(f"Pipedrive has no stream {stream}.")

    def _list(self, path: str, params: Mapping[str, Any], position: str = "") -> tuple[list[Json], str | None]:
        """One page, and the cursor of the next."""
        answer = self.api.get(path, {**params, "cursor": position} if position else params)
        data, additional = answer.get("data", ()), answer.get("additional_data")
        records = [] if data is None else data  # an empty list may come as null
        if answer.get("success") is not True or not isinstance(records, list):
            raise UnexpectedAnswer(f"{path}: no list of records", status=200)
        if not all(isinstance(record, Mapping) for record in records):
            raise UnexpectedAnswer(f"{path}: a record is no object", status=200)
        following = additional.get("next_cursor") if isinstance(additional, Mapping) else None
        if following and (following == position or not isinstance(following, str)):
            raise UnexpectedAnswer(f"{path}: a cursor that leads nowhere", status=200)
        return records, following or None

    def _batch(self, stream: str, records: list[Json]) -> Batch:
        if not all(identifier(record.get("id")) for record in records):
            raise UnexpectedAnswer(f"{stream}: a record without id", status=200)
        match stream:
            case "users":
                return Batch(colleagues=[mapping.colleague(record) for record in records])
            case "pipelines":
                return Batch(pipelines=[mapping.pipeline(record) for record in records])
            case "stages":
                return Batch(stages=[mapping.stage(record) for record in records])
            case "organizations":
                return Batch(companies=[mapping.company(record) for record in records])
            case "persons":
                fields = self._role_field, self._title_field
                contacts = [mapping.contact(record, *fields, self._role_options) for record in records]
                labels = dict.fromkeys(role for contact in contacts for role in contact.roles)
                found = [] if self._role_options is not None else [RoleRecord(label) for label in labels]
                return Batch(contacts=contacts, found_roles=found)
            case "deals" | "archived_deals":
                return Batch(deals=[mapping.deal(record, self._deal_roles) for record in records])
            case _:
                read = [(str(record["id"]), self._activity(record)) for record in records]
                return Batch(
                    activities=[activity for _, activity in read if activity],
                    other_activities=[id for id, activity in read if not activity],
                )

    def _activity(self, record: Json) -> ActivityRecord | None:
        return mapping.activity(record, self._kinds)

    def _fields_of(self, kind: str) -> list[Json]:
        """All pages: more than a hundred fields are common."""
        path = f"/api/v2/{kind}Fields"
        found, position = self._list(path, {"limit": LIMIT})
        while position:
            more, position = self._list(path, {"limit": LIMIT}, position)
            found += more
        return found

    @cached_property
    def _person_fields(self) -> list[Json]:
        return self._fields_of("person")

    @cached_property
    def _people_fields(self) -> dict[str, str]:
        """Names of the account's own fields of deals that hold people, by key."""
        fields = [field for field in self._fields_of("deal") if field.get("is_custom_field") is True]
        pairs = [
            (text(field.get("field_code")), text(field.get("field_name"), 200))
            for field in fields
            if field.get("field_type") == "people"
        ]
        return {key: name for key, name in pairs if key and name}

    @property
    def _deal_roles(self) -> dict[str, str]:
        return self._people_fields if self._role_field == DEAL_PEOPLE else {}

    @cached_property
    def _role_options(self) -> dict[str, str] | None:
        """Labels of the mapped role field's options, by id; None when it is a text."""
        if not self._role_field or self._role_field == DEAL_PEOPLE:
            return {}
        for field in self._person_fields:
            if field.get("field_code") == self._role_field:
                return None if field.get("field_type") in TEXTS else _options(field)
        return {}


def _options(field: Json) -> dict[str, str]:
    """Their labels, by id."""
    pairs = [(identifier(option.get("id")), text(option.get("label"), 200)) for option in items(field.get("options"))]
    return {key: label for key, label in pairs if key and label}
