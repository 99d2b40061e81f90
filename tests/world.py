"""A small organisation with its CRM's records, written and judged by the real code against the real database."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Organisation
from accounts.tenancy import tenant
from alerts import engine
from alerts import settings as alert_settings
from alerts.models import Alert
from deals.clock import Clock
from deals.models import Deal, Source
from deals.records import (
    ActivityRecord,
    Batch,
    ColleagueRecord,
    ContactRecord,
    DealContactRecord,
    DealRecord,
    ParticipantRecord,
    PipelineRecord,
    RoleRecord,
    StageRecord,
)
from deals.upsert import upsert

NOON = datetime(2026, 11, 22, 11, tzinfo=UTC)  # noon in Paris


WRITTEN = (
    *("deals_deal", "deals_activity", "deals_dealactivity", "deals_participant", "deals_contact", "deals_dealcontact"),
    *("deals_person", "deals_personaddress", "deals_dealperson", "deals_fieldchange"),
)
# Records from which statistics are made anew. Autovacuum may have found the tables empty between two tests, and foreign
# keys to an empty table are checked by reading all of it, for as long as the session lasts: minutes for so many.
MANY = 1_000


class World:
    """`today` is NOON's day in Paris unless a zone or time is given; days are counted back from it."""

    def __init__(self, now: datetime = NOON, zone: str = "Europe/Paris") -> None:
        self.organisation = Organisation.objects.create(name="Test", time_zone=zone)
        self.clock = Clock(now, ZoneInfo(zone))
        self.numbers = count(1)
        with tenant(self.organisation):
            self.source = Source.objects.create(
                organisation=self.organisation, provider="hubspot", account_id="1", currency="EUR"
            )
            self.write(
                colleagues=[ColleagueRecord("me", "Moi", "me@vigie.example", True)],
                pipelines=[PipelineRecord("p", "Sales", 1)],
                stages=[StageRecord("s1", "p", "Demo", 1), StageRecord("s2", "p", "Offer", 2)],
                roles=[RoleRecord("Champion"), RoleRecord("Decision maker")],
            )

    def first_synced(self) -> None:
        """The first synchronisation is over: from here on, a role that appears is known since then."""
        self.source.first_synced_at = self.clock.now
        with tenant(self.organisation):
            self.source.save(update_fields=["first_synced_at"])

    @contextmanager
    def inside(self) -> Iterator[None]:
        with tenant(self.organisation):
            yield

    def at(self, days_ago: float, hour: int = 12) -> datetime:
        """A moment `days_ago` local days before today, at a local hour, in UTC."""
        day = self.clock.today - timedelta(days=days_ago)
        return datetime(day.year, day.month, day.day, hour, tzinfo=self.clock.zone).astimezone(UTC)

    def day(self, days_ago: int) -> date:
        return self.clock.today - timedelta(days=days_ago)

    def write(self, **batch: Any) -> set[int]:
        with tenant(self.organisation):
            touched = upsert(self.source, Batch(**batch), self.clock)
            if sum(map(len, batch.values())) >= MANY and connection.pg_version >= 170000:
                with connection.cursor() as cursor:
                    cursor.execute(f"ANALYZE {', '.join(WRITTEN)}")
            return touched

    def deal(self, ref: str = "d", **fields: Any) -> DealRecord:
        """A deal without any alert by itself: created 5 days ago, with amount, a far close date, in its stage since."""
        values: dict[str, Any] = {
            "title": "Deal",
            "status": "open",
            "amount": Decimal(1000),
            "currency": "EUR",
            "pipeline": "p",
            "stage": "s1",
            "owner": "me",
            "company": None,
            "contacts": (),
            "created_at": self.at(5),
            "updated_at": self.at(5),
            "close_on": self.day(-90),
            **fields,
        }
        values.setdefault("stage_entered_at", values["created_at"])
        record = DealRecord(external_id=ref, **values)
        self.write(deals=[record])
        return record

    def contact(self, ref: str, title: str = "", roles: tuple[str, ...] = (), **fields: Any) -> ContactRecord:
        values: dict[str, Any] = {"emails": (f"{ref}@customer.example",), "updated_at": self.at(5), **fields}
        record = ContactRecord(external_id=ref, name=ref.title(), job_title=title, company=None, roles=roles, **values)
        self.write(contacts=[record])
        return record

    def activity(self, kind: Any, days_ago: float | None, *who: Any, deal: str = "d", **fields: Any) -> ActivityRecord:
        """An activity that took place `days_ago` (negative: lies ahead). `who`: contacts' refs or participants."""
        part = {"meeting": "attendee", "call": "other"}.get(kind, "to")
        participants = tuple(
            p if isinstance(p, ParticipantRecord) else ParticipantRecord(part, contact=p)  # type: ignore[arg-type]
            for p in who
        )
        values: dict[str, Any] = {
            "external_id": f"{kind}/{next(self.numbers)}",
            "state": "held",
            "subject": kind.title(),
            "at": None if days_ago is None else self.at(days_ago),
            "updated_at": self.at(0),
            "deals": (deal,),
            "participants": participants,
            **fields,
        }
        record = ActivityRecord(kind=kind, **values)
        self.write(activities=[record])
        return record

    def on_deal(self, *contacts: str, ref: str = "d", **fields: Any) -> None:
        self.deal(ref, contacts=tuple(DealContactRecord(c) for c in contacts), **fields)

    def configure(self, *, overrides: Any = None, **rules: Any) -> None:
        """Save settings: `configure(no_activity={"days": 3})`; False switches a rule off.

        `overrides`, `pipelines` and `business_days` as in a draft (alerts.settings).
        """
        with tenant(self.organisation):
            current = alert_settings.current(self.organisation)
            draft = alert_settings.draft_of(current)
            draft |= {name: rules.pop(name) for name in ("pipelines", "business_days") if name in rules}
            if overrides is not None:
                draft["overrides"] = overrides
            for kind, said in rules.items():
                draft["rules"][kind] |= {"enabled": False} if said is False else said
            alert_settings.save(self.organisation, draft, None, self.clock, based_on=current.version)

    def evaluate(self) -> engine.Outcome:
        with tenant(self.organisation):
            return engine.evaluate(self.organisation, Deal.objects.filter(organisation=self.organisation), self.clock)

    def alerts(self, deal: str = "d") -> dict[str, date]:
        """Open alerts after an evaluation: {kind or "kind:subject": holds since}."""
        self.evaluate()
        with tenant(self.organisation):
            found = Alert.objects.filter(deal__external_id=deal, resolved_at=None)
            return {f"{a.kind}:{a.subject}".rstrip(":"): a.holds_since for a in found}

    def reasons(self, deal: str = "d") -> list[tuple[str, str]]:
        with tenant(self.organisation):
            found = Alert.objects.filter(deal__external_id=deal).exclude(resolved_at=None).order_by("pk")
            return [(a.kind, a.reason) for a in found]

    def verdict(self, kind: str, deal: str = "d", subject: str = "") -> engine.Verdict:
        with tenant(self.organisation):
            deals = Deal.objects.filter(organisation=self.organisation, external_id=deal)
            [(_, verdicts)] = engine.verdicts(self.organisation, deals, self.clock)
        return next(v for v in verdicts if v.rule.kind == kind and v.subject == subject)

    def stored(self, deal: str = "d") -> Deal:
        with tenant(self.organisation):
            return Deal.objects.get(organisation=self.organisation, external_id=deal)


def but_statistics(captured: CaptureQueriesContext) -> int:
    """How many statements there were; tables that hold more than a few rows are analysed besides."""
    return sum(not query["sql"].startswith("ANALYZE") for query in captured.captured_queries)
