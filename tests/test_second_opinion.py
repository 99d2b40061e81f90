"""The product against a second opinion that shares no code with it, deal by deal, rule by rule, date by date."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db.models import F
from django.test import override_settings

from accounts.models import Organisation
from accounts.tenancy import tenant
from alerts import engine
from alerts import settings as alert_settings
from alerts.models import Alert
from crm_sandbox.pipedrive_data import ROLE_FIELD, TITLE_FIELD
from crm_sync import details, sync
from crm_sync.models import Connection, SyncRun
from deals.clock import Clock
from deals.models import Deal, Role
from tests import second_opinion
from tests.sandbox import Sandbox

TOKENS = {"pipedrive": "sandbox-pipedrive-token", "hubspot": "sandbox-hubspot-token"}
ROLES = {"Champion": 9, "Decision maker": 12}
Facts = tuple[list[second_opinion.Deal], second_opinion.People]
Alerts = dict[str, dict[str, date]]  # {deal: {kind or "key_role:role": holds since}}


@contextmanager
def sandbox_around(now: datetime, folder: Path, seed: int, deals: int = 150) -> Iterator[Sandbox]:
    with (
        Sandbox.run(folder, "--seed", str(seed), "--now", now.isoformat(), deals=deals) as sandbox,
        override_settings(PIPEDRIVE_API_URL=f"{sandbox.url}/pipedrive", HUBSPOT_API_URL=f"{sandbox.url}/hubspot"),
    ):
        yield sandbox


def connect(provider: str, zone: str) -> Connection:
    """An organisation with two key roles, synchronised for the first time."""
    organisation = Organisation.objects.create(name="Test", time_zone=zone)
    with tenant(organisation):
        connection = sync.connect(organisation, provider, TOKENS[provider])
        if provider == "pipedrive":
            sync.save_fields(connection, ROLE_FIELD, TITLE_FIELD)
    sync.pull(connection)
    details.read_all(connection)
    with tenant(organisation):
        keys = {second_opinion.plain_role(role.label): role.key for role in Role.objects.all()}
        roles = {keys[second_opinion.plain_role(label)]: days for label, days in ROLES.items()}
        settings = alert_settings.current(organisation)
        rules = settings.rules | {"key_role": {**settings.rules["key_role"], "roles": roles}}
        alert_settings.save(organisation, {"rules": rules}, None, Clock.of(organisation), based_on=settings.version)
    return connection


def pull_an_hour_later(connection: Connection) -> None:
    """Archived and deleted deals cost Pipedrive's budget dearly and are asked for once an hour."""
    with tenant(connection.organisation_id):
        SyncRun.objects.update(until=F("until") - timedelta(hours=1))
    sync.pull(connection)
    details.read_all(connection)


def ours(organisation: Organisation, now: datetime) -> Alerts:
    with tenant(organisation):
        engine.evaluate(organisation, Deal.objects.filter(organisation=organisation), Clock.of(organisation, now))
        labels = dict(Role.objects.values_list("key", "label"))
        wanted = {second_opinion.plain_role(label): label for label in ROLES}
        found: Alerts = {id: {} for id in Deal.objects.open().values_list("external_id", flat=True)}
        for alert in Alert.objects.filter(resolved_at=None).select_related("deal"):
            role = labels.get(alert.subject)
            kind = f"{alert.kind}:{wanted[second_opinion.plain_role(role)]}" if role else alert.kind
            found[alert.deal.external_id][kind] = alert.holds_since
    return found


class Memory:
    """What Vigie saw happen and the CRM does not tell afterwards."""

    def __init__(self) -> None:
        self.first = True
        self.reopened: dict[str, datetime] = {}  # by deal
        self.emptied: dict[str, datetime] = {}
        self.holders: dict[tuple[str, str], set[str]] = {}  # by deal and role
        self.role_seen: dict[tuple[str, str], datetime] = {}

    def remember(self, deals: list[second_opinion.Deal], people: second_opinion.People, now: datetime) -> None:
        for deal in deals:
            deal.reopened = self.reopened.get(deal.id, deal.reopened)
            deal.emptied = self.emptied.get(deal.id, deal.emptied)
            for role in ROLES:
                key, plain = (deal.id, role), second_opinion.plain_role(role)
                persons = [p for p, held in deal.roles.items() if plain in map(second_opinion.plain_role, held)]
                holders = {contact for person in persons for contact in people.members(person)}
                if not self.first and not holders & self.holders.get(key, set()):
                    self.role_seen[key] = now
                self.holders[key] = holders
                if key in self.role_seen:
                    deal.role_seen[plain] = self.role_seen[key]
        self.first = False


def facts(url: str, organisation: Organisation, provider: str, now: datetime, memory: Memory) -> Facts:
    if provider == "pipedrive":
        deals, people = second_opinion.pipedrive(
            f"{url}/pipedrive",
            TOKENS[provider],
            ZoneInfo(organisation.time_zone),
            role_field=ROLE_FIELD,
            title_field=TITLE_FIELD,
        )
    else:
        deals, people = second_opinion.hubspot(f"{url}/hubspot", TOKENS[provider])
    memory.remember(deals, people, now)
    return deals, people


def judged(found: Facts, organisation: Organisation, now: datetime) -> Alerts:
    deals, people = found
    zone = ZoneInfo(organisation.time_zone)
    return {deal.id: second_opinion.alerts(deal, people, now, zone, ROLES) for deal in deals}


def theirs(url: str, organisation: Organisation, provider: str, now: datetime, memory: Memory) -> Alerts:
    return judged(facts(url, organisation, provider, now, memory), organisation, now)


def differences(ours: Alerts, theirs: Alerts) -> list[tuple[str, str, Any, Any]]:
    """(deal, alert, our date, their date); a deal that one of them does not have is an alert named "open"."""
    found: list[tuple[str, str, Any, Any]] = [
        (id, "open", id in ours, id in theirs) for id in ours.keys() ^ theirs.keys()
    ]
    for id in ours.keys() & theirs.keys():
        kinds = ours[id].keys() | theirs[id].keys()
        found += [(id, kind, ours[id].get(kind), theirs[id].get(kind)) for kind in kinds]
    return sorted(one for one in found if one[2] != one[3])


class Day:
    """What people do in their CRM between two synchronisations."""

    def __init__(self, sandbox: Sandbox, provider: str, alerts: Alerts, now: datetime) -> None:
        self.sandbox, self.provider, self.now = sandbox, provider, now
        self.free = dict(sorted(alerts.items()))
        raw = sandbox.raw(provider)
        people = "persons" if provider == "pipedrive" else "contacts"
        self.people: dict[str, list[int]] = {}
        for link in raw["links"]:
            if (link["from"], link["to"]) == ("deals", people):
                for deal, person, *_ in link["pairs"]:
                    self.people.setdefault(str(deal), []).append(person)
        self.rows = {str(row["id"]): row for row in raw["tables"]["deals"]}

    def deal(self, having: str = "", without: str = "") -> str:
        """An open deal with people, to which nothing was done so far, with one alert and without another."""
        for id, alerts in self.free.items():
            if self.people.get(id) and (not having or having in alerts) and without not in alerts:
                del self.free[id]
                return id
        raise AssertionError(f"no deal with {having}, without {without}")

    def change(self, deal: str, **values: Any) -> str:
        self.sandbox.change(self.provider, "deals", deal, values)
        return deal

    def log(self, deal: str, kind: str, hours: float, **more: Any) -> str:
        """`hours` from now; the first contact of the deal takes part. Returns the activity's id."""
        who = [{"contact": self.people[deal][0]}]
        at = (self.now + timedelta(hours=hours)).isoformat()
        return str(
            self.sandbox.log(
                self.provider, {"kind": kind, "deals": [int(deal)], "participants": who, "time": at, **more}
            )["id"]
        )

    def cancel(self, activity: str) -> None:
        if self.provider == "pipedrive":
            self.sandbox._control("DELETE", f"pipedrive/activities/{activity}")
        else:
            self.sandbox.change("hubspot", "activities", activity, {"hs_meeting_outcome": "CANCELED"})

    def anything(self, random: Random, times: int) -> None:
        """Activities of every sort and changed people, at random on the deals that are left."""
        raw = self.sandbox.raw(self.provider)
        pipedrive = self.provider == "pipedrive"
        users = [{"colleague": user["id"]} for user in raw["fixed"]["users" if pipedrive else "owners"]]
        domain = raw["fixed"]["users" if pipedrive else "owners"][0]["email"].partition("@")[2]
        strangers = [
            {"email": "Lea+x@stranger.example"},
            {"email": f"bot@{domain}"},
            {"email": "sam@elsewhere.example"},
        ]
        outcomes = ["cancelled", "no_show", "rescheduled", "no_answer", "voicemail", "busy", "declined", "bounced"]
        deals = sorted(id for id in self.free if self.people.get(id))
        for _ in range(times):
            deal = random.choice(deals)
            everybody = [{"contact": id} for id in self.people[deal] + self.people[random.choice(deals)]] + users[:2]
            kind = random.choice(["call", "meeting", "meeting", "message"] + ["email"] * 3)
            if kind != "call" and not (pipedrive and kind == "message"):
                everybody += strangers if kind == "email" or pipedrive else []
            who = random.sample(everybody, random.choice([0, 1, 1, 1, 2, 3]))
            copied = random.sample(everybody, random.choice([0, 0, 1]))
            # Few different times, on both sides of midnight in many zones, so that some are equal.
            hours = random.choice([-24 * 30, -24 * 13, -24 * 6, -49, -26, 3, 30, 24 * 8]) + random.randrange(0, 24, 3)
            more: dict[str, Any] = {"participants": who, "cc": copied, "minutes": random.choice([15, 90, 600])}
            if random.random() < 0.3:
                more["outcome"] = random.choice(outcomes)
            if kind == "email":
                hours = min(hours, -1)
                more |= {"from": random.choice(everybody)} if random.random() < 0.7 else {}
            elif pipedrive:
                more["all_day"] = random.random() < 0.2
                for one in who:
                    one |= {"status": random.choice(["accepted", "declined", "noreply"]), "organiser": one in users}
            if pipedrive and hours < 0 and random.random() < 0.3:
                more["done_at"] = (self.now + timedelta(hours=hours - random.choice([1, 20]))).isoformat()
            if hours < 0 and random.random() < 0.1:
                more["planned"] = True
            self.log(deal, kind, hours, **more)
        for _ in range(times // 10):
            one, other = (random.choice(self.people[random.choice(deals)]) for _ in range(2))
            titles = ["", "CEO", "Head of Sales", "Assistante de direction"]
            change = random.choice(
                [{"role": None}, {"role": "Champion"}, {"role": "Decision maker"}] * 2
                + [
                    {"job_title": random.choice(titles)},
                    {"email": f"shared{other % 7}@customer.example"},
                    {"email": None},
                ]
            )
            self.sandbox.change(self.provider, "contacts", str(one), dict(change))

    def stage_other_than(self, deal: str) -> Any:
        fields = self.rows[deal]["fields"]
        if self.provider == "pipedrive":
            return {"stage_id": 2 if fields["stage_id"] != 2 else 3, "pipeline_id": 1}
        other = "qualifiedtobuy" if fields["dealstage"] != "qualifiedtobuy" else "contractsent"
        return {"dealstage": other, "pipeline": "default"}


@pytest.mark.parametrize(
    ("seed", "zones"),
    [
        (1, {"pipedrive": "Europe/Paris", "hubspot": "America/Los_Angeles"}),
        (2, {"pipedrive": "America/Los_Angeles", "hubspot": "Europe/Paris"}),
        (3, {"pipedrive": "Pacific/Auckland", "hubspot": "Asia/Kolkata"}),
    ],
)
def test_a_second_opinion_agrees_before_and_after_changes(
    transactional_db: None, tmp_path: Path, seed: int, zones: dict[str, str]
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    with sandbox_around(now, tmp_path, seed) as sandbox:
        for provider, zone in zones.items():
            connection = connect(provider, zone)
            organisation = connection.organisation
            memory = Memory()
            before = ours(organisation, now)
            assert differences(before, theirs(sandbox.url, organisation, provider, now, memory)) == []
            assert len(before) >= 80
            assert len({kind for alerts in before.values() for kind in alerts}) >= 8

            day = Day(sandbox, provider, before, now)
            # The rarest first, as each deal is taken once.
            postponed, valued = day.deal("close_date_passed"), day.deal("amount_empty")
            called, moved = day.deal("no_activity"), day.deal("stuck_in_stage")
            met, cancelled = day.deal("no_meeting"), day.deal("no_meeting")
            overdue, emptied = day.deal(without="close_date_passed"), day.deal(without="amount_empty")
            won, lost, archived, deleted = (day.deal() for _ in range(4))
            day.log(called, "call", -1)
            day.change(moved, **day.stage_other_than(moved))
            day.log(met, "meeting", 50)
            day.cancel(day.log(cancelled, "meeting", 50))
            day.change(won, status="won")
            day.change(lost, status="lost")
            day.change(archived, archived=True)
            day.change(deleted, deleted=True)
            day.change(valued, amount=1200)
            memory.emptied[day.change(emptied, amount=None)] = datetime.now(UTC)
            day.change(postponed, close_date=(now + timedelta(30)).date().isoformat())
            day.change(overdue, close_date=(now - timedelta(3)).date().isoformat())
            pull_an_hour_later(connection)
            later = datetime.now(UTC)
            after = ours(organisation, later)
            assert differences(after, theirs(sandbox.url, organisation, provider, later, memory)) == []
            assert not {won, lost, archived, deleted} & after.keys()
            assert "no_activity" not in after[called]
            assert "stuck_in_stage" not in after[moved]
            assert "no_meeting" not in after[met]
            assert "no_meeting" in after[cancelled]
            assert after.keys() == before.keys() - {won, lost, archived, deleted}
            assert "amount_empty" not in after[valued]
            assert after[emptied]["amount_empty"] == memory.emptied[emptied].astimezone(ZoneInfo(zone)).date()
            assert "close_date_passed" not in after[postponed]
            assert "close_date_passed" in after[overdue]

            day.anything(Random(seed), 150)
            memory.reopened[day.change(lost, status="open")] = datetime.now(UTC)
            pull_an_hour_later(connection)
            read = facts(sandbox.url, organisation, provider, datetime.now(UTC), memory)
            for days in (0, 6, 25):  # nothing more is written at the CRM; time passes
                later = datetime.now(UTC) + timedelta(days)
                found = ours(organisation, later)
                assert lost in found
                assert differences(found, judged(read, organisation, later)) == [], days
