"""`evaluate(org, deals, clock)`: opens, refreshes and resolves alerts. The only writer of Alert and of Deal.alert_mask.

One deal and all deals differ only in the queryset handed in: the rules are expressions on one queryset, which is the
first part of one statement that compares their hits with the open alerts and writes the difference.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.db.models import BigIntegerField, Expression, IntegerField, Value
from django.db.models.expressions import RawSQL
from psycopg2.extensions import AsIs

from accounts.models import Organisation
from alerts import settings as alert_settings
from alerts.rules import COUNT_SHIFT, CRITICAL_SHIFT, RULES
from alerts.rules.base import Rule
from alerts.settings import Rules
from deals import summaries
from deals.clock import Clock
from deals.models import Deal
from deals.querysets import OPEN, DealQuerySet

__all__ = ["Outcome", "Verdict", "evaluate", "verdicts"]


@dataclass(frozen=True)
class Outcome:
    """How many alerts an evaluation opened, refreshed (other facts or date) and resolved."""

    opened: int
    refreshed: int
    resolved: int


@dataclass(frozen=True)
class Verdict:
    """One rule on one deal. `outcome` is "fires", "clear" or "unknown" (not evaluable, for `reason`).

    `on` is the local date since which it holds, or on which it would fire if nothing happened (None: it would not).
    """

    rule: Rule
    subject: str
    outcome: str
    on: date | None
    reason: str = ""
    limit: int | None = None


@dataclass(frozen=True)
class _Judged:
    """A rule with its settings and one subject; `n` numbers its columns."""

    n: int
    rule: Rule
    settings: dict[str, Any]
    subject: str


def _judged(rules: Rules, roles: frozenset[str]) -> list[_Judged]:
    """What is judged: enabled rules, once per subject. A role that is gone from the CRM is silent."""
    pairs = [
        (rule, rules[rule.kind], subject)
        for rule in RULES
        if rules[rule.kind]["enabled"]
        for subject in rule.subjects(rules[rule.kind])
        if rule.kind != "key_role" or subject in roles
    ]
    return [_Judged(n, *pair) for n, pair in enumerate(pairs)]


def _expression(limit: Expression | int) -> Expression:
    return limit if isinstance(limit, Expression) else Value(limit, IntegerField())


def _annotate(deals: DealQuerySet, judged: list[_Judged], clock: Clock) -> DealQuerySet:
    """Dates, reasons and evidence of every judged rule on one queryset."""
    for rule in dict.fromkeys(j.rule for j in judged):
        deals = rule.join(deals, next(j.settings for j in judged if j.rule is rule))
    columns: dict[str, Any] = {}
    for j in judged:
        columns[f"fires_{j.n}"] = j.rule.fires_on(j.settings, clock, j.subject)
        if (reason := j.rule.unknown(j.settings, clock, j.subject)) is not None:
            columns[f"unknown_{j.n}"] = reason
        if (limit := j.rule.limit(j.settings)) is not None:
            columns[f"limit_{j.n}"] = _expression(limit)
        for name, fact in j.rule.evidence(j.settings, j.subject).items():
            columns[f"fact_{j.n}_{name}"] = fact
    return deals.annotate(**columns)


def _reads(judged: list[_Judged]) -> list[str]:
    """The columns that hits are made of."""
    names = []
    for j in judged:
        names.append(f"fires_{j.n}")
        if j.rule.limit(j.settings) is not None:
            names.append(f"limit_{j.n}")
        names += [f"fact_{j.n}_{name}" for name in j.rule.evidence(j.settings, j.subject)]
    return names


# What fires today. The facts are read once, into `verdict`; a deal that loses or gains an alert gets its mask anew.
HITS = """
WITH scope AS MATERIALIZED ({scope}), verdict AS MATERIALIZED ({verdict}),
hit(deal_id, kind, subject, bit, basis, fires_on, evidence) AS MATERIALIZED ({hits})
"""
DIFFERENCE = (
    HITS
    + """
, opened_before AS (
    SELECT a.id, a.deal_id, a.kind, a.subject, a.holds_since, a.evidence, a.basis
    FROM scope s JOIN alerts_alert a ON a.organisation_id = %(org)s AND a.deal_id = s.id AND a.resolved_at IS NULL
), difference AS MATERIALIZED (
    SELECT o.id, h.deal_id, h.kind, h.subject, h.fires_on, h.evidence, h.basis,
           o.deal_id AS was_on
    FROM hit h FULL JOIN opened_before o ON o.deal_id = h.deal_id AND o.kind = h.kind AND o.subject = h.subject
    WHERE (o.holds_since, o.evidence, o.basis) IS DISTINCT FROM (h.fires_on, h.evidence, h.basis)
), refreshed AS (
    UPDATE alerts_alert a SET holds_since = d.fires_on, evidence = d.evidence, basis = d.basis
    FROM difference d WHERE a.organisation_id = %(org)s AND a.id = d.id AND d.deal_id IS NOT NULL RETURNING 1
), resolved AS (
    UPDATE alerts_alert a SET resolved_at = %(now)s::timestamptz, reason = CASE
        WHEN x.deleted THEN 'deleted' WHEN x.archived THEN 'archived'
        WHEN x.status <> 'open' THEN x.status
        WHEN a.kind <> ALL(%(enabled)s) THEN 'rule_off'
        WHEN a.kind = 'key_role' AND a.subject <> ALL(%(roles)s) THEN 'role_deleted'
        WHEN a.basis IS DISTINCT FROM %(bases)s::jsonb ->> a.kind THEN 'settings_changed'
        ELSE 'fact_changed' END
    FROM difference d JOIN deals_deal x ON x.organisation_id = %(org)s AND x.id = d.was_on
    WHERE a.organisation_id = %(org)s AND a.id = d.id AND d.deal_id IS NULL RETURNING 1
), opened AS (
    INSERT INTO alerts_alert (organisation_id, deal_id, kind, subject, holds_since, opened_at, evidence, basis, reason)
    SELECT %(org)s, deal_id, kind, subject, fires_on, %(now)s::timestamptz, evidence, basis, ''
    FROM difference WHERE id IS NULL RETURNING 1
), masked AS (
    UPDATE deals_deal d SET alert_mask = m.mask FROM (
        SELECT c.id, COALESCE(bit_or(1 << h.bit), 0) | (LEAST(count(h.bit)::int, 255) << {count_shift})
               | (LEAST(count(*) FILTER (WHERE h.bit = ANY(%(critical)s))::int, 63) << {critical_shift}) AS mask
        FROM (SELECT DISTINCT COALESCE(deal_id, was_on) AS id FROM difference) c
        LEFT JOIN hit h ON h.deal_id = c.id GROUP BY c.id
    ) m WHERE d.organisation_id = %(org)s AND d.id = m.id AND d.alert_mask <> m.mask
)
SELECT (SELECT count(*) FROM opened), (SELECT count(*) FROM refreshed), (SELECT count(*) FROM resolved)
"""
)


def _hits(judged: list[_Judged]) -> tuple[str, dict[str, Any]]:
    """One SELECT over the verdicts per rule and subject. (A lateral VALUES of them all takes twice as long.)"""
    selects, params = [], {}
    for j in judged:
        facts = [f"'{name}', v.fact_{j.n}_{name}" for name in j.rule.evidence(j.settings, j.subject)]
        if j.rule.limit(j.settings) is not None:
            facts.append(f"'limit', v.limit_{j.n}")
        elif j.subject:
            facts.append(f"'limit', {int(j.settings['roles'][j.subject])}")
        params[f"subject_{j.n}"] = j.subject
        selects.append(
            f"SELECT v.id, '{j.rule.kind}', %(subject_{j.n})s, {j.rule.bit}, '{alert_settings.basis(j.settings)}', "
            f"v.fires_{j.n}, jsonb_build_object({', '.join(facts)}) FROM verdict v WHERE v.fires_{j.n} <= %(today)s"
        )
    return " UNION ALL ".join(selects or [NO_HIT]), params


NO_HIT = "SELECT 0::bigint, '', '', 0, '', NULL::date, NULL::jsonb WHERE false"


@lru_cache(maxsize=256)
def _build(organisation: int, day: Clock, key: str, template: str) -> tuple[str, dict[str, Any]]:
    """The statement and its parameters for any deals: `{scope}` is still to be filled in, `now` to be given.

    Building it costs more than evaluating one deal, so it is kept per organisation, day (its first moment) and
    settings (`key`).
    """
    rules, roles = json.loads(key)
    judged = _judged(rules, frozenset(roles))
    in_scope = RawSQL("SELECT scope.id FROM scope", (), output_field=BigIntegerField())
    deals = _annotate(Deal.objects.filter(OPEN, organisation=organisation, pk__in=in_scope), judged, day)
    verdict, verdict_params = _named(deals.values("id", *_reads(judged)), "p")
    hits, subjects = _hits(judged)
    sql = template.format(
        scope="{scope}", verdict=verdict, hits=hits, count_shift=COUNT_SHIFT, critical_shift=CRITICAL_SHIFT
    )
    return sql, {
        **verdict_params,
        **subjects,
        "org": organisation,
        "today": day.today,
        "enabled": [rule.kind for rule in RULES if rules[rule.kind]["enabled"]],
        "roles": roles,
        "critical": [rule.bit for rule in RULES if rule.critical],
        "bases": json.dumps({kind: alert_settings.basis(values) for kind, values in rules.items()}),
    }


def _named(rows: Any, prefix: str) -> tuple[str, dict[str, Any]]:
    """The SQL of a queryset with named parameters, because the statement around it has such."""
    sql, params = rows.query.sql_with_params()
    names = [f"{prefix}{n}" for n in range(len(params))]
    return sql % tuple(f"%({name})s" for name in names), dict(zip(names, params, strict=True))


def statement(
    organisation: Organisation, deals: DealQuerySet, clock: Clock, template: str = DIFFERENCE
) -> tuple[str, dict[str, Any]]:
    """The SQL that `evaluate` runs, with its parameters. `template` may be HITS and a SELECT of one's own."""
    configuration = alert_settings.current(organisation)
    key = json.dumps([configuration.rules, sorted(alert_settings.live_roles(organisation))], sort_keys=True)
    midnight = clock.now.astimezone(clock.zone).replace(hour=0, minute=0, second=0, microsecond=0)
    sql, params = _build(organisation.pk, Clock(midnight, clock.zone), key, template)
    scope, scope_params = _named(deals.order_by().values("id"), "s")
    return sql.replace("{scope}", scope), {**params, **scope_params, "now": clock.now}


def evaluate(
    organisation: Organisation, deals: DealQuerySet, clock: Clock, *, roll: bool = True, prepared: bool = False
) -> Outcome:
    """Judge `deals` (any, closed ones too) by the settings in force and write the difference to their alerts.

    Runs in the caller's tenant context and transaction; evaluations of one organisation wait for each other. Meetings
    that have become past meanwhile are rolled forward first, and their deals are judged too.

    `prepared`: keep the statement and its plan in this database session. For a few deals at a time, where parsing and
    planning would take longer than judging.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_LOCK, organisation.pk])
        if roll and (rolled := summaries.roll(organisation.pk, clock)):
            deals = deals | Deal.objects.filter(organisation=organisation, pk__in=rolled).synced()
        sql, params = statement(organisation, deals, clock)
        if prepared:
            _execute_prepared(cursor, sql, params)
        else:
            cursor.execute(sql, params)
        return Outcome(*cursor.fetchone())


def _execute_prepared(cursor: CursorWrapper, sql: str, params: dict[str, Any]) -> None:
    """Only the deals and the moment are parameters; the rest is of the organisation, the day and the settings."""
    given = [name for name in params if name == "now" or SCOPE_PARAM.fullmatch(name)]
    places = {name: AsIs(f"${n}") for n, name in enumerate(given, start=1)}
    text = cursor.mogrify(sql, {**params, **places})
    name = "evaluate_" + hashlib.md5(text, usedforsecurity=False).hexdigest()
    cursor.execute(
        "SET LOCAL plan_cache_mode = force_generic_plan; "
        "SELECT EXISTS (SELECT FROM pg_prepared_statements WHERE name = %s)",
        [name],
    )
    if not cursor.fetchone()[0]:
        cursor.execute(f"PREPARE {name} AS {text.decode()}".replace("%", "%%"), [])
    cursor.execute(f"EXECUTE {name} ({', '.join(['%s'] * len(given))})", [params[name] for name in given])


SCOPE_PARAM = re.compile(r"s\d+")
_LOCK = 0x5647  # "VG": evaluations, among the advisory locks of this database


def verdicts(organisation: Organisation, deals: DealQuerySet, clock: Clock) -> Iterator[tuple[int, list[Verdict]]]:
    """The three outcomes of every enabled rule on each open deal of `deals`, in one query."""
    configuration = alert_settings.current(organisation)
    judged = _judged(configuration.rules, frozenset(alert_settings.live_roles(organisation)))
    names = [name for j in judged for name in (f"fires_{j.n}",)]
    annotated = _annotate(deals.filter(OPEN), judged, clock)
    names += [name for name in annotated.query.annotations if name.startswith(("unknown_", "limit_"))]
    for row in annotated.values("pk", *names):
        yield row["pk"], [_verdict(j, row, clock) for j in judged]


def _verdict(j: _Judged, row: dict[str, Any], clock: Clock) -> Verdict:
    on, reason = row[f"fires_{j.n}"], row.get(f"unknown_{j.n}") or ""
    limit = j.settings["roles"][j.subject] if j.subject else row.get(f"limit_{j.n}")
    if on is not None and on <= clock.today:
        return Verdict(j.rule, j.subject, "fires", on, limit=limit)
    return Verdict(j.rule, j.subject, "unknown" if reason else "clear", on, reason, limit)
