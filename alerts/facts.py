"""What an outcome rests on: the facts that decide, out of those that a rule keeps as evidence."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Any, Literal

from alerts.engine import Verdict
from alerts.models import Alert
from deals.models import Deal

# fmt: off
What = Literal[
    "activity", "planned",
    "streak", "oldest", "enough",  # the interactions with one person; the first of them; the one that made them enough
    "holders", "known",  # who holds the role; since when it is known
    "senior",  # whoever is of the level, or above
    "close date", "stage entry", "amount", "creation", "reopening",
]
# fmt: on


@dataclass(frozen=True)
class Fact:
    """Take it away, and the outcome, its date or its reason changes (tests/alerts/test_evidence_property.py).

    `ids`: the activity, or the people. `on`: its local date, where one counts.
    """

    what: What
    on: date | None = None
    ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class Case:
    """A rule on a deal: an open alert, or a verdict with its facts.

    `facts`: as in Alert.evidence. `outcome` and `on`: as in alerts.engine.Verdict.
    """

    kind: str
    subject: str
    deal: Deal
    facts: Mapping[str, Any]
    on: date | None
    outcome: str = "fires"

    @classmethod
    def of(cls, alert: Alert, deal: Deal) -> "Case":
        return cls(alert.kind, alert.subject, deal, alert.evidence, alert.holds_since)

    @classmethod
    def judged(cls, verdict: Verdict, deal: Deal) -> "Case":
        return cls(verdict.rule.kind, verdict.subject, deal, verdict.facts, verdict.on, verdict.outcome)

    @property
    def key(self) -> tuple[int, str, str]:
        return self.deal.pk, self.kind, self.subject

    def when(self, name: str) -> date | None:
        """A date among the facts."""
        value = self.facts.get(name)
        return date.fromisoformat(value) if isinstance(value, str) else value

    @property
    def reaches_level(self) -> bool:
        """Of `power_map`: somebody of the level has been engaged."""
        return bool((self.facts.get("top_level") or 0) >= self.facts.get("level", 0))

    def cited(self) -> list[Fact]:
        """The facts that decide; the last one is where the counting starts, or what the date comes from."""
        return self._cited

    @cached_property
    def _cited(self) -> list[Fact]:
        creation, reopening = Fact("creation", self._created), Fact("reopening", self.when("reopened_on"))
        activity = Fact("activity", self.when("last_on"), self._ids("activity"))
        match self.kind:
            case "no_activity":
                return [_latest(activity, creation, reopening)]
            case "no_meeting":
                planned = Fact("planned", self.when("planned_on"), self._ids("activity"))
                begin = _latest(creation, reopening)
                return [planned if planned.on and begin.on and planned.on + DAY >= begin.on else begin]
            case "single_contact":
                return self._streak(creation, reopening)
            case "key_role" if holders := self.facts.get("holders"):
                told = activity if activity.on else Fact("known", self.when("held_since_on"))
                return [Fact("holders", ids=tuple(holders)), _latest(told, creation, reopening)]
            case "power_map" if self.reaches_level:
                return [Fact("senior")]
            case "power_map" | "close_date_passed" if close := self.when("close_on"):
                return [*self._clamped(reopening), Fact("close date", close)]
            case "stuck_in_stage":
                entered = self.when("entered_on")
                if reopening.on and entered == reopening.on:
                    return [reopening]
                return [Fact("stage entry", entered) if self.facts.get("exact") else creation]
            case "amount_empty":
                return [*self._clamped(reopening), Fact("amount")]
            case "deal_too_old":
                return [creation]
        return []

    def _streak(self, creation: Fact, reopening: Fact) -> list[Fact]:
        since, enough = self.when("since"), self.when("enough_on")
        if since is None:
            return []
        streak = Fact("streak", ids=self._ids("person"))
        if self.on is None:
            return [streak]
        if self.on == reopening.on:
            return [streak, reopening]
        if self.on == enough:
            return [streak, Fact("enough", enough)]
        return [streak, _latest(Fact("oldest", since), creation)]

    def _clamped(self, reopening: Fact) -> list[Fact]:
        """The reopening, when the alert holds since then and not since the fact itself."""
        return [reopening] if reopening.on and self.on == reopening.on else []

    @property
    def _created(self) -> date | None:
        return self.when("created_on") or self.deal.created_on

    def _ids(self, name: str) -> tuple[int, ...]:
        return (self.facts[name],) if self.facts.get(name) else ()


DAY = timedelta(days=1)


def _latest(*facts: Fact) -> Fact:
    """The one that counts; of the same date, the first."""
    return max(facts, key=lambda fact: fact.on or date.min)


def activities(cases: Iterable[Case]) -> set[int]:
    """Ids of the activities cited."""
    return {pk for case in cases for fact in case.cited() if fact.what in ("activity", "planned") for pk in fact.ids}
