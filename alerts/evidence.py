"""What evidence names and what stands beside it: one statement for any number of alerts.

Alerts keep dates and ids. Here are the names behind the ids, and the facts that were rejected: they are no part of an
alert, because one more unanswered call changes nothing about it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection

from accounts.models import Organisation
from alerts.facts import DAY, Case, activities
from alerts.wording import Earlier, Names, Rejected, Rejection, Told
from deals import plans
from deals.clock import Clock

NEWEST = 3  # rejected facts that are named; the others are counted


def names_for(organisation: Organisation, cases: Sequence[Case], clock: Clock) -> Names:
    """All that the sentences about `cases` need."""
    if not cases:
        return Names()
    rows = _read(organisation, cases, clock)
    rejected: dict[tuple[int, str, str], Rejected] = {}
    for row in sorted(rows["rejected"], key=lambda row: (row["n"], row["place"])):
        key = cases[row["n"]].key
        each = Rejection(row["id"], datetime.fromisoformat(row["at"]), row["why"], tuple(row["people"]))
        rejected[key] = Rejected((*rejected.get(key, Rejected()).newest, each), row["total"], row["attempts"])
    untitled: dict[int, list[str]] = {}
    senior: dict[int, list[str]] = {}
    for row in sorted(rows["engaged"], key=lambda row: (row["last_on"], row["name"]), reverse=True):
        (untitled if row["level"] is None else senior).setdefault(row["deal"], []).append(row["name"])
    changes: dict[int, list[tuple[str, str | None, str | None, date]]] = {}
    for row in sorted(rows["change"], key=lambda row: (datetime.fromisoformat(row["at"]), row["id"])):
        on = datetime.fromisoformat(row["at"]).astimezone(clock.zone).date()
        changes.setdefault(row["deal"], []).append((row["field"], row["old"], row["new"], on))
    stages = {case.deal.pk: case.deal.stage_ref for case in cases}
    earlier = {pk: _stays(stages[pk], of_deal) for pk, of_deal in changes.items()}
    return Names(
        activities={
            row["id"]: Told(row["kind"], tuple(filter(None, row["people"])), row["incoming"]) for row in rows["told"]
        },
        people={row["id"]: row["name"] for row in rows["person"]},
        roles={row["key"]: row["label"] for row in rows["role"]},
        untitled=untitled,
        senior=senior,
        earlier={pk: found for pk, found in earlier.items() if found},
        rejected=rejected,
        country=organisation.country,
    )


def _stays(stage: str, changes: list[tuple[str, str | None, str | None, date]]) -> Earlier | None:
    """The stays in `stage` that are over; None when there was none."""

    def first(field: str, default: str) -> str | None:
        return next((old for name, old, _new, _on in changes if name == field), default)

    state = {"stage": first("stage", stage), "status": first("status", "open")}
    inside, entered = state == {"stage": stage, "status": "open"}, None
    stays, exact = [], True
    for field, _old, new, on in changes:
        state[field] = new
        was, inside = inside, state == {"stage": stage, "status": "open"}
        if inside and not was:
            entered = on
        elif was and not inside:
            # When the first stay began was not seen.
            exact = exact and entered is not None
            stays.append((entered or on, on))
    return Earlier(tuple(stays), exact) if stays else None


@dataclass(frozen=True)
class _Asked:
    """Which activities of a deal look as if they spoke against an alert.

    mode "any": those after `after` that are no interaction; "ahead": those that would lie at or after `after` and are
    no meeting that counts; "people": those after `after` where one of `people` was there and not engaged; "others":
    the same of anybody but `people`; "level": of anybody of that level or above.
    """

    deal: int
    mode: str
    after: datetime | None
    people: tuple[int, ...] = ()
    level: int = 0


def _asked(case: Case, zone: ZoneInfo) -> _Asked | None:
    def midnight(on: date) -> datetime:
        return datetime.combine(on, time(), zone)

    cited, deal = case.cited(), case.deal
    if case.outcome != "fires" or not cited:
        return None
    match case.kind:
        case "no_activity":
            moments = (deal.last_interaction_at, deal.created_at, deal.reopened_at)
            return _Asked(deal.pk, "any", max(at for at in moments if at) + timedelta(microseconds=1))
        case "no_meeting" if case.on:
            return _Asked(deal.pk, "ahead", midnight(case.on))
        case "single_contact" if since := case.when("since"):
            return _Asked(deal.pk, "others", midnight(max(since, deal.created_on or since)), cited[0].ids)
        case "key_role" if cited[-1].on:
            return _Asked(deal.pk, "people", midnight(cited[-1].on + DAY), cited[0].ids)
        case "power_map":
            return _Asked(deal.pk, "level", None, level=case.facts["level"])
    return None


# `why`, where it is not NULL: why an activity is no interaction, none that lies ahead, or did not engage somebody.
EVIDENCE = """
WITH q AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%(asked)s::jsonb)
    AS q(n int, deal bigint, mode text, after timestamptz, people bigint[], level int)
), history AS MATERIALIZED (
    -- Once a deal, however many of its alerts ask.
    SELECT d.deal, d.who, l.occurred_at AS at, a.id, a.kind, a.state, a.ends_at, a.deleted, a.internal, a.nobody_coming,
           CASE WHEN a.deleted THEN 'deleted' WHEN a.state NOT IN ('held', 'planned') THEN a.state
                WHEN a.internal THEN 'internal' WHEN l.occurred_at > %(now)s THEN 'future'
                WHEN a.state = 'planned' THEN 'never_done' END AS why
    FROM (SELECT deal, CASE WHEN bool_or(mode IN ('ahead', 'level')) THEN '-infinity' ELSE min(after) END AS after,
                 bool_or(mode IN ('people', 'others', 'level')) AS who FROM q GROUP BY deal) d
    JOIN deals_dealactivity l ON l.organisation_id = %(org)s AND l.deal_id = d.deal AND l.occurred_at >= d.after
    JOIN deals_activity a ON a.organisation_id = %(org)s AND a.id = l.activity_id
), there AS MATERIALIZED (
    -- Who was there without being engaged. The least `part` counts: 0 engaged, 1 copied, 2 declined, 3 organiser.
    SELECT deal, id, at, person_id, COALESCE(why, (ARRAY['copied', 'declined', 'organiser'])[min(part)]) AS why FROM (
        SELECT h.deal, h.id, h.at, h.why, p.person_id, CASE WHEN p.engaged THEN 0 WHEN p.part IN ('cc', 'bcc') THEN 1
               WHEN p.declined THEN 2 ELSE 3 END AS part
        FROM history h
        JOIN deals_participant p ON p.organisation_id = %(org)s AND p.activity_id = h.id AND p.person_id IS NOT NULL
        WHERE h.who
    ) p GROUP BY deal, id, at, why, person_id HAVING why IS NOT NULL OR min(part) > 0
), ahead AS (
    SELECT q.n, h.id, GREATEST(h.ends_at, h.at) AS at, CASE
               WHEN h.deleted THEN 'deleted' WHEN h.state NOT IN ('planned', 'held', 'no_show') THEN h.state
               WHEN h.internal THEN 'internal' WHEN h.nobody_coming THEN 'nobody_coming'
               WHEN h.state = 'held' AND h.at < q.after THEN 'done_early' END AS why
    FROM q JOIN history h ON h.deal = q.deal
    WHERE q.mode = 'ahead' AND h.kind IN ('meeting', 'call') AND GREATEST(h.ends_at, h.at) >= q.after
), every AS (
    SELECT q.n, h.id, h.at, h.why, '{}'::bigint[] AS people
    FROM q JOIN history h ON h.deal = q.deal AND h.at >= q.after WHERE q.mode = 'any' AND h.why IS NOT NULL
    UNION ALL SELECT n, id, at, why, '{}' FROM ahead WHERE why IS NOT NULL
    UNION ALL SELECT q.n, t.id, t.at, t.why, array_agg(t.person_id ORDER BY t.person_id) FROM q
              JOIN there t ON t.deal = q.deal AND t.at >= q.after AND CASE q.mode
                   WHEN 'people' THEN t.person_id = ANY(q.people)
                   WHEN 'others' THEN t.person_id <> ALL(q.people) END
              GROUP BY q.n, t.id, t.at, t.why
    UNION ALL SELECT q.n, t.id, t.at, t.why, array_agg(t.person_id ORDER BY t.person_id) FROM q
              JOIN there t ON t.deal = q.deal
              JOIN deals_person x ON x.organisation_id = %(org)s AND x.id = t.person_id AND x.level >= q.level
              WHERE q.mode = 'level' GROUP BY q.n, t.id, t.at, t.why
), rejected AS MATERIALIZED (
    SELECT * FROM (
        SELECT e.*, row_number() OVER (PARTITION BY n ORDER BY at DESC, id DESC, why) AS place,
               count(*) OVER (PARTITION BY n) AS total,
               count(*) FILTER (WHERE why = 'attempt') OVER (PARTITION BY n) AS attempts
        FROM every e
    ) r WHERE place <= %(newest)s
), told AS (
    SELECT a.id, a.kind, COALESCE(bool_or(p.engaged AND p.part = 'from'), false) AS incoming,
           COALESCE(array_agg(DISTINCT COALESCE(NULLIF(x.name, ''), p.address)) FILTER (WHERE p.engaged), '{}')
               AS people
    FROM deals_activity a
    LEFT JOIN deals_participant p ON p.organisation_id = %(org)s AND p.activity_id = a.id
    LEFT JOIN deals_person x ON x.organisation_id = %(org)s AND x.id = p.person_id
    WHERE a.organisation_id = %(org)s
          AND a.id = ANY(ARRAY(SELECT id FROM rejected UNION SELECT unnest(%(activities)s::bigint[])))
    GROUP BY a.id, a.kind
), person AS (
    -- An unknown person is told by address.
    SELECT x.id, COALESCE(NULLIF(x.name, ''), min(d.address), '') AS name FROM deals_person x
    LEFT JOIN deals_personaddress d ON d.organisation_id = %(org)s AND d.person_id = x.id
    WHERE x.organisation_id = %(org)s
          AND x.id = ANY(ARRAY(SELECT unnest(people) FROM rejected UNION SELECT unnest(%(people)s::bigint[])))
    GROUP BY x.id, x.name
), role AS (
    SELECT key, min(label) AS label FROM deals_role
    WHERE organisation_id = %(org)s AND key = ANY(%(roles)s) GROUP BY key
), engaged AS (
    SELECT w.deal, x.level, x.name, e.last_on FROM jsonb_to_recordset(%(levels)s::jsonb) AS w(deal bigint, level int)
    JOIN deals_dealperson e ON e.organisation_id = %(org)s AND e.deal_id = w.deal
    JOIN deals_person x ON x.organisation_id = %(org)s AND x.id = e.person_id
    WHERE x.level IS NULL OR x.level >= w.level
), change AS (
    SELECT id, deal_id AS deal, field, old, new, changed_at AS at FROM deals_fieldchange
    WHERE organisation_id = %(org)s AND deal_id = ANY(%(stuck)s) AND field IN ('stage', 'status')
)
"""
PARTS = ("rejected", "told", "person", "role", "engaged", "change")
EVIDENCE += " UNION ALL ".join(f"SELECT '{part}', to_jsonb({part}) FROM {part}" for part in PARTS)


def _read(organisation: Organisation, cases: Sequence[Case], clock: Clock) -> dict[str, list[dict[str, Any]]]:
    """The rows of each part."""
    asked = [{"n": n, **vars(each)} for n, case in enumerate(cases) if (each := _asked(case, clock.zone))]
    people = {pk for case in cases for fact in case.cited() if fact.what in ("holders", "streak") for pk in fact.ids}
    power = [case for case in cases if case.kind == "power_map"]
    levels = [
        {"deal": case.deal.pk, "level": case.facts["level"]}
        for case in power
        if case.facts.get("untitled") or case.reaches_level
    ]
    found: dict[str, list[dict[str, Any]]] = {part: [] for part in PARTS}
    with connection.cursor() as cursor:
        plans.execute_for(
            len(cases),
            cursor,
            EVIDENCE,
            {
                "asked": json.dumps(asked, default=datetime.isoformat),
                "org": organisation.pk,
                "now": clock.now,
                "newest": NEWEST,
                "activities": sorted(activities(cases)),
                "people": sorted(people),
                "roles": sorted({case.subject for case in cases} - {""}),
                "levels": json.dumps(levels),
                "stuck": [case.deal.pk for case in cases if case.kind == "stuck_in_stage"],
            },
        )
        for part, row in cursor.fetchall():
            found[part].append(row if isinstance(row, dict) else json.loads(row))
    return found
