"""Whole organisations for Hypothesis: people, deals, activities, what was read when, and their settings.

Hypothesis draws what an organisation is (zone, moment, settings, a seed); `Random(seed)` fills it with deals, because
500 of them are more choices than Hypothesis keeps. Dates cluster around the limits of the settings, and hours around
midnight. The same draw is the same organisation.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from deals.records import (
    ActivityRecord,
    Batch,
    ColleagueRecord,
    CompanyRecord,
    ContactRecord,
    DealContactRecord,
    DealRecord,
    ParticipantRecord,
    PipelineRecord,
    RoleRecord,
    StageRecord,
    TeamRecord,
)
from deals.seniority import Level
from tests.evaluator import Days, Draft, Organisation, Read

ZONES = ("Europe/Paris", "America/Los_Angeles", "Pacific/Auckland", "UTC", "Asia/Kolkata")
COUNTRIES = ("FR", "US", "NZ", "AE", "BD", "CN")  # other weekends, weekend days worked in exchange
# The days of "now": ordinary ones, ends of months and years, days of the clock change and some after it.
TODAYS = [
    *(date(2026, 11, 22), date(2026, 1, 1), date(2028, 2, 29), date(2026, 5, 11), date(2026, 8, 31)),
    *(date(2026, 3, 29), date(2026, 10, 25), date(2026, 4, 7), date(2026, 11, 4)),  # Paris
    *(date(2026, 3, 8), date(2026, 11, 1), date(2026, 4, 5), date(2026, 9, 27)),  # Los Angeles, Auckland
]
TITLES = (
    *("CEO", "Cofondatrice", "PDG", "Chief Revenue Officer", "Directeur général", "VP Sales", "Vice-Présidente Ventes"),
    *("SVP, Global Sales", "DGA", "Head of Sales", "Directrice Marketing", "Directeur·rice des achats", "DRH"),
    *("Assistante de direction", "Chef de projet", "Account Director", "Former CEO", "CSM", "Acheteur", "Engineer"),
    *("Directeur adjoint", "Assistant to the CEO", "Stagiaire auprès du DG", "Responsable logistique", "Comptable"),
)
PLAIN_TITLES = TITLES[13:]  # no office
# Spellings of one role each.
ROLES = {
    "Champion": ("Champion", "CHAMPION", "champion "),
    "Decision maker": ("Decision maker", "DECISION_MAKER", "Décision-maker"),
    "Économe": ("Économe", "econome", "ECONOME!"),
    "Legal": ("Legal", "LEGAL"),
}
DELETED_ROLE = "Legal"  # the CRM stops offering it
LIMITS = st.one_of(st.integers(2, 20), st.sampled_from([1, 10, 12, 30]))


@dataclass(frozen=True)
class Case:
    """An organisation, everything that was read of it, its settings in the CRM's words, and the moment to judge it."""

    seed: int
    organisation: Organisation
    reads: tuple[Read, ...] = field(repr=False)
    draft: Draft
    now: datetime

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # Hypothesis would print every record
        printer.text(repr(self))


# ---- What Hypothesis draws


@st.composite
def rules(draw: st.DrawFn, complete: bool = True) -> dict[str, dict[str, Any]]:
    """Settings of all rules, or what an override says of some."""

    def said(parameters: Mapping[str, st.SearchStrategy[Any]]) -> dict[str, Any]:
        names = ["enabled", *parameters]
        if not complete:
            names = draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True))
        enabled = st.sampled_from([True] * 9 + [False])
        return {name: draw(enabled if name == "enabled" else parameters[name]) for name in names}

    stages = st.dictionaries(st.sampled_from(STAGES), LIMITS, max_size=3)
    roles = st.dictionaries(st.sampled_from(sorted(ROLES)), LIMITS, min_size=1 if complete else 0, max_size=3)
    parameters: dict[str, dict[str, st.SearchStrategy[Any]]] = {
        "no_activity": {"days": LIMITS},
        "no_meeting": {},
        "single_contact": {"days": LIMITS, "minimum": st.sampled_from([1, 2, 2, 2, 3, 4])},
        "key_role": {"roles": roles},
        "power_map": {"level": st.sampled_from([1, 1, 2, 3]), "days": st.one_of(st.just(0), LIMITS)},
        "stuck_in_stage": {"days": LIMITS, "stages": stages},
        "close_date_passed": {},
        "amount_empty": {"zero": st.booleans()},
        "deal_too_old": {"days": st.one_of(st.just(50), LIMITS)},
    }
    kinds = list(parameters)
    if not complete:
        kinds = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=4, unique=True))
    return {kind: said(parameters[kind]) for kind in kinds}


PIPELINES = ("p1", "p2", "p3", "gone")
STAGES = tuple(f"{pipeline}-{n}" for pipeline in PIPELINES for n in range(1, 5))  # the last of each is a closed one
OWNERS = ("ann", "bob", "cy", "dee", "eve")
TEAMS = ("north", "south", "admins")  # the last is an admin's


@st.composite
def drafts(draw: st.DrawFn) -> dict[str, Any]:
    def some(names: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
        return st.lists(st.sampled_from(names), max_size=2, unique=True)

    def override(name: int) -> dict[str, Any]:
        pipelines, teams = draw(some(PIPELINES)), draw(some(TEAMS))
        return {
            "name": f"Override {name}",
            "pipelines": pipelines,
            "teams": teams or ([] if pipelines else ["north"]),
            "rules": draw(rules(complete=False)),
        }

    return {
        "rules": draw(rules()),
        "overrides": [override(n) for n in range(draw(st.integers(0, 4)))],
        "pipelines": draw(st.one_of(st.none(), st.just(["p1", "p2", "gone"]))),
        "business_days": draw(st.booleans()),
    }


@st.composite
def organisations(draw: st.DrawFn, deals: int, zone: str | None = None) -> Case:
    """One organisation with `deals` deals, some of them closed."""
    name = zone or draw(st.sampled_from(ZONES))
    today = draw(st.sampled_from(TODAYS))
    hours = st.sampled_from([time(0, 0), time(0, 20), time(2, 30), time(9, 0), time(14, 45), time(23, 59)])
    now = datetime.combine(today, draw(hours), ZoneInfo(name)).astimezone(UTC)
    corrections = draw(st.dictionaries(st.sampled_from(TITLES), st.sampled_from(Level), max_size=4))
    draft, seed = draw(drafts()), draw(st.integers(0, 2**32 - 1))
    return Filling(seed, ZoneInfo(name), draw(st.sampled_from(COUNTRIES)), now, draft, corrections, deals).case()


# ---- What the seed fills in


@dataclass
class Filling:
    seed: int
    zone: ZoneInfo
    country: str
    now: datetime
    draft: Draft
    corrections: Mapping[str, Level]
    size: int
    random: Random = field(init=False)
    pages: list[tuple[datetime, dict[str, list[Any]]]] = field(default_factory=list)
    times: dict[str, list[datetime]] = field(default_factory=dict)  # of the activities of each deal so far

    def __post_init__(self) -> None:
        self.random = Random(f"{self.seed} {self.zone.key}")
        self.today = self.now.astimezone(self.zone).date()
        self.days = Days(self.today, self.country, self.draft["business_days"])

    def case(self) -> Case:
        r = self.random
        first = r.choice([3, 12, 25, 40])  # days ago was the first synchronisation, in several pages
        begin = self.now - timedelta(first)
        self.first_synced = begin + timedelta(minutes=30)
        self.early = [begin + timedelta(minutes=5 * n) for n in range(4)]
        ago = sorted({a for a in (self.ago("no_activity") for _ in range(30)) if 0 < a < first}, reverse=True)[:5]
        self.late = sorted({self.first_synced + timedelta(minutes=5), *(self.moment(a) for a in ago), self.now})
        self.late = [at for at in self.late if self.first_synced < at <= self.now]
        self.pages = [(at, {}) for at in [*self.early, *self.late]]
        self.frame()
        self.people()
        self.deals()
        reads = tuple((at, Batch(**{kind: tuple(rows) for kind, rows in page.items()})) for at, page in self.pages)
        organisation = Organisation(
            self.zone,
            self.country,
            self.first_synced,
            frozenset({"user@vigie.example"}),
            frozenset({"vigie.example", "vigie.fr"}) if self.chance(0.7) else None,
            {"admins": frozenset({"ann", "eve"})},
            self.corrections,
        )
        return Case(self.seed, organisation, reads, self.draft, self.now)

    # ---- Chances and dates

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def limit(self, kind: str) -> int:
        """A limit that the settings name for the rule somewhere."""
        cases = [self.draft["rules"], *(override["rules"] for override in self.draft["overrides"])]
        found: list[int] = []
        for case in cases:
            said = case.get(kind, {})
            found += [said["days"]] if "days" in said else []
            found += [*said.get("roles", {}).values(), *said.get("stages", {}).values()]
        return self.random.choice(found or [10])

    def ago(self, kind: str) -> int:
        """Days ago: mostly around the limit of a rule."""
        r = self.random
        if self.chance(0.3):
            return r.choice([0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 90, 200, 400, 1000])
        start = self.days.before(self.today, self.limit(kind))
        return max(0, (self.today - start).days + r.choice([-2, -1, -1, 0, 0, 1, 1, 2, r.randrange(-15, 15)]))

    def moment(self, ago: int) -> datetime:
        """A moment on the local day so many days ago (negative: ahead), often near midnight; UTC."""
        r = self.random
        hour = r.choice(
            [time(0, 0), time(0, 0, 1), time(1, 30), time(2, 30), time(11, 0), time(18, 15), time(23, 59, 59)]
        )
        day = self.today - timedelta(ago)
        return (
            datetime.combine(
                day,
                hour,
                self.zone,
            )
            .replace(fold=r.randrange(2))
            .astimezone(UTC)
        )

    def past(self, ago: int) -> datetime:
        return min(self.moment(ago), self.now - timedelta(seconds=self.random.choice([0, 1, 60])))

    def put(self, kind: str, record: Any, page: int) -> None:
        self.pages[page][1].setdefault(kind, []).append(record)

    def early_page(self) -> int:
        return self.random.randrange(len(self.early))

    def page_after(self, at: datetime) -> int:
        """A page of the first synchronisation, or the first one that can tell what happened at a later moment."""
        if at <= self.early[0]:
            return self.early_page()
        return next((n for n, (read, _) in enumerate(self.pages) if read >= at), len(self.pages) - 1)

    def late_pages(self, most: int) -> list[int]:
        pages = range(len(self.early), len(self.pages))
        return sorted(self.random.sample(pages, min(most, len(pages))))

    # ---- Pipelines, colleagues, roles

    def frame(self) -> None:
        for n, ref in enumerate(PIPELINES):
            self.put("pipelines", PipelineRecord(ref, ref.title(), n), self.early_page())
        self.put("pipelines", PipelineRecord("gone", "Gone", 9, deleted=True), len(self.early))
        for ref in STAGES:
            pipeline, _, n = ref.rpartition("-")
            self.put("stages", StageRecord(ref, pipeline, ref.title(), int(n), closed=n == "4"), self.early_page())
        renamed = StageRecord("p1-1", "p1", "Renamed", 1)
        self.put("stages", renamed, len(self.pages) - 1)
        teams = {"ann": ("north",), "bob": ("south",), "cy": ("north", "south"), "dee": ("north",), "eve": ()}
        for n, ref in enumerate(OWNERS):
            groups = tuple(TeamRecord(team, team.title()) for team in teams[ref])
            address = f"{ref.title()}@vigie.example" if n else "ann@gmail.com"
            self.put("colleagues", ColleagueRecord(ref, ref.title(), address, ref != "dee", groups), self.early_page())
        moved = ColleagueRecord("dee", "Dee", "dee@vigie.example", False, (TeamRecord("south", "South"),))
        self.put("colleagues", moved, len(self.pages) - 1)
        self.put("roles", RoleRecord("Champion"), 0)
        for page in (0, len(self.pages) - 1):
            offered = [RoleRecord(self.random.choice(ROLES[label])) for label in ROLES]
            self.pages[page][1]["roles"] = offered
        if self.chance(0.3):
            self.pages[-1][1]["roles"] = [one for one in offered if one.label not in ROLES[DELETED_ROLE]]
        self.put("companies", CompanyRecord("acme", "Acme", self.early[0]), self.early_page())

    # ---- People

    def people(self) -> None:
        r = self.random
        self.contacts = [f"c{n}" for n in range(self.size)]
        self.addresses = [f"a{n}@customer{n % 7}.example" for n in range(self.size * 2)]
        self.strangers = [f"Stranger{n}+x@elsewhere.example" for n in range(self.size // 3 + 1)]
        self.titles: dict[str, str] = {}
        for n, ref in enumerate(self.contacts):
            title = "" if self.chance(0.55) else r.choice(PLAIN_TITLES if self.chance(0.5) else TITLES)
            emails = [self.addresses[2 * n + k] for k in range(r.choice([0, 1, 1, 1, 2]))]
            if self.chance(0.06):  # somebody else's too: the same person
                emails.append(r.choice(self.addresses))
            if self.chance(0.02):
                emails.append(r.choice(["someone@vigie.fr", "ann@gmail.com", "USER@vigie.example"]))
            emails += emails[:1] if self.chance(0.05) else []  # the same address twice
            emails = [self.misspelt(address) for address in emails]
            record = ContactRecord(
                external_id=ref,
                name=ref.title(),
                job_title=title,
                emails=tuple(emails),
                company=r.choice([None, "acme", "never-arrives"]),
                roles=self.labels(0.4),
                updated_at=self.early[0] - timedelta(r.randrange(1, 300)),
            )
            # Half of the first page's people arrive after the deals and activities that name them.
            self.put("contacts", record, self.early_page())
            for page in self.late_pages(r.choice([0, 0, 0, 0, 1, 2])):
                record = self.later(record, page)
                self.put("contacts", record, page)
        for _ in range(self.size // 60):  # merged: the other contact has its addresses from now on, and it is gone
            survivor, gone = r.sample(self.contacts, 2)
            [page] = self.late_pages(1)
            one, other = (self.newest("contacts", ref, page) for ref in (survivor, gone))
            if one.deleted or other.deleted:
                continue
            at = self.pages[page][0]
            both = tuple(dict.fromkeys([*one.emails, *other.emails]))
            for record in (replace(one, emails=both, updated_at=at), replace(other, deleted=True, updated_at=at)):
                self.forget("contacts", record.external_id, page)
                self.put("contacts", record, page)

    def newest(self, kind: str, ref: str, page: int) -> Any:
        """The last version that is read up to a page."""
        rows = [row for _, rows in self.pages[: page + 1] for row in rows.get(kind, ()) if row.external_id == ref]
        return rows[-1]

    def forget(self, kind: str, ref: str, page: int) -> None:
        """Nothing else is read of it from a page on."""
        for _, rows in self.pages[page:]:
            if kind in rows:
                rows[kind] = [row for row in rows[kind] if row.external_id != ref]

    def misspelt(self, address: str) -> str:
        return self.random.choice([address] * 8 + [address.upper(), f" {address} "])

    def labels(self, chance: float) -> tuple[str, ...]:
        if not self.chance(chance):
            return ()
        roles = self.random.sample(sorted(ROLES), self.random.choice([1, 1, 2]))
        return tuple(self.random.choice(ROLES[role]) for role in roles)

    def later(self, record: ContactRecord, page: int) -> ContactRecord:
        r = self.random
        change = r.choice(["title", "roles", "roles", "roles", "emails", "deleted", "nothing"])
        values: dict[str, Any] = {"updated_at": self.pages[page][0] - timedelta(minutes=r.randrange(4))}
        if change == "title":
            values["job_title"] = r.choice(["", *TITLES])
        elif change == "roles":
            values["roles"] = self.labels(0.6)
        elif change == "emails":
            values["emails"] = r.choice([record.emails[1:], (*record.emails, r.choice(self.addresses))])
        elif change == "deleted":
            values["deleted"] = not record.deleted
        return replace(record, **values)

    # ---- Deals

    def deals(self) -> None:
        stale: list[DealRecord] = []
        for n in range(self.size):
            ref = f"d{n}"
            record = self.deal(ref)
            self.put("deals", record, page := self.page_after(record.created_at))
            pages = [p for p in self.late_pages(self.random.choice([0, 0, 1, 1, 2, 3])) if p > page]
            people = [one.contact for one in record.contacts or ()]
            for later in pages:
                before, record = record, self.next_version(record, self.pages[later][0])
                people += [one.contact for one in record.contacts or ()]
                self.put("deals", record, later)
                if later < len(self.pages) - 1 and self.chance(0.05):  # an older version comes once more, too late
                    stale.append(before)
            self.history(ref, people)
        read = {record.external_id for record in self.pages[-1][1].get("deals", ())}
        for record in stale:
            if record.external_id not in read:
                self.put("deals", record, len(self.pages) - 1)

    def deal(self, ref: str) -> DealRecord:
        r = self.random
        created = self.past(self.ago("deal_too_old") if self.chance(0.5) else r.choice([20, 30, 60, 90, 400, 900]))
        created = self.moment(-3) if self.chance(0.01) else created
        created = datetime(1970, 1, 1, tzinfo=UTC) if self.chance(0.005) else created
        pipeline = r.choice(PIPELINES[:3]) if self.chance(0.95) else r.choice(["gone", None])
        return DealRecord(
            external_id=ref,
            title=ref,
            status="open" if self.chance(0.88) else r.choice(["won", "lost"]),
            amount=self.amount(),
            currency="EUR",
            pipeline=pipeline,
            stage=self.stage(pipeline),
            owner=r.choice([*OWNERS, *OWNERS, None, "never-arrives"]),
            company=r.choice([None, "acme"]),
            contacts=None if self.chance(0.03) else self.deal_contacts(),
            created_at=created,
            updated_at=min(max(created, self.early[0] - timedelta(1)), self.now),
            stage_entered_at=self.entered(created) if self.chance(0.6) else None,
            close_on=self.close_date(),
            mail_at=self.past(self.ago("no_activity")) if self.chance(0.08) else None,
            archived=self.chance(0.03),
            deleted=self.chance(0.03),
        )

    def entered(self, created: datetime) -> datetime:
        """After creation, but for a few whose creation has been edited."""
        at = self.past(self.ago("stuck_in_stage"))
        return at if self.chance(0.05) else max(at, created)

    def amount(self) -> Decimal | None:
        if self.chance(0.75):
            return Decimal(self.random.choice([1, 990, 25_000]))
        return self.random.choice([None, Decimal(0), Decimal("0.00")])

    def stage(self, pipeline: str | None) -> str | None:
        if pipeline is None or self.chance(0.03):
            return None
        return f"{pipeline}-{self.random.choice('1112223')}" if self.chance(0.97) else "never-arrives"

    def close_date(self) -> date | None:
        r = self.random
        if self.chance(0.1):
            return None
        if self.chance(0.02):
            return r.choice([date(1970, 1, 1), date(2099, 12, 31)])
        if self.chance(0.4):
            return self.today + timedelta(r.choice([-40, -9, -2, -1, -1, 0, 0, 1, 3]))
        limit = self.limit("power_map")
        return self.days.after(self.today, limit) + timedelta(r.choice([-2, -1, 0, 0, 1, 1, 2, r.randrange(60)]))

    def deal_contacts(self) -> tuple[DealContactRecord, ...]:
        refs = self.random.sample(self.contacts, self.random.choice([0, 1, 2, 2, 3]))
        refs += ["never-arrives"] if self.chance(0.02) else []
        return tuple(DealContactRecord(ref, n == 0, self.labels(0.3)) for n, ref in enumerate(refs))

    def next_version(self, record: DealRecord, read: datetime) -> DealRecord:
        r = self.random
        at = max(record.updated_at, read - timedelta(minutes=r.choice([0, 1, 90])))
        values: dict[str, Any] = {"updated_at": at}
        if record.status != "open":
            values["status"] = "open" if self.chance(0.8) else record.status
        change = r.choice(
            ["stage", "stage", "pipeline", "amount", "amount", "status", "contacts", "roles", "close", "flags"]
        )
        if change in ("stage", "pipeline"):
            pipeline = r.choice(PIPELINES[:3]) if change == "pipeline" else record.pipeline
            values |= {"pipeline": pipeline, "stage": self.stage(pipeline)}
            if record.stage_entered_at and values["stage"] != record.stage:
                values["stage_entered_at"] = at
        elif change == "amount":
            values["amount"] = r.choice([None, None, Decimal(0), Decimal(5)])
        elif change == "status" and record.status == "open":
            values["status"] = r.choice(["won", "lost"])
        elif change == "contacts":
            values["contacts"] = r.choice([None, self.deal_contacts()])
        elif change == "roles" and record.contacts:
            values["contacts"] = tuple(replace(one, roles=self.labels(0.6)) for one in record.contacts)
        elif change == "close":
            values |= {"close_on": self.close_date(), "owner": r.choice(OWNERS)}
        elif change == "flags":
            values |= {"archived": self.chance(0.2), "deleted": self.chance(0.1)}
            values["mail_at"] = max(record.mail_at, at) if record.mail_at else None
            values["created_at"] = record.created_at + timedelta(r.choice([0, 0, -40, 1]))  # edited
        return replace(record, **values)

    # ---- Activities

    def history(self, deal: str, people: list[str]) -> None:
        r = self.random
        people = [one for one in people if one in self.contacts] or r.sample(self.contacts, 2)
        if self.chance(0.5):  # always the same one
            people = people[:1]
        for n in range(r.choice([0, 1, 2, 2, 3, 4, 6])):
            record = self.activity(f"{deal}/{n}", deal, people)
            self.put("activities", record, page := self.page_of(record))
            for later in self.late_pages(r.choice([0, 0, 0, 0, 1, 2])):
                if later > page:
                    record = self.changed(record, deal, people, self.pages[later][0])
                    self.put("activities", record, later)
            if self.chance(0.01):
                self.put("other_activities", record.external_id, len(self.pages) - 1)

    def page_of(self, record: ActivityRecord) -> int:
        """Most are read after they happened; some long after, or when they still lie ahead."""
        if self.chance(0.2):
            return self.late_pages(1)[0]
        return self.page_after(record.at or self.now) if record.state != "planned" else self.early_page()

    def when(self, deal: str) -> datetime:
        r = self.random
        known = self.times.setdefault(deal, [])
        if known and self.chance(0.12):
            return r.choice(known)
        if self.chance(0.01):
            at = r.choice([datetime(1970, 1, 1, tzinfo=UTC), datetime(2099, 6, 1, tzinfo=UTC)])
        else:
            at = self.moment(self.ago(r.choice(["no_activity", "single_contact", "key_role"])))
        known.append(at)
        return at

    def activity(self, ref: str, deal: str, people: list[str]) -> ActivityRecord:
        r = self.random
        kind = r.choice(["call", "email", "email", "email", "message", "meeting", "meeting"])
        values: dict[str, Any] = {"at": self.when(deal), "state": "held"}
        if kind in ("meeting", "call") and self.chance(0.45):  # lies ahead, or was planned
            ahead = self.moment(r.choice([-9, -3, -2, -1, 0, 0, 1, 1, 2, 5]))
            values = {"at": ahead, "state": r.choice(["planned", "planned", "held"])}
        if self.chance(0.15):
            others = {
                "call": ["attempt", "cancelled", "planned"],
                "meeting": ["cancelled", "no_show", "rescheduled"],
            }.get(kind, ["draft", "bounced"])
            values["state"] = r.choice(others)
        if kind == "meeting":
            hours = timedelta(hours=r.choice([0, 1, 1, 3, 14, -2]))  # some end before they start
            values |= {"starts_at": values["at"] - hours, "ends_at": values["at"]}
        if kind in ("meeting", "call") and self.chance(0.15):  # all day, or marked done before its end
            day = values["at"].astimezone(self.zone).date()
            done = self.past(self.ago("no_activity")) if values["state"] == "held" and self.chance(0.6) else None
            values |= {"at": None, "on": day, "starts_at": None, "ends_at": None, "done_at": done}
        links = [deal]
        if self.chance(0.08):
            links.append(r.choice([f"d{r.randrange(self.size)}", "never-arrives", deal]))
        if self.chance(0.02):
            links = []
        return ActivityRecord(
            external_id=ref,
            kind=kind,
            subject=kind,
            updated_at=self.early[0] - timedelta(1),
            owner=r.choice(OWNERS),
            deals=tuple(links),
            participants=self.participants(kind, people),
            deleted=self.chance(0.03),
            **values,
        )

    def participants(self, kind: str, people: list[str]) -> tuple[ParticipantRecord, ...]:
        r = self.random
        parts = {"meeting": ["attendee"], "call": ["other"]}.get(kind, ["to", "to", "to", "cc", "bcc"])
        found = []
        for _ in range(r.choice([0, 1, 1, 1, 1, 2, 3])):
            part = r.choice(parts)
            declined = kind == "meeting" and self.chance(0.15)
            who: dict[str, Any] = {"contact": r.choice(people)}
            if self.chance(0.12):
                who = r.choice(
                    [
                        {"address": self.misspelt(r.choice(self.strangers))},
                        {"address": self.misspelt(r.choice(self.addresses))},
                        {"address": "colleague@vigie.fr"},
                        {"colleague": r.choice(OWNERS)},
                        {"contact": r.choice(self.contacts)},
                    ]
                )
            found.append(ParticipantRecord(part, declined=declined, **who))
        sender = {"meeting": "organiser", "call": "organiser", "email": "from", "message": "from"}.get(kind)
        if sender and self.chance(0.4):
            who = r.choice([{"colleague": "ann"}, {"colleague": "bob"}, {"contact": people[0]}])
            found.append(ParticipantRecord(sender, **who))  # type: ignore[arg-type]
        r.shuffle(found)
        return tuple(found)

    def changed(self, record: ActivityRecord, deal: str, people: list[str], read: datetime) -> ActivityRecord:
        r = self.random
        new = self.activity(record.external_id, deal, people)
        new = new if new.kind == record.kind else record
        change = r.choice(["all", "participants", "deleted", "nothing"])
        if change == "participants":
            new = replace(record, participants=self.participants(record.kind, people))
        elif change == "deleted":
            new = replace(record, deleted=not record.deleted)
        elif change == "nothing":
            new = record
        return replace(new, updated_at=read)
