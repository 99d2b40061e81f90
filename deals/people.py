"""Who is who: contacts that share an address are one person, an address unknown to the CRM is a person too.

A person is kept as a row, so that who was engaged is one number; it is decided anew for the contacts that change.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Any

from django.db.backends.utils import CursorWrapper

from deals import plans
from deals.copy import line, load, load_lines
from deals.models import Source
from deals.records import ActivityRecord, ParticipantRecord

FREE_MAIL = {
    *("gmail.com", "googlemail.com", "outlook.com", "outlook.fr", "hotmail.com", "hotmail.fr", "live.com", "live.fr"),
    *("msn.com", "yahoo.com", "yahoo.fr", "icloud.com", "me.com", "mac.com", "aol.com", "gmx.com", "gmx.net", "gmx.de"),
    *("web.de", "orange.fr", "wanadoo.fr", "free.fr", "sfr.fr", "laposte.net", "bbox.fr", "proton.me", "mail.com"),
    *("protonmail.com", "zoho.com", "yandex.com", "ymail.com", "hotmail.co.uk", "live.co.uk", "yahoo.co.uk"),
    *("hotmail.de", "hotmail.es", "hotmail.it", "yahoo.de", "yahoo.es", "yahoo.it", "yahoo.ca", "outlook.de", "gmx.fr"),
    *("gmx.at", "gmx.ch", "neuf.fr", "club-internet.fr", "numericable.fr", "aliceadsl.fr", "mailo.com", "pm.me"),
    *("fastmail.com", "hey.com", "tutanota.com", "t-online.de", "bluewin.ch", "skynet.be", "libero.it", "mail.ru"),
    *("yandex.ru", "qq.com", "163.com", "live.be", "live.nl", "outlook.be", "hotmail.be", "hotmail.ch", "outlook.es"),
}


PARTY = {
    "activity_id": "bigint",
    "kind": "text",
    "parties": "integer",
    "part": "text",
    "address": "text",
    "contact_ref": "text",
    "colleague_ref": "text",
    "name": "text",
    "declined": "boolean",
}

# Persons are the connected components of before: one step reaches everybody whom the change can join or part.
_NEAR = """
    WITH near AS (
        SELECT c.person_id FROM deals_contact c WHERE c.organisation_id = %(org)s AND c.id = ANY(%(ids)s)
        UNION
        SELECT a.person_id FROM deals_contact c CROSS JOIN LATERAL unnest(c.emails) e(address)
        JOIN deals_personaddress a ON a.organisation_id = %(org)s AND a.source_id = %(source)s
             AND a.address = e.address
        WHERE c.organisation_id = %(org)s AND c.id = ANY(%(ids)s)
    )
    SELECT id, person_id, name, job_title, level, level_rule, emails, roles, deleted FROM deals_contact
    WHERE organisation_id = %(org)s AND source_id = %(source)s
          AND id IN (SELECT unnest(%(ids)s) UNION SELECT c.id FROM near
                     JOIN deals_contact c ON c.organisation_id = %(org)s AND c.person_id = near.person_id)
    UNION ALL
    SELECT -p.id, p.id, p.name, '', NULL, '', ARRAY(SELECT address FROM deals_personaddress a
           WHERE a.organisation_id = %(org)s AND a.person_id = p.id), '{}', false
    FROM deals_person p WHERE p.organisation_id = %(org)s AND p.id IN (SELECT person_id FROM near) AND NOT p.known
    ORDER BY 1
"""


def assign(cursor: CursorWrapper, source: Source, contacts: Collection[int]) -> set[int]:
    """Give each of `contacts` its person; returns the ids of persons that are new, changed, merged or split."""
    if not contacts:
        return set()
    scope: dict[str, Any] = {"org": source.organisation_id, "source": source.pk, "ids": list(contacts)}
    plans.execute_for(len(contacts), cursor, _NEAR, scope)
    rows = {row[0]: row for row in cursor.fetchall()}
    groups = _components(rows)
    before = {row[1] for row in rows.values() if row[1]}
    free = set(before)
    chosen: list[tuple[int, list[int]]] = []
    fresh = []
    for group in groups:
        own = min((rows[i][1] for i in group if rows[i][1] in free), default=None)
        if own is None:
            fresh.append(group)
        else:
            free.discard(own)
            chosen.append((own, group))
    if fresh:
        cursor.execute(
            "SELECT nextval(pg_get_serial_sequence('deals_person', 'id')) FROM generate_series(1, %s)", [len(fresh)]
        )
        chosen += [(row[0], group) for row, group in zip(cursor.fetchall(), fresh, strict=True)]
    people, addresses, members = [], [], []
    for person, group in chosen:
        living = [rows[i] for i in group if not rows[i][8]] or [rows[i] for i in group]
        known = [row for row in living if row[0] > 0]
        best = max(known or living, key=lambda row: (row[4] is not None, row[4] or 0, -row[0]))
        roles = sorted({role for row in living for role in row[7]})
        name = (known or living)[0][2]
        people.append((person, name, best[3], best[4], best[5], roles, bool(known)))
        addresses += [(person, address) for address in sorted({a for i in group for a in rows[i][6]})]
        members += [(i, person) for i in group if i > 0]
    changed = _write(cursor, scope, people, addresses, members, sorted(free))
    return changed | free


def _components(rows: dict[int, tuple[Any, ...]]) -> list[list[int]]:
    """Contacts grouped by shared address, each group and the list in ascending order of contact."""
    parent = {i: i for i in rows}

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    seen: dict[str, int] = {}
    for i, row in rows.items():
        for address in row[6]:
            other = seen.setdefault(address, i)
            parent[root(i)] = root(other)
    groups = defaultdict(list)
    for i in rows:
        groups[root(i)].append(i)
    return sorted(sorted(group, key=abs) for group in groups.values())


def _write(
    cursor: CursorWrapper,
    scope: dict[str, Any],
    people: list[tuple[Any, ...]],
    addresses: list[tuple[int, str]],
    members: list[tuple[int, int]],
    gone: list[int],
) -> set[int]:
    load(
        cursor,
        "incoming_person",
        {
            "id": "bigint",
            "name": "text",
            "job_title": "text",
            "level": "smallint",
            "level_rule": "text",
            "roles": "text[]",
            "known": "boolean",
        },
        people,
    )
    load(cursor, "incoming_address", {"person_id": "bigint", "address": "text"}, addresses)
    rows = max(len(people), len(addresses), len(members))
    load(cursor, "incoming_member", {"contact_id": "bigint", "person_id": "bigint"}, members)
    plans.execute_for(
        rows,
        cursor,
        """
        INSERT INTO deals_person AS t
            (id, organisation_id, source_id, name, job_title, level, level_rule, roles, known)
        OVERRIDING SYSTEM VALUE
        SELECT id, %(org)s, %(source)s, name, job_title, level, level_rule, roles, known FROM incoming_person
        ON CONFLICT (id) DO UPDATE SET name = excluded.name, job_title = excluded.job_title, level = excluded.level,
            level_rule = excluded.level_rule, roles = excluded.roles, known = excluded.known
        WHERE (t.name, t.job_title, t.level, t.level_rule, t.roles, t.known) IS DISTINCT FROM
              (excluded.name, excluded.job_title, excluded.level, excluded.level_rule, excluded.roles, excluded.known)
        RETURNING id
        """,
        scope,
    )
    changed = {row[0] for row in cursor.fetchall()}
    # Who is merged or split holds a role since before, merged holders since the earlier: until the roles are rebuilt,
    # under both names.
    plans.execute_for(
        rows,
        cursor,
        """
        WITH m AS MATERIALIZED (
            SELECT DISTINCT dc.deal_id, m.person_id::text AS after, c.person_id::text AS before FROM incoming_member m
            JOIN deals_contact c ON c.organisation_id = %(org)s AND c.id = m.contact_id AND c.person_id <> m.person_id
            JOIN deals_dealcontact dc ON dc.organisation_id = %(org)s AND dc.contact_id = c.id
        ), since AS (
            SELECT m.deal_id, r.key AS role, m.after, min(h.value::timestamptz) AS at
            FROM m JOIN deals_deal d ON d.organisation_id = %(org)s AND d.id = m.deal_id
            CROSS JOIN LATERAL jsonb_each(d.roles) r
            CROSS JOIN LATERAL jsonb_each_text(r.value -> 'held') h WHERE h.key IN (m.before, m.after)
            GROUP BY m.deal_id, r.key, m.after
        ), held AS (
            SELECT deal_id, role, jsonb_object_agg(after, at) AS held FROM since GROUP BY deal_id, role
        ), roles AS (
            SELECT h.deal_id, jsonb_object_agg(h.role, jsonb_set(d.roles -> h.role, '{held}',
                   (d.roles #> ARRAY[h.role, 'held']) || h.held)) AS roles
            FROM held h JOIN deals_deal d ON d.organisation_id = %(org)s AND d.id = h.deal_id GROUP BY h.deal_id
        )
        UPDATE deals_deal d SET roles = d.roles || x.roles FROM roles x
        WHERE d.organisation_id = %(org)s AND d.id = x.deal_id
        """,
        scope,
    )
    plans.execute_for(
        rows,
        cursor,
        """
        UPDATE deals_contact c SET person_id = m.person_id FROM incoming_member m
        WHERE c.organisation_id = %(org)s AND c.id = m.contact_id AND c.person_id IS DISTINCT FROM m.person_id
        RETURNING m.person_id
        """,
        scope,
    )
    changed |= {row[0] for row in cursor.fetchall()}
    plans.execute_for(
        rows,
        cursor,
        """
        DELETE FROM deals_personaddress a USING incoming_person p WHERE a.organisation_id = %(org)s
        AND a.person_id = p.id AND NOT EXISTS
            (SELECT FROM incoming_address i WHERE i.person_id = a.person_id AND i.address = a.address)
        RETURNING a.person_id
        """,
        scope,
    )
    changed |= {row[0] for row in cursor.fetchall()}
    plans.execute_for(
        rows,
        cursor,
        """
        INSERT INTO deals_personaddress AS t (organisation_id, source_id, person_id, address)
        SELECT %(org)s, %(source)s, person_id, address FROM incoming_address
        ON CONFLICT (organisation_id, source_id, address) DO UPDATE SET person_id = excluded.person_id
        WHERE t.person_id <> excluded.person_id RETURNING person_id
        """,
        scope,
    )
    changed |= {row[0] for row in cursor.fetchall()}
    if gone:
        # Merged into another: its deals are rebuilt for the survivor, its participations resolved anew.
        cursor.execute(
            """
            UPDATE deals_participant p SET person_id = a.person_id FROM deals_personaddress a
            WHERE p.organisation_id = %(org)s AND p.person_id = ANY(%(gone)s) AND a.organisation_id = %(org)s
                  AND a.source_id = %(source)s AND a.address = p.address RETURNING a.person_id
            """,
            {**scope, "gone": gone},
        )
    return changed


def relevel(cursor: CursorWrapper, organisation: int, contacts: Collection[int]) -> set[int]:
    """Give the people of `contacts` the highest level among their titles, as `assign` does.

    Returns the ids of those whose level has changed.
    """
    cursor.execute(
        """
        UPDATE deals_person p SET job_title = b.job_title, level = b.level, level_rule = b.level_rule FROM (
            SELECT DISTINCT ON (c.person_id) c.person_id, c.job_title, c.level, c.level_rule, p.level AS before
            FROM deals_contact c JOIN deals_person p ON p.organisation_id = %(org)s AND p.id = c.person_id AND p.known
            WHERE c.organisation_id = %(org)s AND c.person_id IN (
                SELECT person_id FROM deals_contact WHERE organisation_id = %(org)s AND id = ANY(%(contacts)s))
            ORDER BY c.person_id, c.deleted, c.level DESC NULLS LAST, c.id
        ) b
        WHERE p.organisation_id = %(org)s AND p.id = b.person_id
              AND (p.job_title, p.level, p.level_rule) IS DISTINCT FROM (b.job_title, b.level, b.level_rule)
        RETURNING p.id, b.before IS DISTINCT FROM b.level
        """,
        {"org": organisation, "contacts": list(contacts)},
    )
    return {person for person, changed in cursor.fetchall() if changed}


def party(r: ActivityRecord, p: ParticipantRecord) -> str:
    """A line of PARTY but for the activity's id, which is not known before the activity is written."""
    told = (r.kind, len(r.participants), p.part, p.address.strip().lower(), p.contact or "", p.colleague or "")
    return line((*told, p.name, p.declined))


def attend(
    cursor: CursorWrapper,
    source: Source,
    activities: Collection[int],
    parties: Iterable[tuple[int, str]],
    stored: Collection[int],
) -> None:
    """Write who took part in `activities`, resolved at once as `resolve` would. `parties`: the activity's id and a
    `party`; `stored`: those of `activities` that had participants before, which are replaced."""
    scope: dict[str, Any] = {"org": source.organisation_id, "source": source.pk}
    if stored:
        cursor.execute(
            "DELETE FROM deals_participant WHERE organisation_id = %(org)s AND activity_id = ANY(%(stored)s)",
            {**scope, "stored": list(stored)},
        )
    load_lines(cursor, "incoming_participant", PARTY, (f"{id}\t{rest}" for id, rest in parties))
    plans.execute_for(len(activities), cursor, ATTEND, {**scope, "ids": list(activities)})


def resolve(
    cursor: CursorWrapper,
    source: Source,
    activities: Collection[int],
    contacts: Collection[int],
    persons: Collection[int],
    everybody: bool,
) -> set[int]:
    """Say of the participants concerned who they are and whether they were engaged, and of their activities whether
    they are internal; returns the ids of all activities whose meaning may have changed."""
    if everybody:
        _own_domains(cursor, source)
    if not (activities or contacts or persons or everybody):
        return set()
    scope: dict[str, Any] = {
        "org": source.organisation_id,
        "source": source.pk,
        "activities": list(activities),
        "contacts": list(contacts),
        "persons": list(persons),
    }
    if everybody:
        cursor.execute(_WITH_PARTIES, scope)
    else:
        plans.execute_for(len(activities) + len(contacts) + len(persons), cursor, _CONCERNED, scope)
    ids = [row[0] for row in cursor.fetchall()]
    if not ids:
        return set(activities)
    load(cursor, "concerned_activity", {"id": "bigint"}, [(i,) for i in ids])
    cursor.execute(COLLEAGUES, scope)
    cursor.execute(STRANGERS, scope)
    cursor.execute(PARTIES, scope)
    cursor.execute(MEANING, scope)
    return set(ids)


def _own_domains(cursor: CursorWrapper, source: Source) -> None:
    """Prefill the organisation's own mail domains from its colleagues' addresses; never a free-mail domain.

    After the first synchronisation, or once an admin has chosen, the list is theirs.
    """
    cursor.execute(
        """
        UPDATE accounts_organisation o SET own_domains = to_jsonb(d.domains) FROM (
            SELECT array_agg(DISTINCT split_part(email, '@', 2)) AS domains FROM deals_colleague
            WHERE organisation_id = %(org)s AND email LIKE '%%@%%' AND split_part(email, '@', 2) <> ALL(%(free)s)
        ) d, deals_source s
        WHERE o.id = %(org)s AND d.domains IS NOT NULL AND s.organisation_id = %(org)s AND s.id = %(source)s
              AND (s.first_synced_at IS NULL OR o.own_domains = '[]') AND NOT o.own_domains @> to_jsonb(d.domains)
              AND NOT EXISTS (SELECT FROM deals_owndomains WHERE organisation_id = %(org)s)
        """,
        {"org": source.organisation_id, "source": source.pk, "free": sorted(FREE_MAIL)},
    )


def forget(cursor: CursorWrapper, source: Source, persons: Collection[int]) -> None:
    """Remove those of `persons` that have become nobody: merged into another, no address left."""
    cursor.execute(
        """
        DELETE FROM deals_person p WHERE p.organisation_id = %(org)s AND p.id = ANY(%(ids)s)
        AND NOT EXISTS (SELECT FROM deals_contact c WHERE c.organisation_id = %(org)s AND c.person_id = p.id)
        AND NOT EXISTS (SELECT FROM deals_personaddress a WHERE a.organisation_id = %(org)s AND a.person_id = p.id)
        """,
        {"org": source.organisation_id, "ids": list(persons)},
    )


# Another source's contacts of the same id are other people.
_WITH_PARTIES = """
    SELECT id FROM deals_activity WHERE organisation_id = %(org)s AND source_id = %(source)s
    AND id IN (SELECT activity_id FROM deals_participant WHERE organisation_id = %(org)s)
"""
_CONCERNED = """
    SELECT id FROM deals_activity WHERE organisation_id = %(org)s AND source_id = %(source)s AND id IN (
        SELECT unnest(%(activities)s::bigint[])
        UNION SELECT activity_id FROM deals_participant
              WHERE organisation_id = %(org)s AND person_id = ANY(%(persons)s)
        UNION SELECT p.activity_id FROM deals_contact c JOIN deals_participant p ON p.organisation_id = %(org)s
              AND p.contact_ref = c.external_id AND p.contact_ref <> ''
              WHERE c.organisation_id = %(org)s AND (c.id = ANY(%(contacts)s) OR c.person_id = ANY(%(persons)s))
        UNION SELECT p.activity_id FROM deals_personaddress a JOIN deals_participant p ON p.organisation_id = %(org)s
              AND p.address = a.address AND p.address <> ''
              WHERE a.organisation_id = %(org)s AND a.person_id = ANY(%(persons)s)
    )
"""
# A colleague: a user of the CRM, a member of the organisation, or an address in one of its own domains. Somebody is one
# by any address of the same person, whichever contact was recorded.
#
# Here and below what differs is found first and then looked up by key: for an organisation that the statistics do not
# know yet, joining the rows with themselves is planned as if there were one, and takes quadratic time.
COLLEAGUES = """
    WITH said AS (
        SELECT p.id, p.colleague AS before, p.colleague_ref <> '' OR COALESCE(bool_or(mine.address IS NOT NULL
               OR o.own_domains ? split_part(a.address, '@', 2)), false) AS colleague
        FROM concerned_activity t
        JOIN deals_participant p ON p.organisation_id = %(org)s AND p.activity_id = t.id
        JOIN accounts_organisation o ON o.id = %(org)s
        LEFT JOIN deals_contact c ON c.organisation_id = %(org)s AND c.source_id = %(source)s
             AND c.external_id = p.contact_ref AND p.contact_ref <> ''
        LEFT JOIN deals_personaddress w ON w.organisation_id = %(org)s AND w.source_id = %(source)s
             AND w.address = p.address AND p.address <> ''
        LEFT JOIN LATERAL (
            SELECT p.address WHERE p.address <> ''
            UNION ALL SELECT e.address FROM deals_personaddress e
                      WHERE e.organisation_id = %(org)s AND e.person_id IN (c.person_id, w.person_id)
        ) a ON true
        LEFT JOIN (
            SELECT email AS address FROM deals_colleague WHERE organisation_id = %(org)s AND email <> ''
            UNION SELECT lower(u.email) FROM accounts_membership m JOIN accounts_user u ON u.id = m.user_id
                  WHERE m.organisation_id = %(org)s
        ) mine ON mine.address = a.address
        GROUP BY p.id
    ), changed AS MATERIALIZED (SELECT id, colleague FROM said WHERE colleague <> before)
    UPDATE deals_participant p SET colleague = x.colleague FROM changed x
    WHERE p.organisation_id = %(org)s AND p.id = x.id AND p.id = ANY(ARRAY(SELECT id FROM changed))
"""
_OTHERS = """EXISTS (SELECT FROM deals_participant q
                       WHERE q.organisation_id = %(org)s AND q.activity_id = a.id AND q.id <> p.id)"""
# Whether `p`, who is no colleague, was engaged in an activity of kind {kind}. {others}: somebody else took part.
ENGAGED = """NOT p.declined AND CASE p.part
        WHEN 'attendee' THEN true
        WHEN 'organiser' THEN {kind} <> 'meeting' OR {others}
        WHEN 'other' THEN {kind} = 'call'
        ELSE p.part IN ('to', 'from') AND {kind} IN ('email', 'message') END"""
# A meeting that records only its organiser records no participant; nor does what records only the colleague who
# organised or sent it.
MEANT = """COALESCE(bool_and(p.colleague), false) AS everybody,
                   COALESCE(bool_and(p.colleague OR p.declined), false) AS nobody,
                   COALESCE(count(*) = 1 AND bool_and(p.part = 'organiser' AND (p.colleague OR {kind} = 'meeting')
                       OR p.part = 'from' AND p.colleague AND {kind} IN ('email', 'message')), false) AS alone"""
# All of the following for activities whose participants are written: nothing is written twice.
ATTEND = f"""
    WITH inside AS MATERIALIZED (
        SELECT email AS address FROM deals_colleague WHERE organisation_id = %(org)s AND email <> ''
        UNION SELECT lower(u.email) FROM accounts_membership m JOIN accounts_user u ON u.id = m.user_id
              WHERE m.organisation_id = %(org)s
    ), party AS MATERIALIZED (
        SELECT i.*, c.person_id AS of_contact, w.person_id AS of_address
        FROM incoming_participant i
        LEFT JOIN deals_contact c ON c.organisation_id = %(org)s AND c.source_id = %(source)s
             AND c.external_id = i.contact_ref AND i.contact_ref <> ''
        LEFT JOIN deals_personaddress w ON w.organisation_id = %(org)s AND w.source_id = %(source)s
             AND w.address = i.address AND i.address <> ''
    ), known AS MATERIALIZED (
        SELECT of_contact AS id FROM party WHERE of_contact IS NOT NULL
        UNION SELECT of_address FROM party WHERE of_address IS NOT NULL
    ), colleague AS MATERIALIZED (
        SELECT DISTINCT k.id FROM known k JOIN accounts_organisation o ON o.id = %(org)s
        JOIN deals_personaddress e ON e.organisation_id = %(org)s AND e.person_id = k.id
        WHERE o.own_domains ? split_part(e.address, '@', 2) OR e.address IN (SELECT address FROM inside)
    ), said AS MATERIALIZED (
        SELECT p.*, p.colleague_ref <> '' OR p.address <> '' AND (o.own_domains ? split_part(p.address, '@', 2)
                   OR p.address IN (SELECT address FROM inside))
               OR COALESCE(p.of_contact IN (SELECT id FROM colleague), false)
               OR COALESCE(p.of_address IN (SELECT id FROM colleague), false) AS colleague
        FROM party p JOIN accounts_organisation o ON o.id = %(org)s
    ), unknown AS (
        SELECT address, max(name) AS name FROM said
        WHERE NOT colleague AND address <> '' AND of_address IS NULL GROUP BY address
    ), stranger AS MATERIALIZED (
        SELECT nextval(pg_get_serial_sequence('deals_person', 'id')) AS id, address,
               COALESCE(NULLIF(name, ''), address) AS name FROM unknown
    ), persons AS (
        INSERT INTO deals_person (id, organisation_id, source_id, name, job_title, level_rule, roles, known)
        OVERRIDING SYSTEM VALUE SELECT id, %(org)s, %(source)s, name, '', '', '{{}}', false FROM stranger
    ), addresses AS (
        INSERT INTO deals_personaddress (organisation_id, source_id, person_id, address)
        SELECT %(org)s, %(source)s, id, address FROM stranger
    ), written AS (
        INSERT INTO deals_participant (organisation_id, activity_id, part, address, contact_ref, colleague_ref, name,
                                       declined, colleague, person_id, engaged)
        SELECT %(org)s, p.activity_id, p.part, p.address, p.contact_ref, p.colleague_ref, p.name, p.declined,
               p.colleague, w.person_id, w.person_id IS NOT NULL
               AND {ENGAGED.format(kind="p.kind", others="p.parties > 1")}
        FROM said p LEFT JOIN stranger s ON s.address = p.address
        CROSS JOIN LATERAL (SELECT CASE WHEN NOT p.colleague THEN COALESCE(p.of_contact, p.of_address, s.id) END
                            AS person_id) w
    ), meaning AS (
        SELECT activity_id, everybody AND NOT alone AS internal, nobody AND NOT alone AS nobody_coming
        FROM (SELECT activity_id, {MEANT.format(kind="p.kind")} FROM said p GROUP BY activity_id) m
    ), changed AS MATERIALIZED (
        SELECT a.id, COALESCE(m.internal, false) AS internal, COALESCE(m.nobody_coming, false) AS nobody_coming
        FROM deals_activity a LEFT JOIN meaning m ON m.activity_id = a.id
        WHERE a.organisation_id = %(org)s AND a.id = ANY(%(ids)s) AND (a.internal, a.nobody_coming)
              IS DISTINCT FROM (COALESCE(m.internal, false), COALESCE(m.nobody_coming, false))
    )
    UPDATE deals_activity a SET internal = x.internal, nobody_coming = x.nobody_coming FROM changed x
    WHERE a.organisation_id = %(org)s AND a.id = x.id AND a.id = ANY(ARRAY(SELECT id FROM changed))
"""
# An external address that nobody knows is a person too.
STRANGERS = """
    WITH unknown AS (
        SELECT p.address, max(p.name) AS name FROM concerned_activity t
        JOIN deals_participant p ON p.organisation_id = %(org)s AND p.activity_id = t.id
        WHERE NOT p.colleague AND p.address <> '' AND NOT EXISTS (SELECT FROM deals_personaddress a
              WHERE a.organisation_id = %(org)s AND a.source_id = %(source)s AND a.address = p.address)
        GROUP BY p.address
    ), numbered AS (
        SELECT nextval(pg_get_serial_sequence('deals_person', 'id')) AS id, address,
               COALESCE(NULLIF(name, ''), address) AS name FROM unknown
    ), written AS (
        INSERT INTO deals_person (id, organisation_id, source_id, name, job_title, level_rule, roles, known)
        OVERRIDING SYSTEM VALUE SELECT id, %(org)s, %(source)s, name, '', '', '{}', false FROM numbered RETURNING id
    )
    INSERT INTO deals_personaddress (organisation_id, source_id, person_id, address)
    SELECT %(org)s, %(source)s, n.id, n.address FROM numbered n JOIN written w ON w.id = n.id
"""
PARTIES = f"""
    WITH said AS (
        SELECT p.id, p.person_id AS person_before, p.engaged AS engaged_before,
               w.person_id, w.person_id IS NOT NULL AND {ENGAGED.format(kind="a.kind", others=_OTHERS)} AS engaged
        FROM concerned_activity t
        JOIN deals_activity a ON a.organisation_id = %(org)s AND a.id = t.id
        JOIN deals_participant p ON p.organisation_id = %(org)s AND p.activity_id = t.id
        LEFT JOIN deals_contact c ON c.organisation_id = %(org)s AND c.source_id = %(source)s
             AND c.external_id = p.contact_ref AND p.contact_ref <> ''
        LEFT JOIN deals_personaddress pa ON pa.organisation_id = %(org)s AND pa.source_id = %(source)s
             AND pa.address = p.address AND p.address <> ''
        CROSS JOIN LATERAL (SELECT CASE WHEN NOT p.colleague THEN COALESCE(c.person_id, pa.person_id) END
                            AS person_id) w
    ), changed AS MATERIALIZED (
        SELECT id, person_id, engaged FROM said
        WHERE (person_id, engaged) IS DISTINCT FROM (person_before, engaged_before)
    )
    UPDATE deals_participant p SET person_id = x.person_id, engaged = x.engaged FROM changed x
    WHERE p.organisation_id = %(org)s AND p.id = x.id AND p.id = ANY(ARRAY(SELECT id FROM changed))
"""
MEANING = f"""
    WITH changed AS MATERIALIZED (
        SELECT id, everybody AND NOT alone AS internal, nobody AND NOT alone AS nobody_coming FROM (
            SELECT t.id, a.internal, a.nobody_coming, {MEANT.format(kind="a.kind")}
            FROM concerned_activity t
            JOIN deals_activity a ON a.organisation_id = %(org)s AND a.id = t.id
            LEFT JOIN deals_participant p ON p.organisation_id = %(org)s AND p.activity_id = t.id
            GROUP BY t.id, a.internal, a.nobody_coming
        ) said
        WHERE (internal, nobody_coming) IS DISTINCT FROM (everybody AND NOT alone, nobody AND NOT alone)
    )
    UPDATE deals_activity a SET internal = x.internal, nobody_coming = x.nobody_coming FROM changed x
    WHERE a.organisation_id = %(org)s AND a.id = x.id AND a.id = ANY(ARRAY(SELECT id FROM changed))
"""
