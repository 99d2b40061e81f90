"""The levels of an organisation's job titles: its own corrections of exact titles, else the rules of `deals.seniority`.

A level is stored beside each contact and person. It is judged when the contact arrives, and again when a correction or,
with a release, the rules have changed: `Organisation.title_rules` names the rules that its stored levels come from.
"""

import hashlib
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.db.models import Count, QuerySet

from accounts.models import Organisation, User
from deals import people, seniority, summaries
from deals.clock import Clock
from deals.copy import load
from deals.models import TitleCorrection
from deals.seniority import FINGERPRINT, NOTHING_MATCHED, Level

CORRECTION = "correction"  # the rule of a corrected level
GROUPS = ("unknown", "c_level", "vp", "director", "none", "corrected")
PAGE_SIZE = 50
LONGEST_KEY = 400  # characters: what fits an index row in any script
TITLES_AT_ONCE, DEALS_AT_ONCE = 2_000, 5_000
_LOCK = 0x5654  # "VT": job titles, among the advisory locks of this database


class NobodyHasIt(LookupError):
    """No contact of the organisation has this title."""


class Judged(NamedTuple):
    """What is stored beside a contact. `level` is None when there is no title."""

    key: str
    level: int | None
    rule: str


def key_of(title: str) -> str:
    """The exact title as a correction knows it: trimmed, without case and repeated spaces. A key is its own key.

    Of a very long title it is the beginning, and a digest of the whole.
    """
    key = " ".join(title.replace("\0", "").split()).casefold()
    if len(key) <= LONGEST_KEY:
        return key
    digest = hashlib.md5(key.encode(errors="replace"), usedforsecurity=False).hexdigest()
    return f"{key[: LONGEST_KEY // 2].rstrip()}…{digest}"


def judge(cursor: CursorWrapper, organisation: int, titles: Iterable[str]) -> dict[str, Judged]:
    """Key, level and rule of each of `titles`, in one statement."""
    keys = {title: key_of(title) for title in titles}
    cursor.execute(
        "SELECT key, level FROM deals_titlecorrection WHERE organisation_id = %s AND key = ANY(%s)",
        [organisation, list({*keys.values()})],
    )
    corrected = dict(cursor.fetchall())

    def judged(title: str, key: str) -> Judged:
        if key in corrected:
            return Judged(key, corrected[key], CORRECTION)
        match = seniority.explain(title)
        return Judged(key, None if match.level is None else int(match.level), match.rule)

    return {title: judged(title, key) for title, key in keys.items()}


def keep_still(cursor: CursorWrapper, organisation: int) -> None:
    """Until the end of the transaction no level changes: whoever writes contacts or deals calls it first.

    Otherwise a contact that is judged while its title is being corrected would keep its old level.
    """
    cursor.execute("SELECT pg_advisory_xact_lock_shared(%s, %s)", [_LOCK, organisation])


# ---- Corrections


def correct(organisation: Organisation, title: str, level: int, user: User | None, clock: Clock) -> set[int]:
    """Give one exact title a level, whatever the rules say; returns the ids of the deals that were rebuilt.

    Runs in the caller's transaction and tenant context; the caller marks the deals for evaluation. Raises ValueError
    when there is no such level, NobodyHasIt when no contact has the title and it is not corrected yet.
    """
    key, level = key_of(title), Level(level)
    _alone(organisation)
    holders = organisation.contacts.filter(title_key=key, deleted=False)
    spelt = holders.values_list("job_title").annotate(n=Count("pk")).order_by("-n", "job_title").first()
    known = spelt or organisation.title_corrections.filter(key=key).values_list("title").first()
    if not key or known is None:
        raise NobodyHasIt(title)
    TitleCorrection.objects.update_or_create(
        organisation=organisation,
        key=key,
        defaults={"title": known[0], "level": level, "corrected_by": user, "corrected_at": clock.now},
    )
    return relevel(organisation, clock, [key])


def withdraw(organisation: Organisation, title: str, clock: Clock) -> set[int]:
    """Leave one exact title to the rules again; otherwise as `correct`. Withdrawing twice does no harm."""
    key = key_of(title)
    _alone(organisation)
    organisation.title_corrections.filter(key=key).delete()
    return relevel(organisation, clock, [key])


# ---- Bringing stored levels up to date


def outdated() -> QuerySet[Organisation]:
    """Organisations whose stored levels come from other rules than this release's."""
    return Organisation.objects.exclude(title_rules=FINGERPRINT)


def is_outdated(organisation: Organisation) -> bool:
    return organisation.title_rules != FINGERPRINT


def parts(organisation: Organisation) -> list[list[str]]:
    """All titles of the organisation, as they are spelt, in parts that one transaction takes."""
    spelt = list(organisation.contacts.order_by("job_title").values_list("job_title", flat=True).distinct())
    return [spelt[n : n + TITLES_AT_ONCE] for n in range(0, len(spelt), TITLES_AT_ONCE)]


def relevel(organisation: Organisation, clock: Clock, titles: Collection[str] | None = None) -> set[int]:
    """Judge the titles of contacts anew (`titles`: only these, in any spelling), then the levels of their people, then
    the summaries of the deals on which these were engaged; returns the ids of those deals.

    Runs in the caller's transaction and tenant context, alone in the organisation. Only what differs is written.
    """
    if titles is None:
        return set().union(*(relevel(organisation, clock, part) for part in parts(organisation)))
    _alone(organisation)
    scope: dict[str, Any] = {
        "org": organisation.pk,
        "titles": list(titles),
        "keys": list({key_of(title) for title in titles}),
    }
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT job_title FROM deals_contact WHERE organisation_id = %(org)s "
            "AND (title_key = ANY(%(keys)s) OR job_title = ANY(%(titles)s))",
            scope,
        )
        judged = judge(cursor, organisation.pk, [row[0] for row in cursor.fetchall()])
        load(
            cursor,
            "incoming_title",
            {"job_title": "text", "title_key": "text", "level": "smallint", "level_rule": "text"},
            [(title, *said) for title, said in judged.items()],
        )
        cursor.execute(
            """
            UPDATE deals_contact c SET title_key = i.title_key, level = i.level, level_rule = i.level_rule
            FROM incoming_title i WHERE c.organisation_id = %(org)s AND c.job_title = i.job_title
            AND (c.title_key, c.level, c.level_rule) IS DISTINCT FROM (i.title_key, i.level, i.level_rule)
            RETURNING c.id
            """,
            scope,
        )
        persons = people.relevel(cursor, organisation.pk, [row[0] for row in cursor.fetchall()])
        cursor.execute(
            "SELECT DISTINCT deal_id FROM deals_dealperson WHERE organisation_id = %s AND person_id = ANY(%s)",
            [organisation.pk, list(persons)],
        )
        touched = sorted(row[0] for row in cursor.fetchall())
    for n in range(0, len(touched), DEALS_AT_ONCE):
        summaries.rebuild(organisation.pk, touched[n : n + DEALS_AT_ONCE], clock)
    return set(touched)


def _alone(organisation: Organisation) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_LOCK, organisation.pk])


# ---- What the organisation has


@dataclass(frozen=True)
class Title:
    """An exact title with its number of people. `rule` decided its level; `corrected_by` is a name, or empty."""

    key: str
    title: str
    level: int | None
    rule: str
    people: int
    corrected_by: str
    corrected_at: datetime | None


@dataclass(frozen=True)
class Listing:
    """One page of titles, and how many there are in each of GROUPS and in all ("")."""

    titles: list[Title]
    counts: dict[str, int]


_PLAIN = r"regexp_replace(normalize(key, NFKD), '[\u0300-\u036f]', '', 'g')"
_IN_GROUP = {
    "": "true",
    "unknown": "rule = ANY(%(unknown)s)",
    "c_level": "level = 3",
    "vp": "level = 2",
    "director": "level = 1",
    "none": "level = 0 AND rule <> ALL(%(unknown)s)",
    "corrected": "rule = %(correction)s",
}
# Of a person with several contacts each title counts once. Spellings of one title may differ in a line break, which the
# rules read: the highest level is shown. A correction stays in sight when nobody has its title any more.
_LISTING = f"""
WITH held AS (
    SELECT title_key AS key, person_id, min(job_title) AS title,
           max(ARRAY[COALESCE(level + 1, 0)::text, level_rule]) AS said
    FROM deals_contact WHERE organisation_id = %(org)s AND NOT deleted AND title_key <> ''
          AND (%(key)s::text IS NULL OR title_key = %(key)s) GROUP BY title_key, person_id
), grouped AS (
    SELECT key, min(title) AS title, max(said) AS said, count(*) AS people FROM held GROUP BY key
), titles AS MATERIALIZED (
    SELECT key, COALESCE(g.title, c.title) AS title, COALESCE(g.people, 0) AS people,
           COALESCE(c.level, NULLIF(g.said[1], '0')::int - 1) AS level,
           CASE WHEN c.key IS NULL THEN g.said[2] ELSE %(correction)s END AS rule,
           COALESCE(NULLIF(u.name, ''), u.email, '') AS corrected_by, c.corrected_at
    FROM grouped g FULL JOIN (SELECT * FROM deals_titlecorrection WHERE organisation_id = %(org)s
                              AND (%(key)s::text IS NULL OR key = %(key)s)) c USING (key)
    LEFT JOIN accounts_user u ON u.id = c.corrected_by_id
    WHERE %(words)s::text[] = '{{}}'
          OR NOT EXISTS (SELECT FROM unnest(%(words)s::text[]) word WHERE strpos({_PLAIN}, word) = 0)
), counts AS (
    SELECT {", ".join(f"count(*) FILTER (WHERE {condition})" for condition in _IN_GROUP.values())} FROM titles
)
SELECT counts.*, shown.* FROM counts LEFT JOIN (
    SELECT key, title, level, rule, people, corrected_by, corrected_at FROM titles WHERE {{condition}}
    ORDER BY rule = ANY(%(unknown)s) DESC, people DESC, key LIMIT %(size)s OFFSET %(offset)s
) shown ON true
"""


def listing(
    organisation: Organisation, search: str = "", group: str = "", page: int = 1, key: str | None = None
) -> Listing:
    """A page (from 1) of the organisation's titles: those that no rule matched first, then by number of people.

    `search`: words that the title contains, in any case and without accents; `group`: one of GROUPS; `key`: this one
    title only. One statement.
    """
    plain = unicodedata.normalize("NFKD", key_of(search))
    params = {
        "org": organisation.pk,
        "key": key,
        "words": "".join(c for c in plain if not "\u0300" <= c <= "\u036f").split(),
        "unknown": list(NOTHING_MATCHED),
        "correction": CORRECTION,
        "size": PAGE_SIZE,
        "offset": (page - 1) * PAGE_SIZE,
    }
    with connection.cursor() as cursor:
        cursor.execute(_LISTING.replace("{condition}", _IN_GROUP[group]), params)
        rows = cursor.fetchall()
    wide = len(_IN_GROUP)
    return Listing(
        titles=[Title(*row[wide:]) for row in rows if row[wide] is not None],
        counts=dict(zip(_IN_GROUP, rows[0][:wide], strict=True)),
    )
