"""Stored activities become what the mapping says now: another kind, other colleagues. Nothing is read anew."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from django.db import connection

from deals import people, summaries, titles
from deals.clock import Clock
from deals.models import Source

# Those whose type is something else than it was, and those in which somebody took part who has an address in one of
# the domains: the recorded one, or another of the same person.
CONCERNED = """
    WITH person AS MATERIALIZED (
        SELECT DISTINCT person_id FROM deals_personaddress WHERE organisation_id = %(org)s AND source_id = %(source)s
               AND split_part(address, '@', 2) = ANY(%(domains)s::text[])
    ), address AS MATERIALIZED (
        SELECT a.address FROM deals_personaddress a JOIN person ON person.person_id = a.person_id
        WHERE a.organisation_id = %(org)s
    ), contact AS MATERIALIZED (
        SELECT c.external_id FROM deals_contact c JOIN person ON person.person_id = c.person_id
        WHERE c.organisation_id = %(org)s
    ), took_part AS MATERIALIZED (
        SELECT DISTINCT p.activity_id FROM deals_participant p
        WHERE p.organisation_id = %(org)s AND p.activity_id > %(last)s AND %(domains)s::text[] <> '{}'
              AND (split_part(p.address, '@', 2) = ANY(%(domains)s::text[])
                   OR p.address <> '' AND p.address IN (SELECT address FROM address)
                   OR p.contact_ref <> '' AND p.contact_ref IN (SELECT external_id FROM contact))
    )
    SELECT a.id FROM deals_activity a
    WHERE a.organisation_id = %(org)s AND a.source_id = %(source)s AND a.id > %(last)s
          AND (NOT a.deleted AND a.kind <> COALESCE(%(kinds)s::jsonb ->> a.type_ref, a.kind)
               OR a.id IN (SELECT activity_id FROM took_part))
"""
# What does not count any more is left out like what is deleted: until it is read as something that counts. A planned
# activity stands where its kind has it (crm_sync.providers.pipedrive.mapping): a call at its start.
_REKIND = """
    UPDATE deals_activity a SET
        kind = COALESCE(NULLIF(x.kind, ''), a.kind), deleted = a.deleted OR x.kind = '',
        at = CASE WHEN a.state <> 'planned' OR a.starts_at IS NULL THEN a.at
                  WHEN x.kind = 'call' THEN a.starts_at ELSE a.ends_at END
    FROM (SELECT id, %(kinds)s::jsonb ->> type_ref AS kind FROM deals_activity
          WHERE organisation_id = %(org)s AND id = ANY(%(ids)s)) x
    WHERE a.organisation_id = %(org)s AND a.id = ANY(%(ids)s) AND a.id = x.id AND a.kind <> x.kind
"""
_PLACED = """
    UPDATE deals_dealactivity x SET occurred_at = a.at FROM deals_activity a
    WHERE x.organisation_id = %(org)s AND x.activity_id = ANY(%(ids)s) AND a.organisation_id = %(org)s
          AND a.id = x.activity_id AND a.at IS NOT NULL AND x.occurred_at <> a.at
"""


def scope(source: Source, kinds: Mapping[str, str], domains: Collection[str]) -> dict[str, Any]:
    """The parameters of CONCERNED, but for `last`, the id after which activities are looked for.

    `kinds`: what types of activities are now, by key ("": they do not count).
    """
    return {
        "org": source.organisation_id,
        "source": source.pk,
        "kinds": json.dumps(dict(kinds)),
        "domains": list(domains),
    }


def reapply(source: Source, activities: Collection[int], kinds: Mapping[str, str], clock: Clock) -> set[int]:
    """Bring `activities` and what depends on them up to date; returns the ids of the deals that were rebuilt.

    Runs in the caller's transaction and tenant context; the caller marks the deals for evaluation.
    """
    values = {**scope(source, kinds, ()), "ids": list(activities)}
    with connection.cursor() as cursor:
        titles.keep_still(cursor, source.organisation_id)
        cursor.execute(_REKIND, values)
        cursor.execute(_PLACED, values)
        people.resolve(cursor, source, activities, (), (), everybody=False)
        cursor.execute(
            "SELECT DISTINCT deal_id FROM deals_dealactivity WHERE organisation_id = %(org)s "
            "AND activity_id = ANY(%(ids)s) AND deal_id IS NOT NULL",
            values,
        )
        touched = {row[0] for row in cursor.fetchall()}
        summaries.rebuild(source.organisation_id, touched, clock)
    return touched
