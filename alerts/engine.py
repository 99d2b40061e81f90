"""`evaluate(org, deals, clock)`: opens, refreshes and resolves alerts. The only writer of Alert and of Deal.alert_mask.

One deal and all deals differ only in the queryset handed in: the rules are expressions on one queryset, which is the
first part of one statement that compares their hits with the open alerts and writes the difference. It ends the snoozes
whose date has come, whose deal has changed or that somebody has ended, too, and leaves those that last out of the mask.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import Any

from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.db.models import Case, Exists, OuterRef, Q, TextField, When
from django.db.models.expressions import RawSQL
from psycopg2.extensions import AsIs

from accounts.models import Organisation
from alerts.models import Snooze
from alerts.rulebook import OFF, Judged, Rulebook, rulebook
from alerts.rules import COUNT_SHIFT, CRITICAL_SHIFT, RULES
from alerts.rules.base import Rule
from alerts.settings import Draft
from deals import plans, summaries
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
    facts: Mapping[str, Any] = field(default_factory=dict)  # as in Alert.evidence, when they were asked for


# The arrays beside the joins make the planner look the few rows up by key: it cannot know that few have changed.
# What fires today. The deals are read once, into `verdict`; those that are closed, only when they still have alerts.
HITS = """
WITH {calendar}verdict AS MATERIALIZED ({verdict}),
hit(deal_id, kind, subject, bit, basis, fires_on, evidence) AS MATERIALIZED ({hits})
"""
DIFFERENCE = (
    HITS
    + """
, opened_before AS (
    SELECT a.id, a.deal_id, a.kind, a.subject, a.holds_since, a.evidence, a.basis, v.gone, v.profile
    FROM verdict v JOIN alerts_alert a ON a.organisation_id = %(org)s AND a.deal_id = v.id AND a.resolved_at IS NULL
), difference AS MATERIALIZED (
    SELECT o.id, h.deal_id, h.kind, h.subject, h.fires_on, h.evidence, h.basis, o.deal_id AS was_on, o.gone, o.profile
    FROM hit h FULL JOIN opened_before o ON o.deal_id = h.deal_id AND o.kind = h.kind AND o.subject = h.subject
    WHERE (o.holds_since, o.evidence, o.basis) IS DISTINCT FROM (h.fires_on, h.evidence, h.basis)
), refreshed AS (
    UPDATE alerts_alert a SET holds_since = d.fires_on, evidence = d.evidence, basis = d.basis
    FROM difference d WHERE a.organisation_id = %(org)s AND a.id = d.id AND d.deal_id IS NOT NULL
    AND a.id = ANY(ARRAY(SELECT id FROM difference WHERE deal_id IS NOT NULL)) RETURNING 1
), resolved AS (
    UPDATE alerts_alert a SET resolved_at = %(now)s::timestamptz, reason = CASE
        WHEN d.gone IS NOT NULL THEN d.gone
        WHEN NOT %(bases)s::jsonb -> d.profile ? a.kind THEN 'rule_off'
        WHEN a.kind = 'key_role' AND a.subject <> ALL(%(roles)s) THEN 'role_deleted'
        WHEN a.basis IS DISTINCT FROM %(bases)s::jsonb -> d.profile ->> a.kind THEN 'settings_changed'
        ELSE 'fact_changed' END
    FROM difference d WHERE a.organisation_id = %(org)s AND a.id = d.id AND d.deal_id IS NULL
    AND a.id = ANY(ARRAY(SELECT id FROM difference WHERE deal_id IS NULL)) RETURNING 1
), opened AS (
    INSERT INTO alerts_alert (organisation_id, deal_id, kind, subject, holds_since, opened_at, evidence, basis, reason)
    SELECT %(org)s, deal_id, kind, subject, fires_on, %(now)s::timestamptz, evidence, basis, ''
    FROM difference WHERE id IS NULL RETURNING 1
), snoozed AS MATERIALIZED (
    SELECT s.id, s.deal_id, s.kind, s.subject,
           s.ended_by_id IS NULL AND COALESCE(s.until_on > %(today)s, true) AND s.state IN ('', v.state) AS lasts
    FROM verdict v JOIN alerts_snooze s ON s.organisation_id = %(org)s AND s.deal_id = v.id AND s.ended_at IS NULL
    WHERE v.state IS NOT NULL
), woken AS (
    UPDATE alerts_snooze s SET ended_at = %(now)s::timestamptz FROM snoozed w
    WHERE s.organisation_id = %(org)s AND s.id = w.id AND NOT w.lasts
), mask AS MATERIALIZED (
    SELECT c.id, COALESCE(bit_or(1 << h.bit), 0) | (LEAST(count(h.bit)::int, 255) << {count_shift})
           | (LEAST(count(*) FILTER (WHERE h.bit = ANY(%(critical)s))::int, 63) << {critical_shift}) AS mask
    FROM (SELECT COALESCE(deal_id, was_on) AS id FROM difference UNION SELECT deal_id FROM snoozed) c
    LEFT JOIN (
        SELECT deal_id, bit FROM hit h WHERE NOT EXISTS (
            SELECT FROM snoozed s
            WHERE s.lasts AND s.deal_id = h.deal_id AND s.kind = h.kind AND s.subject = h.subject)
    ) h ON h.deal_id = c.id GROUP BY c.id
), masked AS (
    UPDATE deals_deal d SET alert_mask = m.mask FROM mask m
    WHERE d.organisation_id = %(org)s AND d.id = m.id AND d.alert_mask <> m.mask
    AND d.id = ANY(ARRAY(SELECT id FROM mask))
)
SELECT (SELECT count(*) FROM opened), (SELECT count(*) FROM refreshed), (SELECT count(*) FROM resolved)
"""
)
# What a deal is as far as a snooze "until it changes" is concerned. Not the history: no evaluation reads that. Neither
# a moment nor a number is written as the session likes it.
STATE = """
md5(jsonb_build_array(
    deals_deal.status, deals_deal.pipeline_ref, deals_deal.stage_ref, deals_deal.amount, deals_deal.currency,
    deals_deal.close_on, deals_deal.owner_ref, extract(epoch FROM deals_deal.last_interaction_at),
    deals_deal.planned_id, deals_deal.planned_until_on,
    (SELECT jsonb_object_agg(key, value -> 'holders') FROM jsonb_each(deals_deal.roles))
)::text)
"""
NO_HIT = "SELECT 0::bigint, '', '', 0, '', NULL::date, NULL::jsonb WHERE false"
FROM = ' FROM "deals_deal"'
JSONB = 3802  # the type's number in Postgres


@lru_cache(maxsize=256)
def _build(book: Rulebook, template: str) -> tuple[str, dict[str, Any]]:
    """The statement and its parameters for any deals: `{scope}`, where they come from, is still to be filled in, and
    `org` and `now` to be given. Building it costs more than evaluating one deal, so it is kept.
    """
    state = Case(When(_snoozed(OuterRef("organisation")), then=RawSQL(STATE, [])), output_field=TextField())  # noqa: S611
    annotated = book.annotate(Deal.objects.order_by()).annotate(gone=book.gone(), profile=book.profile(), state=state)
    names = [name for name in annotated.query.annotations if not name.startswith("unknown_")]
    select, params = _named(annotated.values("id", *names), "p")
    columns, _from, _rest = select.partition(FROM)
    hits, subjects = _hits(book)
    sql = template.format(
        calendar=book.day.with_clause,
        verdict=f"{columns}{{scope}}",
        hits=hits,
        count_shift=COUNT_SHIFT,
        critical_shift=CRITICAL_SHIFT,
    )
    return sql, {
        **params,
        **subjects,
        **book.day.sql_params(),
        "today": book.day.today,
        "roles": book.roles,
        "critical": [rule.bit for rule in RULES if rule.critical],
        "bases": json.dumps(book.bases()),
    }


def _snoozed(organisation: int | OuterRef) -> Exists:
    """Some alert of the deal is snoozed."""
    return Exists(Snooze.objects.filter(organisation=organisation, deal=OuterRef("pk"), ended_at__isnull=True))


def _hits(book: Rulebook) -> tuple[str, dict[str, Any]]:
    """One SELECT over the verdicts per rule and subject. (A lateral VALUES of them all takes twice as long.)"""
    selects, params = [], dict[str, Any]()
    for j in book.judged:
        facts = [f"'{name}', v.fact_{j.n}_{name}" for name in book.facts(j)]
        if any(case is not None and j.rule.limit(case, j.subject) is not None for case in j.cases):
            facts.append(f"'limit', v.limit_{j.n}")
            if book.business:
                facts.append("'business', true")
        params[f"subject_{j.n}"] = j.subject
        bases = [basis.get(j.rule.kind, OFF) for basis in book.bases()]
        basis = f"'{bases[-1]}'"
        if len(set(bases)) > 1:
            basis = f"('{{{','.join(bases)}}}'::text[])[v.profile + 1]"
            params[f"override_{j.n}"] = [*book.overrides(j), None]
            facts.append(f"'override', (%(override_{j.n})s::text[])[v.profile + 1]")
        selects.append(
            f"SELECT v.id, '{j.rule.kind}', %(subject_{j.n})s, {j.rule.bit}, {basis}, v.fires_{j.n}, "
            f"jsonb_build_object({', '.join(facts)}) FROM verdict v WHERE v.gone IS NULL AND v.fires_{j.n} <= %(today)s"
        )
    return " UNION ALL ".join(selects or [NO_HIT]), params


def _named(rows: Any, prefix: str) -> tuple[str, dict[str, Any]]:
    """The SQL of a queryset with named parameters, because the statement around it has such."""
    sql, params = rows.query.sql_with_params()
    names = [f"{prefix}{n}" for n in range(len(params))]
    return sql % tuple(f"%({name})s" for name in names), dict(zip(names, params, strict=True))


def statement(
    organisation: Organisation,
    deals: DealQuerySet,
    clock: Clock,
    template: str = DIFFERENCE,
    draft: Draft | None = None,
) -> tuple[str, dict[str, Any]]:
    """The SQL that `evaluate` runs, with its parameters.

    `template` may be HITS and a SELECT of one's own; `draft`: settings that are not saved, instead of those in force.
    """
    sql, params = _build(rulebook(organisation, clock, draft), template)
    scope, scope_params = _scope(_concerned(organisation, deals))
    return sql.replace("{scope}", scope), {**params, **scope_params, "org": organisation.pk, "now": clock.now}


def _concerned(organisation: Organisation, deals: DealQuerySet) -> DealQuerySet:
    """Those that may have alerts: a closed one has some to be resolved when its mask says so, or leaves them out."""
    return deals.filter(OPEN | ~Q(alert_mask=0) | _snoozed(organisation.pk))


def _scope(deals: DealQuerySet) -> tuple[str, dict[str, Any]]:
    """Where the rows come from: what follows the columns in a SELECT."""
    sql, params = _named(deals.order_by().values("id"), "s")
    _columns, _from, where = sql.partition(FROM)
    return FROM + where, params


def evaluate(
    organisation: Organisation, deals: DealQuerySet, clock: Clock, *, roll: bool = True, few: bool = False
) -> Outcome:
    """Judge `deals` (any, closed ones too) by the settings in force and write the difference to their alerts.

    Runs in the caller's tenant context and transaction; evaluations of one organisation wait for each other. Meetings
    that have become past meanwhile are rolled forward first, and their deals are judged too.

    `few`: keep the statement and its plan in this database session, as parsing and planning would take longer than
    judging so few.
    """
    with connection.cursor() as cursor:
        # The verdicts of a large organisation stay in memory.
        cursor.execute(
            "SELECT pg_advisory_xact_lock(%s, %s), set_config('work_mem', '64MB', true)", [_LOCK, organisation.pk]
        )
        if roll and (rolled := summaries.roll(organisation.pk, clock)):
            deals = deals | Deal.objects.filter(organisation=organisation, pk__in=rolled).synced()
        if few:
            _execute_prepared(cursor, organisation, deals, clock)
            return Outcome(*cursor.fetchone())
        sql, params = statement(organisation, deals, clock)
        # Where the statistics do not know these deals yet, each would be compared with every other.
        cursor.execute("SET LOCAL enable_nestloop = off; " + sql, params)
        outcome = Outcome(*cursor.fetchone())
        cursor.execute("SET LOCAL enable_nestloop = on")
        return outcome


def _execute_prepared(cursor: CursorWrapper, organisation: Organisation, deals: DealQuerySet, clock: Clock) -> None:
    """Only the deals and the moment are parameters; the rest is of the organisation, the day and the settings.

    All of the deals are judged: that takes less time than finding out which have no alerts and need not be.
    """
    scope, scope_params = _scope(deals)
    given = {**scope_params, "now": clock.now}
    key = organisation.pk, rulebook(organisation, clock), scope
    if key not in _prepared:
        sql, params = _build(key[1], DIFFERENCE)
        places = {name: AsIs(f"${n}") for n, name in enumerate(given, start=1)}
        text = cursor.mogrify(sql.replace("{scope}", scope), {**params, "org": organisation.pk, **places})
        if len(_prepared) >= 256:
            _prepared.clear()
        _prepared[key] = text.decode()
    plans.execute(cursor, _prepared[key], [*given.values()])


# The statement, a hundred kilobytes with a calendar, so made once.
_prepared: dict[tuple[int, Rulebook, str], str] = {}
_LOCK = 0x5647  # "VG": evaluations, among the advisory locks of this database


def verdicts(
    organisation: Organisation,
    deals: DealQuerySet,
    clock: Clock,
    draft: Draft | None = None,
    *,
    facts: bool = False,
) -> Iterator[tuple[int, list[Verdict]]]:
    """The three outcomes of every enabled rule on each open deal of `deals`, in one query; of a deal that a first
    synchronisation is still reading there are none.

    `draft`: settings that are not saved, instead of those in force. `facts`: with the facts of each, as evidence.
    """
    book = rulebook(organisation, clock, draft)
    sql, params = _build_verdicts(book)
    scope, scope_params = _scope(deals.settled().filter(OPEN, book.watched))
    with connection.cursor() as cursor:
        cursor.execute(sql.replace("{scope}", scope), {**params, **scope_params})
        columns = [(column.name, column.type_code == JSONB) for column in cursor.description]
        rows = cursor.fetchall()
    for values in rows:
        row = {
            name: json.loads(value) if is_json and isinstance(value, str) else value
            for (name, is_json), value in zip(columns, values, strict=True)
        }
        judged = [j for j in book.judged if row.get(f"unknown_{j.n}") != OFF]
        yield row["id"], [_verdict(book, j, row, clock, facts) for j in judged]


@lru_cache(maxsize=256)
def _build_verdicts(book: Rulebook) -> tuple[str, dict[str, Any]]:
    """As `_build`: making the statement takes longer than running it for one deal."""
    annotated = book.annotate(Deal.objects.order_by()).annotate(profile=book.profile())
    select, params = _named(annotated.values("id", *annotated.query.annotations), "p")
    columns, _from, _rest = select.partition(FROM)
    sql = f"WITH {book.day.with_clause}verdict AS ({columns}{{scope}}) SELECT * FROM verdict"
    return sql, {**params, **book.day.sql_params()}


def _verdict(book: Rulebook, j: Judged, row: dict[str, Any], clock: Clock, with_facts: bool) -> Verdict:
    on, reason, limit = row[f"fires_{j.n}"], row.get(f"unknown_{j.n}") or "", row.get(f"limit_{j.n}")
    facts: dict[str, Any] = {}
    if with_facts:
        facts = {name: row[f"fact_{j.n}_{name}"] for name in book.facts(j)}
        facts["override"] = [*book.overrides(j), None][row["profile"]]
        if limit is not None:
            facts |= {"limit": limit, "business": book.business}
    if on is not None and on <= clock.today:
        return Verdict(j.rule, j.subject, "fires", on, limit=limit, facts=facts)
    return Verdict(j.rule, j.subject, "unknown" if reason else "clear", on, reason, limit, facts)
