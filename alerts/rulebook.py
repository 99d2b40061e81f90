"""What an organisation's settings make of each deal: dates, reasons, limits and evidence as columns of its row.

Overrides are a CASE around what a rule says of each settings, so that rules know nothing of them.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from django.db import connection
from django.db.models import Case, Expression, F, IntegerField, Q, TextField, Value, When

from accounts.models import Organisation
from alerts import settings as alert_settings
from alerts.models import Configuration
from alerts.rules import RULES
from alerts.rules.base import Rule, Settings, text
from alerts.settings import Draft, Profile
from deals.clock import Clock
from deals.querysets import DealQuerySet

OFF = "off"  # a reason beside those of the rules: it is not judged for this deal


@dataclass(frozen=True)
class Judged:
    """A rule and a subject with its settings in every profile (None where it is off); `n` numbers its columns."""

    n: int
    rule: Rule
    subject: str
    cases: tuple[Settings | None, ...]

    def choose(self, profiles: Sequence[Profile], say: Callable[[Settings], Any], off: Any = None) -> Any:
        """What `say` makes of the settings that count for a deal: one expression, a CASE where they differ."""
        *special, general = [off if case is None else say(case) for case in self.cases]
        while special and special[-1] == general:
            special.pop()
        if not special:
            return general
        whens = [When(p.condition, then=as_expression(s)) for p, s in zip(profiles, special, strict=False)]
        return Case(*whens, default=as_expression(general))


def as_expression(value: Any) -> Any:
    return value if hasattr(value, "resolve_expression") else Value(value)


# The settings in force, the roles that the CRM has and who is in which team: what the columns are made of, asked before
# each evaluation in one statement and compared as text.
IN_FORCE = """
SELECT (SELECT jsonb_build_object('rules', rules, 'overrides', overrides, 'pipelines', pipelines,
                                  'business_days', business_days)::text
        FROM alerts_configuration WHERE organisation_id = %(org)s ORDER BY version DESC LIMIT 1),
       (SELECT jsonb_agg(DISTINCT key)::text FROM deals_role WHERE organisation_id = %(org)s AND NOT stale),
       (SELECT jsonb_agg(jsonb_build_array(m.team_id, m.colleague_id) ORDER BY m.team_id, m.colleague_id)::text
        FROM deals_teammember m JOIN deals_team t ON t.organisation_id = %(org)s AND t.id = m.team_id AND NOT t.stale
        WHERE m.organisation_id = %(org)s)
"""


def rulebook(organisation: Organisation, clock: Clock, draft: Draft | None = None) -> "Rulebook":
    """By the settings in force, or by a `draft` that is not saved. One statement."""
    with connection.cursor() as cursor:
        cursor.execute(IN_FORCE, {"org": organisation.pk})
        said, roles, members = cursor.fetchone()
    if draft is not None:
        said = json.dumps(draft)
    midnight = clock.now.astimezone(clock.zone).replace(hour=0, minute=0, second=0, microsecond=0)
    return _rulebook(organisation.country, replace(clock, now=midnight), said, roles, members)


@lru_cache(maxsize=256)
def _rulebook(country: str, day: Clock, said: str | None, roles: str | None, members: str | None) -> "Rulebook":
    """Making it costs more than evaluating one deal, so it is kept for as long as nothing of it changes, and is one for
    all organisations whose settings are the same."""
    draft = json.loads(said) if said else alert_settings.draft_of(Configuration(rules={}, overrides=[]))
    draft["rules"] = alert_settings.completed(draft["rules"])
    sellers: dict[int, list[int]] = {}
    for team, colleague in json.loads(members or "[]"):
        sellers.setdefault(team, []).append(colleague)
    return Rulebook(country, day, draft, sorted(json.loads(roles or "[]")), sellers)


class Rulebook:
    """What an organisation's settings make of each deal on one day (`day`: its first moment)."""

    def __init__(
        self,
        country: str,
        day: Clock,
        draft: Draft,
        roles: list[str],
        sellers: Mapping[int, Sequence[int]],
    ) -> None:
        self.draft, self.roles = draft, roles
        self.profiles = alert_settings.profiles(draft, sellers)
        self.business = draft["business_days"]
        self.day = day.with_calendar(country) if self.business else day
        self.watched = alert_settings.watched(draft)
        self.judged = [Judged(n, *each) for n, each in enumerate(self._judged())]

    def _judged(self) -> Iterator[tuple[Rule, str, tuple[Settings | None, ...]]]:
        """What is judged: enabled rules, once per subject. A role that is gone from the CRM is silent."""
        for rule in RULES:
            said = [p.rules[rule.kind] for p in self.profiles]
            subjects = {subject for case in said if case["enabled"] for subject in rule.subjects(case)}
            for subject in sorted(subjects & {"", *self.roles}):
                yield (
                    rule,
                    subject,
                    tuple(case if case["enabled"] and subject in rule.subjects(case) else None for case in said),
                )

    def bases(self) -> list[dict[str, str]]:
        """For each profile, by which settings each enabled rule judges."""
        return [
            {kind: alert_settings.basis(said, self.business) for kind, said in p.rules.items() if said["enabled"]}
            for p in self.profiles
        ]

    def annotate(self, deals: DealQuerySet) -> DealQuerySet:
        """With the columns `fires_n`, `unknown_n`, `limit_n` and `fact_n_name` of everything that is judged."""
        columns: dict[str, Any] = {}
        for j in self.judged:
            columns |= self._columns(j)
        return deals.annotate(**columns)

    def _columns(self, j: Judged) -> dict[str, Any]:
        def chosen(say: Callable[[Settings], Any], off: Any = None) -> Any:
            return j.choose(self.profiles, say, off)

        columns: dict[str, Any] = {
            f"fires_{j.n}": chosen(lambda case: j.rule.fires_on(case, self.day, j.subject)),
            f"unknown_{j.n}": chosen(lambda case: j.rule.unknown(case, self.day, j.subject), off=text(OFF)),
            f"limit_{j.n}": chosen(lambda case: j.rule.limit(case, j.subject)),
        }
        for name in self.facts(j):
            columns[f"fact_{j.n}_{name}"] = chosen(lambda case, name=name: j.rule.evidence(case, j.subject)[name])  # type: ignore[misc]
        return {name: as_expression(value) for name, value in columns.items() if value is not None}

    def facts(self, j: Judged) -> list[str]:
        return list(j.rule.evidence(next(case for case in j.cases if case is not None), j.subject))

    def overrides(self, j: Judged) -> list[str | None]:
        """For each override its name where it says something of the rule."""
        return [o["name"] if j.rule.kind in o["rules"] else None for o in self.draft["overrides"]]

    def profile(self) -> Expression:
        """Which profile counts for a deal."""
        whens = [When(p.condition, then=Value(n)) for n, p in enumerate(self.profiles[:-1])]
        return Case(*whens, default=Value(len(self.profiles) - 1), output_field=IntegerField())

    def gone(self) -> Expression:
        """Why a deal can have no alert, as a reason of Alert; NULL when it can."""
        left = [When(~self.watched, then=text("settings_changed"))] if self.watched else []
        return Case(
            When(deleted=True, then=text("deleted")),
            When(archived=True, then=text("archived")),
            When(~Q(status="open"), then=F("status")),
            *left,
            output_field=TextField(),
        )
