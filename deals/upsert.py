"""Records in, ids of touched deals out: the only writer of mirrored rows.

Everything happens in the caller's transaction and tenant context. A version older than the one stored is dropped; an
unchanged row is not rewritten; a reference to an object that is not here yet is resolved when it arrives.
"""

import hashlib
import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

from django.db import connection
from django.db.backends.utils import CursorWrapper

from deals import details, merging, people, plans, rates, removal, search, settling, summaries, titles
from deals.clock import Clock
from deals.copy import line, load, load_lines
from deals.models import Deal, Role, Source
from deals.records import ActivityRecord, Batch, ColleagueRecord, DealRecord, ParticipantRecord
from deals.tables import ACTIVITY, COLLEAGUE, COMPANY, CONTACT, DEAL, PIPELINE, ROLE, STAGE


def role_key(label: str) -> str:
    """A role's name without case, accents and punctuation: "Décision-maker" and DECISION_MAKER are one."""
    plain = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode().casefold()
    return re.sub(r"[^a-z0-9]+", " ", plain).strip() or label.casefold().strip()


def latest(records: Iterable[Any]) -> list[Any]:
    """One record per external id: the newest, of equally new ones the last."""
    kept: dict[str, Any] = {}
    for record in records:
        before = kept.get(record.external_id)
        if before is None or getattr(before, "updated_at", 0) <= getattr(record, "updated_at", 0):
            kept[record.external_id] = record
    return list(kept.values())


@dataclass(frozen=True, slots=True)
class Prepared:
    """The activities of a batch as COPY reads them. `parties` and `links` begin with their activity's external id."""

    lines: list[str]
    parties: list[tuple[str, str]]
    links: list[tuple[str, str]]


def prepare(batch: Batch) -> Prepared:
    """What takes Python most of its time in `upsert`; it needs no database, so a thread may do it beforehand."""
    records = latest([*batch.activities, *_unreadable_mail(latest(batch.deals))])
    return Prepared(
        lines=[
            line(
                (
                    r.external_id,
                    r.kind,
                    r.type,
                    r.state,
                    r.subject,
                    r.at,
                    r.on,
                    r.starts_at,
                    r.ends_at,
                    r.done_at,
                    r.owner or "",
                    r.updated_at,
                    r.deleted,
                    _fingerprint(r),
                )
            )
            for r in records
        ],
        parties=[(r.external_id, people.party(r, p)) for r in records for p in r.participants],
        links=[(r.external_id, deal) for r in records for deal in dict.fromkeys(r.deals)],
    )


_PARTY = attrgetter(*(field.name for field in fields(ParticipantRecord)))


def _fingerprint(r: ActivityRecord) -> str:
    """Of what else is written with the activity: who took part, and its deals."""
    said = repr((list(map(_PARTY, r.participants)), r.deals))
    return hashlib.md5(said.encode(), usedforsecurity=False).hexdigest()


def upsert(
    source: Source, batch: Batch, clock: Clock, *, settle: bool = True, prepared: Prepared | None = None
) -> set[int]:
    """Write `batch`, rebuild what depends on it, and return the ids of the deals that it touches.

    `prepared`: `prepare(batch)`, where that was done before. `settle=False`: what is derived from the whole of a deal
    waits for `deals.settling`, which does it once for all the pages of a first synchronisation
    (docs/adr/0021-first-synchronisation-in-bulk.md).
    """
    with connection.cursor() as cursor:
        titles.keep_still(cursor, source.organisation_id)
        rates.keep_still(cursor, source.organisation_id)
        colleagues = _frame(cursor, source, batch)
        regrouped = _teams(cursor, source, latest(batch.colleagues))
        companies = COMPANY.merge(
            cursor, source, [(r.external_id, r.name, r.updated_at, r.deleted) for r in latest(batch.companies)]
        )
        companies += removal.mark(cursor, source, "companies", batch.gone.get("companies", ()))
        _arrived(cursor, source, "deals_contact", "company", "deals_company", companies)
        _arrived(cursor, source, "deals_deal", "company", "deals_company", companies)
        contacts = _contacts(cursor, source, batch)
        contacts += removal.mark(cursor, source, "contacts", batch.gone.get("contacts", ()))
        _arrived(cursor, source, "deals_dealcontact", "contact", "deals_contact", contacts)
        deals = latest(batch.deals)
        touched = _deals(cursor, source, deals) | details.write(cursor, source, batch)
        touched.update(removal.mark(cursor, source, "deals", batch.gone.get("deals", ())))
        moved = merging.move(cursor, source, batch.merges, clock)
        companies, contacts = [*{*companies, *moved.companies}], [*{*contacts, *moved.contacts}]
        touched |= moved.deals
        if settle:
            rates.convert(cursor, source.organisation_id, touched, clock)
            search.rebuild(cursor, source.organisation_id, touched, companies, contacts)
        _arrived(cursor, source, "deals_dealactivity", "deal", "deals_deal", touched)
        persons = people.assign(cursor, source, contacts)
        if any(deal.mail_at for deal in deals):
            _correct_mail(cursor, source, touched)
        activities, linked = _activities(cursor, source, prepared or prepare(batch), clock)
        # What was a call or meeting and has become something else, and what is gone, count no longer.
        ended = [*batch.other_activities, *batch.gone.get("activities", ())]
        others = moved.activities | set(removal.mark(cursor, source, "activities", ended))
        activities |= people.resolve(cursor, source, others, contacts, persons, everybody=bool(colleagues))
        touched |= linked | _roles(cursor, source, batch)
        touched |= _deals_touched(cursor, source, activities, contacts, persons)
        if settle:
            summaries.rebuild(source.organisation_id, touched, clock)
        else:
            settling.unsettle(cursor, source, touched, companies)
        if persons:
            people.forget(cursor, source, persons)
    return touched | regrouped  # of these only the settings have changed


def _frame(cursor: CursorWrapper, source: Source, batch: Batch) -> list[int]:
    """Colleagues, pipelines and stages: small, re-read whole. Returns the ids of changed colleagues."""
    colleagues = COLLEAGUE.merge(
        cursor,
        source,
        [(r.external_id, r.name, r.email.strip().lower(), r.active) for r in latest(batch.colleagues)],
    )
    _arrived(cursor, source, "deals_deal", "owner", "deals_colleague", colleagues)
    pipelines = PIPELINE.merge(
        cursor, source, [(r.external_id, r.name, r.position, r.deleted) for r in latest(batch.pipelines)]
    )
    _arrived(cursor, source, "deals_stage", "pipeline", "deals_pipeline", pipelines)
    _arrived(cursor, source, "deals_deal", "pipeline", "deals_pipeline", pipelines)
    stages = STAGE.merge(
        cursor,
        source,
        [(r.external_id, r.pipeline, r.name, r.position, r.closed, r.deleted) for r in latest(batch.stages)],
    )
    _arrived(cursor, source, "deals_deal", "stage", "deals_stage", stages)
    for kind in ("pipelines", "stages"):
        removal.mark(cursor, source, kind, batch.gone.get(kind, ()))
    return colleagues


def _teams(cursor: CursorWrapper, source: Source, colleagues: Sequence[ColleagueRecord]) -> set[int]:
    """In which of the CRM's teams these colleagues are, and no longer are; returns the open deals of those who moved.

    A team that nobody is in is gone from the CRM: owners come in pages, so only this is true at every moment.
    """
    if not colleagues:
        return set()
    scope: dict[str, Any] = {"org": source.organisation_id, "source": source.pk}
    teams = {team.external_id: team.name for r in colleagues for team in r.teams}
    load(cursor, "incoming_team", {"external_id": "text", "name": "text"}, list(teams.items()))
    cursor.execute(
        """
        INSERT INTO deals_team AS t (organisation_id, source_id, external_id, name, stale)
        SELECT %(org)s, %(source)s, external_id, name, false FROM incoming_team
        ON CONFLICT (organisation_id, source_id, external_id) WHERE external_id <> '' DO UPDATE
        SET name = excluded.name, stale = false WHERE (t.name, t.stale) IS DISTINCT FROM (excluded.name, false)
        """,
        scope,
    )
    load(
        cursor,
        "incoming_teammember",
        {"colleague_ref": "text", "team_ref": "text"},
        [(r.external_id, key) for r in colleagues for key in {team.external_id for team in r.teams}],
    )
    cursor.execute(
        """
        WITH c AS (
            SELECT id, external_id FROM deals_colleague WHERE organisation_id = %(org)s AND source_id = %(source)s
                   AND external_id = ANY(%(colleagues)s)
        ), said AS (
            SELECT c.id AS colleague_id, t.id AS team_id FROM incoming_teammember i
            JOIN c ON c.external_id = i.colleague_ref
            JOIN deals_team t ON t.organisation_id = %(org)s AND t.source_id = %(source)s AND t.external_id = i.team_ref
        ), gone AS (
            DELETE FROM deals_teammember m USING c, deals_team t WHERE m.organisation_id = %(org)s
            AND m.colleague_id = c.id AND t.organisation_id = %(org)s AND t.id = m.team_id AND t.source_id = %(source)s
            AND NOT EXISTS (SELECT FROM said s WHERE s.colleague_id = m.colleague_id AND s.team_id = m.team_id)
            RETURNING m.colleague_id
        ), written AS (
            INSERT INTO deals_teammember (organisation_id, team_id, colleague_id)
            SELECT %(org)s, team_id, colleague_id FROM said
            ON CONFLICT (organisation_id, team_id, colleague_id) DO NOTHING RETURNING colleague_id
        ) SELECT colleague_id FROM gone UNION SELECT colleague_id FROM written
        """,
        {**scope, "colleagues": [r.external_id for r in colleagues]},
    )
    moved = [row[0] for row in cursor.fetchall()]
    if not moved:
        return set()
    cursor.execute(
        """
        UPDATE deals_team t SET stale = true WHERE t.organisation_id = %(org)s AND t.source_id = %(source)s
        AND NOT t.stale AND NOT EXISTS (SELECT FROM deals_teammember m
                                        WHERE m.organisation_id = %(org)s AND m.team_id = t.id)
        """,
        scope,
    )
    deals = Deal.objects.filter(organisation=source.organisation_id, owner__in=moved)
    return set(deals.open().values_list("pk", flat=True))


def _roles(cursor: CursorWrapper, source: Source, batch: Batch) -> set[int]:
    """The roles that the CRM offers; returns the deals on which one that came, went or changed is held."""
    found = {role_key(r.label): r.label for r in batch.found_roles}
    if found:  # people spell them differently: the first label stays
        known = Role.objects.filter(organisation=source.organisation_id, source=source, stale=False, key__in=found)
        for key in known.values_list("key", flat=True):
            del found[key]
    labels = {role_key(r.label): r.label for r in batch.roles or ()}
    refs: dict[str, set[str]] = {key: set() for key in {**found, **labels}}
    for r in batch.roles or ():
        refs[role_key(r.label)].update(filter(None, [r.ref]))
    rows = [(key, label, sorted(refs[key]), False) for key, label in {**found, **labels}.items()]
    changed = ROLE.merge(cursor, source, rows)
    if batch.roles is None and not changed:
        return set()
    cursor.execute(
        """
        WITH gone AS (
            UPDATE deals_role SET stale = true WHERE organisation_id = %(org)s AND source_id = %(source)s
            AND NOT stale AND %(whole)s AND key <> ALL(%(keys)s) RETURNING key
        ), changed AS (
            SELECT key FROM deals_role WHERE organisation_id = %(org)s AND id = ANY(%(changed)s)
            UNION SELECT key FROM gone
        ) SELECT id FROM deals_deal WHERE organisation_id = %(org)s AND source_id = %(source)s
          AND roles ?| ARRAY(SELECT key FROM changed)
        """,
        {
            "org": source.organisation_id,
            "source": source.pk,
            "whole": batch.roles is not None,
            "keys": list(labels),
            "changed": changed,
        },
    )
    return {row[0] for row in cursor.fetchall()}


# Rows that are of a source by what they belong to.
_BELONGS = {"deals_dealcontact": ("deal_id", "deals_deal"), "deals_dealactivity": ("activity_id", "deals_activity")}


def _arrived(cursor: CursorWrapper, source: Source, table: str, name: str, target: str, ids: Collection[int]) -> None:
    """Objects `ids` of `target` are here: fill the key of rows of the same source that waited for them."""
    if not ids:
        return
    column, whole = _BELONGS.get(table, ("id", table))
    plans.execute_for(
        len(ids),
        cursor,
        f"UPDATE {table} t SET {name}_id = x.id FROM {target} x, {whole} w WHERE t.organisation_id = %(org)s "
        f"AND t.{name}_id IS NULL AND x.organisation_id = %(org)s AND x.source_id = %(source)s "
        f"AND x.id = ANY(%(ids)s) AND x.external_id = t.{name}_ref "
        f"AND w.organisation_id = %(org)s AND w.source_id = %(source)s AND w.id = t.{column}",
        {"org": source.organisation_id, "source": source.pk, "ids": list(ids)},
    )


def _contacts(cursor: CursorWrapper, source: Source, batch: Batch) -> list[int]:
    rows = []
    records = latest(batch.contacts)
    judged = titles.judge(cursor, source.organisation_id, {r.job_title for r in records}) if records else {}
    for r in records:
        emails = sorted({address.strip().lower() for address in r.emails if address.strip()})
        roles = sorted({role_key(label) for label in r.roles if label.strip()})
        rows.append(
            (
                r.external_id,
                r.name,
                r.job_title,
                *judged[r.job_title],
                emails,
                r.company or "",
                roles,
                r.updated_at,
                r.deleted,
            )
        )
    return CONTACT.merge(cursor, source, rows)


def _deals(cursor: CursorWrapper, source: Source, records: Sequence[DealRecord]) -> set[int]:
    if not records:
        return set()
    rows = [
        (
            r.external_id,
            r.title,
            r.status,
            r.amount,
            r.currency,
            r.pipeline or "",
            r.stage or "",
            r.owner or "",
            r.company or "",
            r.created_at,
            r.updated_at,
            r.stage_entered_at,
            r.closed_at,
            r.close_on,
            r.mail_at,
            r.archived,
            r.deleted,
            r.participants_told,
            r.mail_told,
            r.details,
        )
        for r in records
    ]
    load(cursor, DEAL.incoming, DEAL.columns | DEAL.hints, rows)
    plans.execute_for(
        len(rows),
        cursor,
        """
        INSERT INTO deals_fieldchange (organisation_id, deal_id, field, old, new, changed_at)
        SELECT d.organisation_id, d.id, c.field, c.old, c.new, i.updated_at
        FROM incoming_deals_deal i
        JOIN deals_deal d ON d.organisation_id = %(org)s AND d.source_id = %(source)s
             AND d.external_id = i.external_id
        CROSS JOIN LATERAL (VALUES
            ('stage', d.stage_ref, i.stage_ref), ('amount', d.amount::text, i.amount::text),
            ('close_on', d.close_on::text, i.close_on::text), ('status', d.status, i.status),
            ('owner', d.owner_ref, i.owner_ref)
        ) c(field, old, new)
        WHERE d.updated_at <= i.updated_at AND c.old IS DISTINCT FROM c.new
        """,
        {"org": source.organisation_id, "source": source.pk},
    )
    touched = {id for id, _, _ in DEAL.write(cursor, source, len(rows))}
    known = [r for r in records if r.contacts is not None]
    if known:
        touched |= _deal_contacts(cursor, source, known)
    return touched


def _deal_contacts(cursor: CursorWrapper, source: Source, records: Sequence[DealRecord]) -> set[int]:
    """Replace who is on the deals unless a newer version said it, and return the deals on which that changed."""
    rows: dict[tuple[str, str], tuple[Any, ...]] = {}
    for r in records:
        for c in r.contacts or ():
            before = rows.get((r.external_id, c.contact))
            roles = sorted({*(before[3] if before else ()), *map(role_key, c.roles)})
            rows[r.external_id, c.contact] = (
                r.external_id,
                c.contact,
                c.primary or bool(before and before[2]),
                roles,
            )
    load(
        cursor,
        "incoming_dealcontact",
        {"deal_ref": "text", "contact_ref": "text", '"primary"': "boolean", "roles": "text[]"},
        rows.values(),
    )
    plans.execute_for(
        len(records) + len(rows),
        cursor,
        """
        WITH d AS (
            SELECT d.id, d.external_id FROM deals_deal d JOIN incoming_deals_deal i ON i.external_id = d.external_id
            WHERE d.organisation_id = %(org)s AND d.source_id = %(source)s AND d.external_id = ANY(%(deals)s)
                  AND d.updated_at <= i.updated_at
        ), gone AS (
            DELETE FROM deals_dealcontact x USING d WHERE x.organisation_id = %(org)s AND x.deal_id = d.id
            AND NOT EXISTS (SELECT FROM incoming_dealcontact i
                            WHERE i.deal_ref = d.external_id AND i.contact_ref = x.contact_ref)
            AND NOT x.participant RETURNING x.deal_id
        ), left_with AS ( -- a participant goes on being one without what the deal itself says
            UPDATE deals_dealcontact x SET "primary" = false, roles = '{}' FROM d
            WHERE x.organisation_id = %(org)s AND x.deal_id = d.id AND x.participant
            AND (x."primary" OR x.roles <> '{}') AND NOT EXISTS (
                SELECT FROM incoming_dealcontact i WHERE i.deal_ref = d.external_id AND i.contact_ref = x.contact_ref)
            RETURNING x.deal_id
        ), written AS (
            INSERT INTO deals_dealcontact AS t
                (organisation_id, deal_id, contact_id, contact_ref, "primary", roles)
            SELECT %(org)s, d.id, c.id, i.contact_ref, i."primary", i.roles
            FROM incoming_dealcontact i JOIN d ON d.external_id = i.deal_ref
            LEFT JOIN deals_contact c ON c.organisation_id = %(org)s AND c.source_id = %(source)s
                 AND c.external_id = i.contact_ref
            ON CONFLICT (organisation_id, deal_id, contact_ref) DO UPDATE
            SET "primary" = excluded."primary", roles = excluded.roles, contact_id = excluded.contact_id
            WHERE (t."primary", t.roles, t.contact_id)
                  IS DISTINCT FROM (excluded."primary", excluded.roles, excluded.contact_id)
            RETURNING t.deal_id
        ) SELECT deal_id FROM gone UNION SELECT deal_id FROM left_with UNION SELECT deal_id FROM written
        """,
        {"org": source.organisation_id, "source": source.pk, "deals": [r.external_id for r in records]},
    )
    return {row[0] for row in cursor.fetchall()}


def _unreadable_mail(deals: Iterable[DealRecord]) -> list[ActivityRecord]:
    """Mail whose time alone the CRM tells: one e-mail that engages nobody (PRODUCT, "When")."""
    return [
        ActivityRecord(
            external_id=f"mail/{deal.external_id}",
            kind="email",
            state="held",
            subject="",
            at=deal.mail_at,
            updated_at=deal.mail_at,  # so that it gives way for good to a mail that could be read (deals.details)
            deals=(deal.external_id,),
        )
        for deal in deals
        if deal.mail_at
    ]


def _correct_mail(cursor: CursorWrapper, source: Source, deals: Collection[int]) -> None:
    """A mail's version is its own time: one whose deal now says an earlier time would never be written."""
    cursor.execute(
        """
        UPDATE deals_activity a SET updated_at = d.mail_at FROM deals_deal d
        WHERE d.organisation_id = %(org)s AND d.source_id = %(source)s AND d.id = ANY(%(deals)s)
        AND a.organisation_id = %(org)s AND a.source_id = %(source)s AND a.external_id = 'mail/' || d.external_id
        AND NOT a.deleted AND a.updated_at > d.mail_at
        """,
        {"org": source.organisation_id, "source": source.pk, "deals": list(deals)},
    )


def _activities(cursor: CursorWrapper, source: Source, prepared: Prepared, clock: Clock) -> tuple[set[int], set[int]]:
    """Write activities with participants and links. Returns those that were here and have changed, and the deals that
    got one or lost one."""
    if not prepared.lines:
        return set(), set()
    load_lines(cursor, ACTIVITY.incoming, ACTIVITY.columns, prepared.lines)
    written = ACTIVITY.write(cursor, source, len(prepared.lines))
    if not written:
        return set(), set()
    ids = {ref: id for id, ref, _ in written}
    stored = [id for id, _, new in written if not new]
    people.attend(cursor, source, ids.values(), [(ids[r], said) for r, said in prepared.parties if r in ids], stored)
    lost = set()
    scope: dict[str, Any] = {"org": source.organisation_id, "source": source.pk, "zone": clock.zone.key}
    columns = {"activity_id": "bigint", "deal_ref": "text"}
    links = [(ids[ref], deal) for ref, deal in prepared.links if ref in ids]
    load(cursor, "incoming_dealactivity", columns, links)
    if stored:
        cursor.execute(
            """
            DELETE FROM deals_dealactivity x WHERE x.organisation_id = %(org)s AND x.activity_id = ANY(%(stored)s)
            AND NOT EXISTS (SELECT FROM incoming_dealactivity i
                            WHERE i.activity_id = x.activity_id AND i.deal_ref = x.deal_ref)
            RETURNING x.deal_id
            """,
            {**scope, "stored": stored},
        )
        lost = {row[0] for row in cursor.fetchall() if row[0]}
    # An all-day activity stands at the local midnight of its day, or of the day it was marked done if that is earlier.
    plans.execute_for(
        len(links),
        cursor,
        """
        INSERT INTO deals_dealactivity AS t (organisation_id, activity_id, deal_ref, deal_id, occurred_at)
        SELECT %(org)s, a.id, i.deal_ref, d.id, COALESCE(a.at, (CASE WHEN a.state = 'held'
               THEN LEAST(a."on", (a.done_at AT TIME ZONE %(zone)s)::date) ELSE a."on" END)::timestamp
               AT TIME ZONE %(zone)s, a.updated_at)
        FROM incoming_dealactivity i JOIN deals_activity a ON a.organisation_id = %(org)s AND a.id = i.activity_id
        LEFT JOIN deals_deal d ON d.organisation_id = %(org)s AND d.source_id = %(source)s
             AND d.external_id = i.deal_ref
        ON CONFLICT (organisation_id, activity_id, deal_ref) DO UPDATE
        SET occurred_at = excluded.occurred_at, deal_id = excluded.deal_id
        WHERE (t.occurred_at, t.deal_id) IS DISTINCT FROM (excluded.occurred_at, excluded.deal_id)
        RETURNING t.deal_id
        """,
        scope,
    )
    return set(stored), lost | {row[0] for row in cursor.fetchall() if row[0]}


def _deals_touched(
    cursor: CursorWrapper,
    source: Source,
    activities: Collection[int],
    contacts: Collection[int],
    persons: Collection[int],
) -> set[int]:
    """Deals whose history or people these activities, contacts and persons are part of."""
    if not (activities or contacts or persons):
        return set()
    plans.execute_for(
        len(activities) + len(contacts) + len(persons),
        cursor,
        """
        SELECT deal_id FROM deals_dealactivity WHERE organisation_id = %(org)s AND activity_id = ANY(%(activities)s)
               AND deal_id IS NOT NULL
        UNION SELECT deal_id FROM deals_dealperson WHERE organisation_id = %(org)s AND person_id = ANY(%(persons)s)
        UNION SELECT dc.deal_id FROM deals_contact c JOIN deals_dealcontact dc ON dc.organisation_id = %(org)s
              AND dc.contact_id = c.id WHERE c.organisation_id = %(org)s AND c.person_id = ANY(%(persons)s)
        UNION SELECT deal_id FROM deals_dealcontact WHERE organisation_id = %(org)s AND contact_id = ANY(%(contacts)s)
        """,
        {
            "org": source.organisation_id,
            "activities": list(activities),
            "contacts": list(contacts),
            "persons": list(persons),
        },
    )
    return {row[0] for row in cursor.fetchall()}
