"""A second opinion: the nine alerts as the product description tells them, by loops over plain facts.

It shares no code with the product but the records that a CRM delivers and the levels of job titles, and reads no
table: one deal at a time, one rule at a time. `read` makes facts of records in their order of arrival,
`tests.second_opinion` makes them of the CRMs' own JSON; `judge` says what is true of them.

Settings have the form of a draft (`alerts.settings`), in the CRM's own words: pipelines, stages and teams by
`external_id` (an admin's team by its name), roles by label.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import holidays

from deals.records import ActivityRecord, Batch, ColleagueRecord, ContactRecord, DealRecord, ParticipantRecord
from deals.seniority import Level, level_of

FREE_MAIL = {"gmail.com", "hotmail.com", "outlook.com", "yahoo.com", "yahoo.fr", "orange.fr", "free.fr", "icloud.com"}
DAY = timedelta(1)
Rules = Mapping[str, Mapping[str, Any]]  # {kind: {"enabled": bool, parameter: value}}
Draft = Mapping[str, Any]
Read = tuple[datetime, Batch]  # what was read at which moment


# ---- Facts


@dataclass(frozen=True)
class Party:
    """Somebody recorded on an activity. `engages`: a direct part in it, not only in copy and not declined."""

    person: str
    colleague: bool
    engages: bool = True
    declined: bool = False
    organiser: bool = False


@dataclass
class Activity:
    kind: str  # call, meeting, email or message
    when: datetime  # when it took place, or will end
    took_place: bool
    planned: bool  # a meeting or call that was planned for `when`, whatever became of it, except called off
    parties: list[Party]

    @property
    def internal(self) -> bool:
        return bool(self.parties) and all(party.colleague for party in self.parties)

    @property
    def engaged(self) -> set[str]:
        return {p.person for p in self.parties if p.engages and not p.declined and not p.colleague}


@dataclass
class Deal:
    id: str
    amount: Decimal | None
    currency: str
    created: datetime
    close_date: date | None
    stage_entry: datetime | None  # None: the CRM has no history
    pipeline: str | None = None
    stage: str | None = None
    owner: str | None = None
    reopened: datetime | None = None
    emptied: datetime | None = None  # since when the amount is missing or zero, if that was seen
    missing: datetime | None = None  # since when the amount is missing, if that was seen
    roles: dict[str, set[str]] = field(default_factory=dict)  # of each person on the deal
    role_seen: dict[str, datetime] = field(default_factory=dict)  # when a role was first seen, if not at the beginning
    activities: list[Activity] = field(default_factory=list)


@dataclass(frozen=True)
class Organisation:
    """`members`: addresses of its users. `own_domains`: None when nobody has touched the list.

    `teams`: the colleagues of each team that an admin made. `corrections`: levels of exact titles.
    """

    zone: ZoneInfo
    country: str = "FR"
    first_synced: datetime | None = None
    members: frozenset[str] = frozenset()
    own_domains: frozenset[str] | None = None
    teams: Mapping[str, frozenset[str]] = field(default_factory=dict)
    corrections: Mapping[str, Level] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """`on`: the date since when it holds (fires), or on which it would fire if nothing happens (clear)."""

    outcome: str  # fires, clear, unknown
    on: date | None = None
    reason: str = ""  # of an unknown one


Verdicts = dict[tuple[str, str], Verdict]  # by kind and subject (the role, as in `plain_role`)


def plain_role(name: str) -> str:
    """Names that differ only in case, accents or punctuation are one."""
    letters = unicodedata.normalize("NFKD", name.casefold())
    return "".join(letter for letter in letters if letter.isalnum())


class People:
    """Who is who: contacts that share an address are one person, with all its roles and its highest level."""

    def __init__(
        self,
        colleagues: Iterable[str],
        domains: Iterable[str] | None = None,
        corrections: Mapping[str, Level] | None = None,
    ) -> None:
        self.colleagues = {self.clean(address) for address in colleagues if address}
        self.domains = domains_of(self.colleagues) if domains is None else set(domains)
        self.corrections = {" ".join(title.split()).casefold(): level for title, level in (corrections or {}).items()}
        self.parent: dict[str, str] = {}
        self.addresses: dict[str, list[str]] = defaultdict(list)
        self.titles: dict[str, list[str]] = defaultdict(list)
        self.roles: dict[str, set[str]] = defaultdict(set)
        self.deleted: set[str] = set()
        self.contacts: dict[str, list[str]] = {}

    @staticmethod
    def clean(address: str) -> str:
        return address.strip().lower()

    def find(self, name: str) -> str:
        while self.parent.get(name, name) != name:
            name = self.parent[name]
        return name

    def add(
        self,
        contact: str,
        addresses: Iterable[str | None],
        title: str | None,
        roles: Iterable[str],
        deleted: bool = False,
    ) -> None:
        self.titles[contact].append(title or "")
        self.roles[contact] |= set(roles)
        self.deleted |= {contact} if deleted else set()
        for address in addresses:
            if address and self.clean(address):
                self.addresses[contact].append(self.clean(address))
                self.parent[self.find(self.clean(address))] = self.find(contact)

    def members(self, person: str) -> list[str]:
        """The contacts of a person, once all contacts are known."""
        if not self.contacts:
            for contact in self.titles:
                self.contacts.setdefault(self.find(contact), []).append(contact)
        return self.contacts.get(self.find(person), [])

    def living(self, person: str) -> list[str]:
        """Its contacts without deleted ones; who has no other is still who they were."""
        members = self.members(person)
        return [one for one in members if one not in self.deleted] or members

    def is_colleague(self, address: str) -> bool:
        return self.clean(address) in self.colleagues or self.clean(address).rpartition("@")[2] in self.domains

    def contact(self, contact: str, **more: Any) -> Party:
        addresses = [address for one in self.members(contact) for address in self.addresses[one]]
        return Party(self.find(contact), any(map(self.is_colleague, addresses)), **more)

    def address(self, address: str, **more: Any) -> Party:
        known = [other for one in self.members(self.clean(address)) for other in self.addresses[one]]
        return Party(self.find(self.clean(address)), any(map(self.is_colleague, [address, *known])), **more)

    def level(self, person: str) -> Level | None:
        """None: no title at all."""
        levels = [self.level_of(title) for contact in self.living(person) for title in self.titles[contact]]
        return max((level for level in levels if level is not None), default=None)

    def level_of(self, title: str) -> Level | None:
        key = " ".join(title.split()).casefold()
        return self.corrections[key] if key in self.corrections else level_of(title)

    def roles_on_deal(self, labels: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
        """The person of each contact on a deal: its labels there, and the roles of all contacts of that person."""
        found: dict[str, set[str]] = defaultdict(set)
        for contact, held in labels.items():
            if contact in self.titles and contact not in self.deleted:
                found[self.find(contact)].update(held, *(self.roles[one] for one in self.living(contact)))
        return found


def domains_of(addresses: Iterable[str]) -> set[str]:
    return {address.rpartition("@")[2] for address in addresses if "@" in address} - FREE_MAIL


# ---- Days


class Days:
    """Calendar days, or the working days of a country. Its calendar goes from 1990 to ten years after `today`."""

    calendars: dict[str, Any] = {}

    def __init__(self, today: date, country: str = "", business: bool = False) -> None:
        self.first, self.last = date(1990, 1, 1), date(today.year + 10, 12, 31)
        self.calendar = None
        if business:
            self.calendar = self.calendars.setdefault(country, holidays.country_holidays(country))
        self.working: dict[date, bool] = {}

    def counts(self, day: date) -> bool:
        if self.calendar is None or not self.first <= day <= self.last:
            return True
        if day not in self.working:
            self.calendar.get(day)  # loads the year, with its weekend days that are worked in exchange
            self.working[day] = self.calendar.is_working_day(day)
        return self.working[day]

    def after(self, start: date, days: int) -> date:
        """The first date on which `days` days have passed since `start`: they are counted in (start, date]."""
        if self.calendar is None:
            return start + timedelta(days)
        while days > 0:
            start += DAY
            days -= self.counts(start)
        return start

    def before(self, end: date, days: int) -> date:
        """The first date from which `end` is at most `days` days away: they are counted in (date, end]."""
        if self.calendar is None:
            return end - timedelta(days)
        while True:
            days -= self.counts(end)  # of (end - 1 day, end]
            if days < 0:
                return end
            end -= DAY


# ---- The rules


def settings_for(deal: Deal, draft: Draft, teams: Mapping[str, Collection[str]]) -> Rules:
    """The organisation's rules with what the first override says that is about the deal."""
    rules: Rules = draft["rules"]
    for override in draft["overrides"]:
        its_pipeline = not override["pipelines"] or deal.pipeline in override["pipelines"]
        its_team = not override["teams"] or any(deal.owner in teams.get(team, ()) for team in override["teams"])
        if its_pipeline and its_team:
            return {kind: {**said, **override["rules"].get(kind, {})} for kind, said in rules.items()}
    return rules


def judge(
    deal: Deal, people: People, rules: Rules, now: datetime, zone: ZoneInfo, days: Days, roles: Iterable[str]
) -> Verdicts:
    """Every enabled rule on one open deal. `roles`: those that the CRM offers; of any other nothing is said."""
    today = now.astimezone(zone).date()

    def day(at: datetime) -> date:
        return at.astimezone(zone).date()

    created = day(deal.created)
    begin = max(created, day(deal.reopened)) if deal.reopened else created  # "the latest of creation and reopening"
    interactions = [a for a in deal.activities if a.took_place and a.when <= now and not a.internal]
    found: Verdicts = {}

    def dated(since: date, floor: date = begin) -> Verdict:
        on = max(since, floor)
        return Verdict("fires" if on <= today else "clear", on)

    # no_activity: days since the latest of the last interaction, creation, reopening
    if (rule := rules["no_activity"])["enabled"]:
        last = max([begin, *(day(a.when) for a in interactions)])
        found["no_activity", ""] = dated(days.after(last, rule["days"]))

    # no_meeting: from the day after the last planned one ends; a call counts unless nobody answered
    if rules["no_meeting"]["enabled"]:
        planned = [a for a in deal.activities if a.planned and not nobody_comes(a)]
        ends = max((day(a.when) for a in planned), default=None)
        found["no_meeting", ""] = dated(ends + DAY if ends else begin)

    # single_contact: newest to oldest, while the same one person is engaged; equal times count as one
    if (rule := rules["single_contact"])["enabled"]:
        streak = [max(at, created) for at in map(day, streak_of(interactions))]
        if len(streak) >= rule["minimum"]:
            oldest, enough = streak[-1], streak[-rule["minimum"]]
            found["single_contact", ""] = dated(max(days.after(oldest, rule["days"]), enough))
        else:
            found["single_contact", ""] = Verdict("clear")

    # key_role: for each chosen role that some contact of the deal holds
    if (rule := rules["key_role"])["enabled"]:
        offered = set(map(plain_role, roles))
        for label, limit in rule["roles"].items():
            role = plain_role(label)
            if role not in offered:
                continue
            holders = {person for person, held in deal.roles.items() if role in map(plain_role, held)}
            talks = [day(a.when) for a in interactions if a.engaged & holders]
            seen = [day(deal.role_seen[role])] if role in deal.role_seen and not talks else []
            silent = dated(days.after(max([begin, *talks, *seen]), limit))
            found["key_role", role] = silent if holders else Verdict("unknown", reason="no_holder")

    # power_map: near the close date, over the life of the deal nobody of the level or higher was engaged
    if (rule := rules["power_map"])["enabled"]:
        engaged = {person for a in interactions for person in a.engaged}
        levels = [people.level(person) for person in engaged]
        untitled = bool(engaged) and all(level is None for level in levels)
        near = deal.close_date and days.before(deal.close_date, rule["days"])
        if any(level is not None and level >= rule["level"] for level in levels):
            verdict = Verdict("clear")
        elif not near:
            verdict = Verdict("unknown", reason="no_close_date")
        elif not untitled:
            verdict = dated(near)
        else:  # it would not fire when the date comes near, as nothing can be said then
            verdict = Verdict("clear") if near > today else Verdict("unknown", reason="no_titles")
        found["power_map", ""] = verdict

    # stuck_in_stage: a reopening is an entry too; without history since creation
    if (rule := rules["stuck_in_stage"])["enabled"]:
        entry = max([begin, *([day(deal.stage_entry)] if deal.stage_entry else [])])
        limit = rule["stages"].get(deal.stage, rule["days"])
        found["stuck_in_stage", ""] = dated(days.after(entry, limit))

    if rules["close_date_passed"]["enabled"]:
        passed = dated(deal.close_date + DAY) if deal.close_date else Verdict("unknown", reason="no_close_date")
        found["close_date_passed", ""] = passed

    if (rule := rules["amount_empty"])["enabled"]:
        since = deal.emptied if rule["zero"] else deal.missing
        empty = deal.amount is None or (rule["zero"] and deal.amount == 0)
        found["amount_empty", ""] = dated(day(since or deal.created)) if empty else Verdict("clear")

    if (rule := rules["deal_too_old"])["enabled"]:
        found["deal_too_old", ""] = dated(days.after(created, rule["days"]), floor=created)
    return found


def nobody_comes(activity: Activity) -> bool:
    """Every recorded invitee is a colleague or declined."""
    return bool(activity.parties) and all(party.colleague or party.declined for party in activity.parties)


def streak_of(interactions: Iterable[Activity]) -> list[datetime]:
    """The times, newest first, at which one and the same person alone was engaged since anybody else was."""
    engaged_at: dict[datetime, set[str]] = defaultdict(set)
    for activity in interactions:
        engaged_at[activity.when] |= activity.engaged
    streak: list[datetime] = []
    only: set[str] = set()
    for at in sorted(engaged_at, reverse=True):
        only |= engaged_at[at]
        if len(only) > 1:
            break
        if engaged_at[at]:
            streak.append(at)
    return streak


# ---- From records to facts


@dataclass
class Version:
    """A deal as it was read last, and what was seen to change before."""

    record: DealRecord
    stage_seen: datetime | None = None
    reopened: datetime | None = None
    emptied: datetime | None = None
    missing: datetime | None = None
    # Since when each contact of a holder is known to hold a role; None: since creation.
    held: dict[str, dict[str, datetime | None]] = field(default_factory=dict)

    def followed_by(self, new: DealRecord) -> "Version":
        old, at = self.record, new.updated_at
        if new.contacts is None:  # not read: who is on the deal stays
            new = replace(new, contacts=old.contacts)
        following = Version(new, self.stage_seen, self.reopened, self.emptied, self.missing, self.held)
        if (new.stage, new.pipeline) != (old.stage, old.pipeline):
            following.stage_seen = at
        if old.status != "open" and new.status == "open":
            following.reopened = at
        if new.amount:
            following.emptied = None
        elif old.amount:
            following.emptied = at
        if new.amount is not None:
            following.missing = None
        elif old.amount is not None:
            following.missing = at
        return following


@dataclass
class State:
    """Everything that the CRM has told so far; an older version never replaces a newer one."""

    organisation: Organisation
    colleagues: dict[str, ColleagueRecord] = field(default_factory=dict)
    contacts: dict[str, ContactRecord] = field(default_factory=dict)
    activities: dict[str, ActivityRecord] = field(default_factory=dict)
    no_activities: set[str] = field(default_factory=set)
    deals: dict[str, Version] = field(default_factory=dict)
    roles: list[str] = field(default_factory=list)
    domains: set[str] = field(default_factory=set)

    def read(self, at: datetime, batch: Batch) -> None:
        """Take in what was read at the moment `at`."""
        first = self.organisation.first_synced is None or at <= self.organisation.first_synced
        self.colleagues.update({record.external_id: record for record in batch.colleagues})
        if first or not self.domains:  # prefilled; after the first synchronisation the list is the admin's
            self.domains = domains_of(People.clean(c.email) for c in self.colleagues.values())
        offered = self.roles if batch.roles is None else [record.label for record in batch.roles]
        self.roles = offered + [record.label for record in batch.found_roles]
        for contact in batch.contacts:
            known = self.contacts.get(contact.external_id)
            if not known or known.updated_at <= contact.updated_at:
                self.contacts[contact.external_id] = contact
        for deal in batch.deals:
            version = self.deals.get(deal.external_id)
            if not version:
                self.deals[deal.external_id] = Version(deal)
            elif version.record.updated_at <= deal.updated_at:
                self.deals[deal.external_id] = version.followed_by(deal)
        for activity in batch.activities:
            stored = self.activities.get(activity.external_id)
            if not stored or stored.updated_at <= activity.updated_at:
                self.activities[activity.external_id] = activity
                self.no_activities.discard(activity.external_id)
        self.no_activities |= {one for one in batch.other_activities if one in self.activities}
        self._remember_holders(at, first)

    def _remember_holders(self, at: datetime, first: bool) -> None:
        """Since when a role is known: creation if it was there at the first sync, else the sync that first saw it."""
        people = self.people()
        for version in self.deals.values():
            before, version.held = version.held, {}
            for person, roles in people.roles_on_deal(self.labels(version)).items():
                members = people.members(person)
                for role in map(plain_role, roles):
                    known = before.get(role, {})
                    since = [known[one] for one in members if one in known] or [None if first else at]
                    earliest = None if None in since else min(s for s in since if s)
                    version.held.setdefault(role, {}).update(dict.fromkeys(members, earliest))

    @staticmethod
    def labels(version: Version) -> dict[str, list[str]]:
        """The contacts of a deal, with the labels that they have there."""
        found: dict[str, list[str]] = defaultdict(list)
        for one in version.record.contacts or ():
            found[one.contact] += one.roles
        return found

    def teams(self) -> dict[str, set[str]]:
        """The colleagues of each team, of the CRM's and of an admin's."""
        found = {name: set(members) for name, members in self.organisation.teams.items()}
        for colleague in self.colleagues.values():
            for team in colleague.teams:
                found.setdefault(team.external_id, set()).add(colleague.external_id)
        return found

    def people(self) -> People:
        addresses = [c.email for c in self.colleagues.values()] + sorted(self.organisation.members)
        own = self.organisation.own_domains
        people = People(addresses, self.domains if own is None else own, self.organisation.corrections)
        for c in self.contacts.values():
            people.add(c.external_id, c.emails, c.job_title, c.roles, c.deleted)
        return people

    def deal(self, version: Version, people: People, activities: Sequence[Activity]) -> Deal:
        record = version.record
        seen: dict[str, datetime] = {}
        for role, held in version.held.items():
            if None not in held.values():
                seen[role] = min(since for since in held.values() if since)
        deal = Deal(
            id=record.external_id,
            amount=record.amount,
            currency=record.currency,
            created=record.created_at,
            close_date=record.close_on,
            stage_entry=record.stage_entered_at or version.stage_seen,
            pipeline=record.pipeline,
            stage=record.stage,
            owner=record.owner,
            reopened=version.reopened,
            emptied=version.emptied,
            missing=version.missing,
            roles=people.roles_on_deal(self.labels(version)),
            role_seen=seen,
            activities=list(activities),
        )
        if record.mail_at:  # a mail that may not be read engages nobody
            deal.activities.append(Activity("email", record.mail_at, True, False, []))
        return deal

    def facts(self) -> Iterator[tuple[Deal, People]]:
        """The open deals. Who is who is the same for all of them."""
        people = self.people()
        linked: dict[str, list[Activity]] = defaultdict(list)
        for record in self.activities.values():
            if record.deleted or record.external_id in self.no_activities:
                continue
            activity = activity_of(record, people, self.organisation.zone)
            for id in dict.fromkeys(record.deals):
                linked[id].append(activity)
        for id, version in self.deals.items():
            deal = version.record
            if deal.status == "open" and not deal.archived and not deal.deleted:
                yield self.deal(version, people, linked[id]), people


def activity_of(record: ActivityRecord, people: People, zone: ZoneInfo) -> Activity:
    took_place = record.state == "held"
    states = {"meeting": ("planned", "held", "no_show"), "call": ("planned", "held")}.get(record.kind, ())
    when = record.at
    if when is None:  # all day: local midnight of its date, or of the day it was marked done if earlier
        assert record.on
        on = record.on
        if took_place and record.done_at:
            on = min(on, record.done_at.astimezone(zone).date())
        when = datetime.combine(on, time(), zone)
    elif not took_place and record.ends_at:
        when = max(record.ends_at, when)
    return Activity(record.kind, when, took_place, record.state in states, parties_of(record, people))


def parties_of(record: ActivityRecord, people: People) -> list[Party]:
    parties = [party_of(one, record.kind, people) for one in record.participants]
    if all(party.organiser and (party.colleague or record.kind == "meeting") for party in parties):
        return []  # a meeting that records only its organiser, or a call only the colleague who organised it
    if record.kind in ("email", "message") and all(
        one.part == "from" and party.colleague for one, party in zip(record.participants, parties, strict=True)
    ):
        return []  # an e-mail that records only its sender, a colleague
    return parties


def party_of(one: ParticipantRecord, kind: str, people: People) -> Party:
    invited = ("attendee", "organiser")
    direct = {"meeting": invited, "call": ("other", *invited)}.get(kind, ("to", "from", *invited))
    more: dict[str, Any] = {
        "engages": one.part in direct,
        "declined": one.declined,
        "organiser": one.part == "organiser",
    }
    if one.colleague:
        return Party(f"colleague {one.colleague}", True, **more)
    if not one.contact or (one.contact not in people.titles and one.address):
        return people.address(one.address, **more)
    party = people.contact(one.contact, **more)
    return replace(party, colleague=True) if one.address and people.is_colleague(one.address) else party


def evaluate(reads: Iterable[Read], organisation: Organisation, draft: Draft, now: datetime) -> dict[str, Verdicts]:
    """Every verdict on every open, watched deal, by `external_id`, after what was read up to now."""
    state = State(organisation)
    for at, batch in reads:
        state.read(at, batch)
    days = Days(now.astimezone(organisation.zone).date(), organisation.country, draft["business_days"])
    teams, found = state.teams(), {}
    for deal, people in state.facts():
        if draft["pipelines"] is None or deal.pipeline in draft["pipelines"]:
            rules = settings_for(deal, draft, teams)
            found[deal.id] = judge(deal, people, rules, now, organisation.zone, days, state.roles)
    return found
