"""Invents a pipeline: deals whose histories are written towards a plan, so that each alert fires on some of them and
just misses on others. Neutral: `pipedrive_data` and `hubspot_data` put it into the words of each CRM.

Days are local days counted from today (`clock.Days`); moments are epoch seconds.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from random import Random
from typing import Literal

from crm_sandbox import names
from crm_sandbox.clock import DAY, Days

Lang = Literal["fr", "en"]
# attempt: an unanswered call · internal: a meeting of colleagues · organiser: a meeting that records its organiser only
# task: a to-do without anybody
Kind = Literal["call", "email", "message", "meeting", "attempt", "internal", "organiser", "task"]
Outcome = Literal["", "cancelled", "no_show", "rescheduled", "declined"]
Vendor = Literal["pipedrive", "hubspot"]


@dataclass(slots=True)
class Company:
    number: int
    name: str
    lang: Lang
    domain: str
    city: str
    created: int
    people: list["Person"] = field(default_factory=list)


@dataclass(slots=True)
class Person:
    number: int
    first: str
    last: str
    lang: Lang
    email: str
    title: str
    level: str  # as in names.TITLES
    role: str  # one of names.ROLES, or none
    company: Company | None
    created: int


@dataclass(slots=True)
class Act:
    """An interaction, or what looks like one. `at` is when it takes place; `done` whether it did or is over."""

    kind: Kind
    at: int
    minutes: int
    done: bool
    logged: int
    people: list[Person] = field(default_factory=list)
    copied: list[Person] = field(default_factory=list)
    declined: list[Person] = field(default_factory=list)
    inbound: bool = False
    outcome: Outcome = ""
    all_day: bool = False
    flavour: int = 0


@dataclass(slots=True)
class Deal:
    number: int
    title: str
    lang: Lang
    company: Company | None
    people: list[Person]
    owner: int | None  # index into names.COLLEAGUES
    pipeline: int
    stage: int | None  # position in the pipeline; None: the CRM lost it
    created: int
    stage_since: int
    amount: int | None
    currency: str
    close: int | None  # days from today
    status: Literal["open", "won", "lost"] = "open"
    closed: int | None = None
    archived: bool = False
    deleted: bool = False
    acts: list[Act] = field(default_factory=list)
    primary: int = 0  # index into people


# What lies ahead of a deal. The first five clear `no_meeting`, "today" clears it until tomorrow, the others do not.
Ahead = Literal[
    "meeting", "call", "all_day", "organiser", "one_declined",
    "today", "yesterday", "nothing", "cancelled", "declined", "internal", "task", "overdue",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plan:
    """How an open deal shall look today. The defaults describe a deal without any alert."""

    age: int = 30  # days since creation
    last: int | None = 2  # days since the last interaction; None: there never was one
    solo: int | None = None  # days since the oldest interaction of the streak with a single person
    solo_count: int = 2  # interactions of that streak
    solo_trap: Literal["", "copied", "declined"] = ""  # a second person who was never engaged
    ahead: Ahead = "meeting"
    close: int | None = 40  # days until the close date
    level: Literal["senior", "junior", "untitled"] = "senior"  # the highest level among the engaged
    stage: int = 5  # days since the deal entered its stage
    amount: Literal["some", "zero", "missing"] = "some"
    silent: int | None = None  # days since the only interaction with the holder of a role
    bare: Literal["", "owner", "stage", "company", "people"] = ""  # what is missing from the deal


# Each limit of PRODUCT's rules, from just below to just above, and the traps. Placed first, so on every size.
EXHIBITS = [
    *(Plan(last=days) for days in (9, 10, 11)),
    Plan(last=None, age=9),
    Plan(last=None, age=10),
    *(Plan(last=1, solo=days) for days in (9, 10, 11)),
    Plan(last=10, solo=10, solo_count=1),
    Plan(last=1, solo=14, solo_count=3, solo_trap="copied"),
    Plan(last=2, solo=12, solo_trap="declined"),
    *(Plan(silent=days) for days in (11, 12, 13)),
    *(Plan(close=days, level="junior") for days in (9, 10, 11)),
    Plan(close=10),
    Plan(close=10, level="untitled"),
    Plan(close=9, last=None, age=5),
    *(Plan(stage=days) for days in (11, 12, 13)),
    *(Plan(age=days) for days in (49, 50, 51)),
    *(Plan(close=days) for days in (-1, 0, 1)),
    *(Plan(ahead=what) for what in ("today", "yesterday", "nothing", "cancelled", "declined", "internal")),
    *(Plan(ahead=what) for what in ("task", "overdue", "organiser", "one_declined", "all_day", "call")),
    *(Plan(amount=what) for what in ("zero", "missing")),
    *(Plan(bare=what) for what in ("owner", "stage", "company")),
    Plan(bare="people", last=None, age=4),
]


def healthy(rng: Random, days: Days) -> Plan:
    age = rng.randint(7, 47)
    senior = rng.random() < 0.6
    return Plan(
        age=age,
        last=workday(rng, days, 0, 8),
        ahead=rng.choices(("meeting", "call", "all_day", "organiser", "one_declined"), (70, 20, 4, 2, 4))[0],
        close=None if rng.random() < 0.06 else rng.randint(2 if senior else 14, 110),
        level="senior" if senior else "junior",
        stage=rng.randint(0, 10),
    )


def quiet(rng: Random, plan: Plan) -> Plan:
    if rng.random() < 0.08:
        return replace(plan, last=None, age=max(plan.age, rng.randint(10, 40)))
    last = rng.choice((10, 11, 12, 14, 15, 18, 21, 25, 30, 38))
    return replace(plan, last=last, age=max(plan.age, last + rng.randint(3, 30)))


def unplanned(rng: Random, plan: Plan) -> Plan:
    what: tuple[Ahead, ...] = ("nothing", "cancelled", "declined", "internal", "task", "overdue")
    return replace(plan, ahead=rng.choices(what, (60, 9, 6, 7, 10, 8))[0])


def solo(rng: Random, plan: Plan) -> Plan:
    if plan.last is None:
        return plan
    streak = max(plan.last + 1, rng.randint(10, 26))
    return replace(plan, solo=streak, solo_count=rng.randint(2, 4), age=max(plan.age, streak + rng.randint(0, 12)))


DEFECTS: dict[Callable[[Random, Plan], Plan], int] = {
    quiet: 20,
    unplanned: 30,
    solo: 14,
    lambda rng, plan: replace(plan, close=rng.randint(0, 10), level="junior"): 12,
    lambda rng, plan: replace(plan, stage=rng.choice((12, 13, 15, 18, 22, 30, 41))): 22,
    lambda rng, plan: replace(plan, age=rng.choice((50, 53, 58, 66, 75, 90, 120, 180, 260))): 18,
    lambda rng, plan: replace(plan, close=-rng.choice((1, 2, 3, 5, 8, 14, 30, 60))): 14,
    lambda rng, plan: replace(plan, amount=rng.choice(("zero", "missing"))): 10,
}


def any_plan(rng: Random, days: Days) -> Plan:
    """A plan with no, one or several defects: a good quarter of the deals has none."""
    plan = healthy(rng, days)
    count = rng.choices((0, 1, 2, 3, 4), (31, 33, 21, 11, 4))[0]
    for defect in rng.choices(list(DEFECTS), list(DEFECTS.values()), k=count):
        plan = defect(rng, plan)
    if plan.solo is not None and plan.last is not None:
        plan = replace(plan, solo=max(plan.solo, plan.last + 2))
    elif rng.random() < 0.1:
        plan = replace(plan, silent=max(rng.randint(9, 24), (plan.last or 0) + 1))
    return plan


def workday(rng: Random, days: Days, low: int, high: int, sign: int = -1) -> int:
    """A number of days between low and high, hardly ever on a weekend."""
    for _ in range(8):
        found = rng.randint(low, high)
        if not days.is_weekend(sign * found):
            break
    return found


class Story:
    """Invents companies, people and deals one after the other. The same for the same vendor, seed, size and now."""

    def __init__(self, vendor: Vendor, seed: int, size: int, now: int) -> None:
        self.vendor, self.size = vendor, size
        self.rng = Random(f"{vendor}/{seed}/{size}")
        self.days = Days(now)
        self.companies: list[Company] = []
        self.people_count = 0
        # Only kinds that tell who was there may decide: Pipedrive's API lets nobody read the mail.
        self.telling: tuple[Kind, ...] = ("call", "call", "meeting")
        if vendor == "hubspot":
            self.telling = ("call", "meeting", "email", "email", "message")

    def deals(self) -> Iterator[Deal]:
        rng = self.rng
        closed = self.size // 3
        order = [None] * closed + list(range(self.size - closed))
        rng.shuffle(order)
        for number, open_index in enumerate(order):
            if open_index is None:
                deal = self.closed_deal(number)
            elif open_index < len(EXHIBITS):
                deal = self.open_deal(number, EXHIBITS[open_index])
            else:
                deal = self.open_deal(number, any_plan(rng, self.days))
                self.spoil(deal, open_index - len(EXHIBITS))
            yield deal

    def spoil(self, deal: Deal, index: int) -> None:
        """Gives a few deals a messy title (four kinds, under 2 %), archives and deletes a few others."""
        each = max(1, self.size // 250)
        if index < 4 * each:
            deal.title = names.MESSY_TITLES[index % 4].format(deal.company.name if deal.company else "")
        elif index < 6 * each:
            deal.archived = True
        elif index < 7 * each:
            deal.deleted = True

    # Who

    def company(self) -> Company:
        rng = self.rng
        if self.companies and rng.random() < 0.35:
            return rng.choice(self.companies[-400:])
        lang: Lang = "fr" if rng.random() < 0.6 else "en"
        number = len(self.companies)
        name = rng.choice(names.COMPANY[lang]).format(rng.choice(names.LAST[lang]))
        if rng.random() < 0.25:
            name += f" {rng.choice(names.CITY[lang])}"
        created = self.days.midnight(-rng.randint(280, 900)) + rng.randint(8, 18) * 3600
        company = Company(number, name, lang, f"{slug(name)}-{number}.example", rng.choice(names.CITY[lang]), created)
        self.companies.append(company)
        return company

    def person(self, company: Company | None, level: str, created: int, role: str = "") -> Person:
        rng = self.rng
        lang: Lang = company.lang if company else "fr"
        sex = rng.choice("fm")
        first, last = rng.choice(names.FIRST[lang][sex]), rng.choice(names.LAST[lang])
        title = rng.choice(names.TITLES[level][lang])["fm".index(sex)]
        number = self.people_count
        self.people_count += 1
        domain = company.domain if company else f"orange-{number % 7}.example"
        email = f"{slug(first)}.{slug(last)}{number % 97 or ''}@{domain}"
        person = Person(number, first, last, lang, email, title, level, role, company, created)
        if company:
            company.people.append(person)
        return person

    # Deals

    def frame(self, number: int, company: Company | None, people: list[Person], created: int) -> Deal:
        """A deal without history."""
        rng = self.rng
        lang: Lang = company.lang if company else "fr"
        title = rng.choice(names.DEAL[lang]).format(
            company.name if company else rng.choice(names.LAST[lang]), rng.choice((3, 5, 8, 12, 15, 20, 24, 36, 40, 60))
        )
        pipeline = rng.choices((0, 1), (70, 30))[0]
        return Deal(
            number=number,
            title=title,
            lang=lang,
            company=company,
            people=people,
            owner=5 if rng.random() < 0.04 else rng.randrange(5),
            pipeline=pipeline,
            stage=rng.randrange(len(names.PIPELINES[pipeline][1])),
            created=created,
            stage_since=created,
            amount=min(900, max(1, int(rng.lognormvariate(4.3, 0.9)))) * 200,
            currency=rng.choices(("EUR", "GBP", "USD", "CHF"), (82, 7, 7, 4))[0],
            close=None,
        )

    def open_deal(self, number: int, plan: Plan) -> Deal:
        rng, days = self.rng, self.days
        # The oldest of a plan's dates decides: nothing that the plan asks for lies before the deal.
        age = max(plan.age, plan.last or 0, plan.stage, plan.solo or 0, plan.silent or 0)
        created = days.past(age, rng.random() * 0.2)
        company = None if plan.bare == "company" else self.company()
        people = [] if plan.bare == "people" else self.cast(company, plan, created)
        deal = self.frame(number, company, people, created)
        if plan.bare == "owner":
            deal.owner = None
        if plan.bare == "stage":
            deal.stage = None
        elif plan.stage < age:
            deal.stage = max(1, deal.stage or 0)
            deal.stage_since = max(created, days.past(plan.stage, rng.random()))
        else:
            deal.stage = 0
        deal.close = plan.close
        if plan.silent is not None and people:
            deal.primary = 2  # whose role is known must be a contact of the deal in both CRMs
        if plan.amount != "some":
            deal.amount = 0 if plan.amount == "zero" else None
        self.write_history(deal, plan, age)
        self.write_ahead(deal, plan)
        return deal

    def cast(self, company: Company | None, plan: Plan, created: int) -> list[Person]:
        """Two people who are engaged, one who holds a role, and at times a fourth who is not."""
        rng = self.rng
        level = {"senior": rng.choice("cvddd"), "junior": "n", "untitled": "-"}[plan.level]
        # "Engaged but untitled" next to a junior is common; only "untitled" plans have nobody with a title.
        other = "-" if plan.level == "untitled" else rng.choice("nnnn-")
        # Whoever starts the conversation in a solo deal is the one who decides on `power_map`.
        levels = [level, other] if plan.solo is not None or rng.random() < 0.5 else [other, level]
        people = []
        for index, own_level in enumerate(levels):
            # A silent role is silent only while nobody else has it.
            roles = names.ROLES if plan.silent is None else names.ROLES[2:]
            role = rng.choice(roles) if rng.random() < (0.4 if index == 0 else 0.2) else ""
            people.append(self.person(company, own_level, created - rng.randint(0, 60) * DAY, role))
        if plan.silent is not None:
            people.append(self.person(company, rng.choice("nn-"), created, rng.choice(names.ROLES[:2])))
        elif rng.random() < 0.4:
            # Never engaged, however high: in copy at most.
            people.append(self.person(company, rng.choice("cdn"), created))
        return people

    def write_history(self, deal: Deal, plan: Plan, age: int) -> None:
        rng = self.rng
        if plan.last is None or not deal.people:
            return
        first, second, *others = deal.people
        telling = self.telling
        # A deal with nothing ahead had nothing today: what took place today counts on its day.
        last = max(plan.last, 1) if plan.ahead not in ("meeting", "call", "all_day", "organiser") else plan.last
        if plan.solo is not None:
            span = sorted({last, plan.solo, *(rng.randint(last, plan.solo) for _ in range(plan.solo_count - 2))})
            for ago in span if plan.solo_count > 1 else [last]:
                act = self.past(deal, rng.choice(telling), ago, [first])
                if plan.solo_trap == "copied" and self.vendor == "hubspot":
                    act.kind, act.copied = "email", [second]
                elif plan.solo_trap == "declined":
                    act.kind, act.declined = "meeting", [second]
            if age > plan.solo:
                self.past(deal, rng.choice(telling), rng.randint(plan.solo + 1, age), [second])
            oldest = plan.solo
        elif rng.random() < 0.5 or last >= age:
            self.past(deal, "meeting", last, [first, second])
            oldest = last
        else:
            # Two people one after the other, the second within the last days too.
            oldest = min(age, last + rng.randint(1, 3))
            self.past(deal, rng.choice(telling), last, [first])
            self.past(deal, rng.choice(telling), oldest, [second])
        if plan.silent is not None and others:
            self.past(deal, rng.choice(telling), plan.silent, [others[0]])
            others = others[1:]
        self.fill(deal, oldest, last, age, others)

    def fill(self, deal: Deal, oldest: int, last: int, age: int, others: list[Person]) -> None:
        """Older interactions of every kind, and what looks like an interaction but is none."""
        rng = self.rng
        kinds: tuple[Kind, ...] = ("call", "meeting", "email", "email", "email", "message")
        if self.vendor == "pipedrive":
            kinds = ("call", "call", "meeting", "meeting", "task", "email")
        for _ in range(rng.choices((0, 1, 2, 3, 4), (6, 18, 36, 26, 14))[0]):
            if age <= oldest:
                break
            act = self.past(deal, rng.choice(kinds), workday(rng, self.days, oldest + 1, age), deal.people[:2][::-1])
            if act.kind == "email" and others:
                act.copied = others
            elif act.kind == "task":
                act.people = []
        if rng.random() < 0.35:
            self.past(deal, "attempt", rng.randint(min(1, last), last), deal.people[:1])
        if rng.random() < 0.08:
            self.past(deal, "internal", rng.randint(0, last), [])
        if rng.random() < 0.08 and last > 1:
            act = self.past(deal, "meeting", rng.randint(1, last - 1), deal.people[:1])
            act.outcome, act.done = rng.choice(("cancelled", "no_show", "rescheduled")), False

    def past(self, deal: Deal, kind: Kind, ago: int, people: list[Person]) -> Act:
        rng = self.rng
        minutes = rng.choice((30, 45, 60, 90)) if kind in ("meeting", "internal") else rng.choice((5, 10, 15, 25))
        at = self.days.past(ago, rng.random())
        if ago == 0:  # over before now
            at = max(self.days.midnight(0), min(at, self.days.now - minutes * 60 - 60))
            minutes = min(minutes, (self.days.now - at) // 60)
        logged = min(self.days.now, at + minutes * 60 + rng.randint(1, 240) * 60)
        if kind == "message":
            minutes = 0
        act = Act(kind, at, minutes, True, logged, people, inbound=rng.random() < 0.4, flavour=rng.randrange(1 << 16))
        deal.acts.append(act)
        return act

    def write_ahead(self, deal: Deal, plan: Plan) -> None:
        """What is planned, as the plan says."""
        rng, days, ahead = self.rng, self.days, plan.ahead
        if ahead == "nothing":
            return
        people = deal.people[: rng.choice((1, 2, 2))]
        if ahead in ("today", "yesterday", "overdue"):
            act = self.past(deal, "meeting", {"today": 0, "yesterday": 1, "overdue": 3}[ahead], people)
            if ahead == "overdue":
                act.done, act.outcome = False, "no_show"
            else:
                act.people = deal.people[:2]
            return
        kinds: dict[str, Kind] = {"call": "call", "internal": "internal", "organiser": "organiser", "task": "task"}
        at = days.ahead(workday(rng, days, 1, 21, sign=1), rng.random())
        act = Act(kinds.get(ahead, "meeting"), at, rng.choice((30, 45, 60)), False, 0, flavour=rng.randrange(1 << 16))
        act.logged = min(days.now - rng.randint(0, 3600), max(deal.created, days.now - rng.randint(0, 6) * DAY))
        act.all_day = ahead == "all_day"
        if ahead not in ("internal", "organiser", "task"):
            act.people = people
        if ahead == "cancelled":
            act.outcome = "cancelled"
        elif ahead == "declined":
            act.outcome, act.declined = "declined", people
        elif ahead == "one_declined" and len(deal.people) > 1:
            act.people, act.declined = deal.people[:1], deal.people[1:2]
        deal.acts.append(act)

    def closed_deal(self, number: int) -> Deal:
        """A won or lost deal: its history ends where it was closed."""
        rng, days = self.rng, self.days
        closed = rng.randint(1, 200)
        age = closed + rng.randint(8, 120)
        created = days.past(age, rng.random() * 0.2)
        company = self.company()
        people = company.people[-2:]
        if len(people) < 2:
            people = [*people, self.person(company, rng.choice("cdnn-"), created)]
        deal = self.frame(number, company, people, created)
        deal.status = "won" if rng.random() < 0.45 else "lost"
        deal.stage_since = deal.closed = days.past(closed, rng.random())
        deal.close = -closed
        kinds: tuple[Kind, ...] = ("call", "meeting", "email", "attempt")
        for _ in range(rng.randint(3, 7)):
            self.past(deal, rng.choice(kinds), rng.randint(closed, age), people[: rng.choice((1, 2))])
        if rng.random() < 0.03:
            deal.archived = True
        return deal


_ACCENTS = str.maketrans("àâäéèêëîïôöùûüçÀÂÉÈÊÎÔÇ", "aaaeeeeiioouuucAAEEEIOC")


@cache
def slug(text: str) -> str:
    plain = text.translate(_ACCENTS).lower()
    return "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in plain).split())
