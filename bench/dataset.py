"""One invented organisation, large and always the same, made by set-based SQL under the walls of the product.

Every number is a hash of the row's own number, so nothing depends on the order of generation. Roughly a third of the
deals is open, an activity has two participants, a deal three contacts. What is derived comes from `deals.summaries`.
"""

import hashlib
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.db import ProgrammingError, connection

from accounts.models import Organisation
from accounts.tenancy import tenant
from alerts import settings as alert_settings
from config import embedded
from deals import rates, search, summaries
from deals.clock import Clock
from deals.models import ExchangeRate, Source, Team, TeamMember

FIRST_ID = 1_000_000_000  # far above what the sequences give to rows of other organisations
ROLES = {"champion": 12, "decision maker": 20}
RATES = {"USD": "0.92", "GBP": "1.17"}


@dataclass(frozen=True)
class Size:
    name: str
    deals: int
    open: float  # share of the deals
    activities: int


SIZES = {
    size.name: size
    for size in (
        Size("tiny", 2_000, 0.3, 40_000),
        Size("default", 100_000, 0.3, 2_000_000),
        Size("full", 400_000, 0.75, 8_000_000),
    )
}


def chance(number: str, seed: int) -> str:
    """SQL for a number in [0, 1) that is always the same for `number` and `seed`."""
    return f"((hashint8extended({number}, {seed}) & 16777215) / 16777216.0)"


FRAME = f"""
WITH colleague AS (
    INSERT INTO deals_colleague (id, organisation_id, source_id, external_id, name, email, active)
    SELECT %(first)s + n, %(org)s, %(source)s, n, 'Colleague ' || n, n || '@vigie.example', true
    FROM generate_series(1, 50) n
), pipeline AS (
    INSERT INTO deals_pipeline (id, organisation_id, source_id, external_id, name, position, deleted)
    SELECT %(first)s + 1, %(org)s, %(source)s, 1, 'Sales', 1, false
), stage AS (
    INSERT INTO deals_stage (id, organisation_id, source_id, external_id, pipeline_id, pipeline_ref, name, position,
                             closed, deleted)
    SELECT %(first)s + n, %(org)s, %(source)s, n, %(first)s + 1, 1, 'Stage ' || n, n, false, false
    FROM generate_series(1, 6) n
), role AS (
    INSERT INTO deals_role (organisation_id, source_id, key, label, stale)
    SELECT %(org)s, %(source)s, key, initcap(key), false FROM unnest(%(roles)s) key
), company AS (
    INSERT INTO deals_company (id, organisation_id, source_id, external_id, name, updated_at, deleted)
    SELECT %(first)s + n, %(org)s, %(source)s, n, 'Company ' || n, %(now)s, false
    FROM generate_series(1, %(deals)s / 4) n
)
INSERT INTO deals_deal (id, organisation_id, source_id, external_id, title, status, amount, currency, stage_id,
    pipeline_id, owner_id, company_id, stage_ref, pipeline_ref, owner_ref, company_ref, created_at, updated_at,
    close_on, crm_stage_entered_at, archived, deleted, stage_known, streak_on, streak_count, engaged_count,
    titled_count, alert_mask)
SELECT %(first)s + n, %(org)s, %(source)s, n, 'Deal ' || n,
    CASE WHEN {chance("n", 1)} < %(open)s THEN 'open' WHEN n %% 2 = 0 THEN 'won' ELSE 'lost' END,
    CASE WHEN n %% 20 = 0 THEN NULL WHEN n %% 50 = 1 THEN 0
         ELSE 500 + round(({chance("n", 2)} * 200000)::numeric, 2) END,
    (ARRAY['EUR', 'EUR', 'USD', 'GBP'])[1 + n %% 4], %(first)s + stage, %(first)s + 1, %(first)s + owner,
    %(first)s + 1 + n %% (%(deals)s / 4), stage, 1, owner, 1 + n %% (%(deals)s / 4), created_at, %(now)s,
    CASE WHEN n %% 30 <> 0 THEN %(now)s::date + ({chance("n", 3)} * 150)::int - 20 END,
    created_at + (%(now)s - created_at) * {chance("n", 4)}, false, false, true, '{{}}', 0, 0, 0, 0
FROM generate_series(1, %(deals)s) n
CROSS JOIN LATERAL (SELECT 1 + n %% 6 AS stage, 1 + n / 7 %% 50 AS owner,
    %(now)s - interval '1 day' * (1 + 360 * {chance("n", 5)}) AS created_at) x
"""
# Contact and person n are the same human; the contacts of deal d are d, d + deals, d + 2 × deals.
PEOPLE = f"""
WITH human AS (
    SELECT n, %(first)s + n AS id, 'Contact ' || n AS name, n || '@customer.example' AS address, level,
        CASE level WHEN 0 THEN 'Buyer' WHEN 1 THEN 'Director' WHEN 2 THEN 'VP' WHEN 3 THEN 'CEO' ELSE '' END AS title,
        CASE WHEN {chance("n", 11)} < 0.15 THEN ARRAY['champion'] WHEN {chance("n", 11)} < 0.25
             THEN ARRAY['decision maker'] ELSE '{{}}' END AS roles
    FROM generate_series(%(start)s, %(stop)s) n
    CROSS JOIN LATERAL (SELECT CASE WHEN {chance("n", 12)} < 0.25 THEN NULL WHEN {chance("n", 12)} < 0.85 THEN 0
        WHEN {chance("n", 12)} < 0.93 THEN 1 WHEN {chance("n", 12)} < 0.97 THEN 2 ELSE 3 END AS level) x
), person AS (
    INSERT INTO deals_person (id, organisation_id, source_id, name, job_title, level, level_rule, roles, known)
    SELECT id, %(org)s, %(source)s, name, title, level, '', roles, true FROM human
), address AS (
    INSERT INTO deals_personaddress (id, organisation_id, source_id, person_id, address)
    SELECT id, %(org)s, %(source)s, id, address FROM human
), contact AS (
    INSERT INTO deals_contact (id, organisation_id, source_id, external_id, person_id, company_id, company_ref, name,
        job_title, level, level_rule, emails, roles, updated_at, deleted)
    SELECT id, %(org)s, %(source)s, n, id, %(first)s + 1 + n %% (%(deals)s / 4), 1 + n %% (%(deals)s / 4), name, title,
        level, '', ARRAY[address], roles, %(now)s, false FROM human
)
INSERT INTO deals_dealcontact (id, organisation_id, deal_id, contact_id, contact_ref, "primary", roles)
SELECT id, %(org)s, %(first)s + 1 + (n - 1) %% %(deals)s, id, n, n <= %(deals)s,
    CASE WHEN {chance("n", 13)} < 0.03 THEN ARRAY['decision maker'] ELSE '{{}}' END FROM human
"""
# A few deals have hundreds of activities, most about twenty. One in twenty lies ahead.
FACTS = f"""
CREATE TEMP TABLE fact ON COMMIT DROP AS
SELECT n, deal, %(first)s + n AS id, kind, at, ahead, contact,
    CASE WHEN ahead AND (kind = 'call' OR n %% 2 = 0) THEN 'planned'
         WHEN kind = 'call' AND {chance("n", 21)} < 0.2 THEN 'attempt'
         WHEN kind = 'meeting' AND {chance("n", 21)} < 0.07 THEN 'cancelled' ELSE 'held' END AS state,
    kind = 'meeting' AND {chance("n", 22)} < 0.04 AS declined
FROM generate_series(%(start)s, %(stop)s) n
CROSS JOIN LATERAL (SELECT 1 + floor(power({chance("n", 23)}, 1.5) * %(deals)s)::bigint AS deal,
    (ARRAY['email', 'email', 'email', 'email', 'call', 'call', 'call', 'meeting', 'meeting', 'message'])
        [1 + floor({chance("n", 24)} * 10)::int] AS kind) x
JOIN deals_deal d ON d.organisation_id = %(org)s AND d.id = %(first)s + deal
CROSS JOIN LATERAL (SELECT {chance("n", 25)} < 0.15 AND kind IN ('call', 'meeting') AND d.status = 'open' AS ahead) y
CROSS JOIN LATERAL (SELECT CASE WHEN ahead THEN %(now)s + interval '21 days' * {chance("n", 26)}
    ELSE d.created_at + (%(now)s - d.created_at) * {chance("n", 26)} END AS at,
    deal + %(deals)s * CASE WHEN deal %% 5 = 0 THEN 0 ELSE floor({chance("n", 27)} * 3)::int END AS contact) z
"""
ACTIVITIES = """
INSERT INTO deals_activity (id, organisation_id, source_id, external_id, kind, state, subject, at, starts_at, ends_at,
    owner_ref, updated_at, deleted, fingerprint, internal, nobody_coming)
SELECT id, %(org)s, %(source)s, n, kind, state, initcap(kind) || ' ' || n, at, at - interval '30 minutes', at,
    1 + n %% 50, %(now)s, false, md5(n::text), false, declined FROM fact
"""
LINKS = """
INSERT INTO deals_dealactivity (id, organisation_id, deal_id, deal_ref, activity_id, occurred_at)
SELECT id, %(org)s, %(first)s + deal, deal, id, at FROM fact
"""
PARTICIPANTS = """
INSERT INTO deals_participant (id, organisation_id, activity_id, part, address, contact_ref, colleague_ref, name,
    declined, person_id, colleague, engaged)
SELECT %(first)s + n * 2, %(org)s, id,
    CASE kind WHEN 'meeting' THEN 'organiser' WHEN 'call' THEN 'other' ELSE 'from' END,
    '', '', (1 + n %% 50)::text, '', false, NULL, true, false FROM fact
UNION ALL
SELECT %(first)s + n * 2 + 1, %(org)s, id, part,
    CASE WHEN kind IN ('email', 'meeting') THEN contact || '@customer.example' ELSE '' END,
    CASE WHEN kind IN ('email', 'meeting') THEN '' ELSE contact::text END, '', '', declined,
    %(first)s + contact, false, part <> 'cc' AND NOT declined
FROM fact CROSS JOIN LATERAL (SELECT CASE WHEN kind = 'meeting' THEN 'attendee' WHEN kind = 'call' THEN 'other'
    WHEN n %% 5 = 0 THEN 'cc' ELSE 'to' END AS part) x
"""


@dataclass(frozen=True)
class Dataset:
    """`clock` stands still at the moment of generation."""

    organisation: Organisation
    size: Size

    @property
    def clock(self) -> Clock:
        return Clock.of(self.organisation, self.organisation.created_at)


def prepare() -> Dataset:
    """The organisation of the size that SIZE names, made when the one kept from the last run is of other code."""
    size = SIZES[os.environ.get("SIZE") or "default"]
    name = f"Bench {size.name} {_fingerprint()}"
    try:
        found = Organisation.objects.filter(name=name).first()
    except ProgrammingError:
        found = None
    if found is None:
        say(f"making {size.deals:,} deals and {size.activities:,} activities, once …")
        _empty_database()
        _generate(organisation := Organisation.objects.create(name="Bench, unfinished"), size)
        organisation.name = name
        organisation.save()
        found = organisation
    return Dataset(found, size)


def say(line: str) -> None:
    print(f"bench: {line}", file=sys.stderr, flush=True)  # noqa: T201


def vacuum(*tables: str) -> None:
    """What autovacuum does in time: statistics, and pages known to be visible to all."""
    with connection.cursor() as cursor:
        for table in tables or [
            t for t in connection.introspection.table_names() if t.startswith(("deals_", "alerts_"))
        ]:
            cursor.execute(f"VACUUM (ANALYZE) {table}")


def _fingerprint() -> str:
    """Of the schema and this file. Delete .vigie/bench when `deals.summaries` has changed."""
    paths = sorted([*embedded.ROOT.glob("*/migrations/0*.py"), Path(__file__)])
    return hashlib.md5(b"".join(path.read_bytes() for path in paths), usedforsecurity=False).hexdigest()[:10]


def _empty_database() -> None:
    """Start anew, in a database that has never been anything but a bench's."""
    with suppress(ProgrammingError):
        if Organisation.objects.exclude(name__startswith="Bench").exists():
            sys.exit(
                "bench: this database holds other organisations than its own, and would be emptied. Nothing was done."
            )
    with connection.as_owner(), connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT USAGE ON SCHEMA public TO PUBLIC")
    call_command("migrate", verbosity=0)


def _generate(organisation: Organisation, size: Size) -> None:
    now = organisation.created_at
    with tenant(organisation):
        source = Source.objects.create(
            organisation=organisation, provider="hubspot", account_id="bench", synced_at=now, currency="EUR"
        )
        ExchangeRate.objects.bulk_create(
            ExchangeRate(
                organisation=organisation, base="EUR", valid_on=now.date(), entered_at=now, currency=code, rate=rate
            )
            for code, rate in RATES.items()
        )
    scope = {"org": organisation.pk, "source": source.pk, "now": now, "first": FIRST_ID, "roles": list(ROLES)}
    scope |= {"deals": size.deals, "open": size.open}
    _run(organisation, scope, FRAME)

    def people(chunk: dict[str, int]) -> None:
        _run(organisation, scope | chunk, PEOPLE)

    def activities(chunk: dict[str, int]) -> None:
        _run(organisation, scope | chunk, FACTS, ACTIVITIES, LINKS, PARTICIPANTS)

    def derive(chunk: dict[str, int]) -> None:
        with tenant(organisation):
            deals = range(FIRST_ID + chunk["start"], FIRST_ID + chunk["stop"] + 1)
            summaries.rebuild(organisation.pk, deals, Clock.of(organisation, now))
            with connection.cursor() as cursor:
                search.rebuild(cursor, organisation.pk, deals)
                rates.convert(cursor, organisation.pk, deals, Clock.of(organisation, now))

    _in_chunks(people, size.deals * 3, 50_000)
    vacuum("deals_deal")
    _in_chunks(activities, size.activities, 50_000)
    vacuum()
    _in_chunks(derive, size.deals, 5_000)
    with tenant(organisation):
        Source.objects.filter(pk=source.pk).update(first_synced_at=now)
        alert_settings.save(organisation, _settings(organisation), None, Clock.of(organisation, now), based_on=0)
    vacuum()


def _settings(organisation: Organisation) -> dict[str, Any]:
    """Every refinement at once: limits for stages, roles, overrides for teams and a pipeline, working days."""
    rules = alert_settings.defaults()
    rules["key_role"]["roles"] = dict(ROLES)
    rules["stuck_in_stage"]["stages"] = {str(FIRST_ID + stage): 10 + stage for stage in (1, 2, 3)}
    overrides = []
    for number, name in enumerate(("North", "South")):
        team = Team.objects.create(organisation=organisation, name=name)
        first = FIRST_ID + 1 + number * 15
        TeamMember.objects.bulk_create(
            TeamMember(organisation=organisation, team=team, colleague_id=pk) for pk in range(first, first + 15)
        )
        said = {"no_activity": {"days": 15}, "stuck_in_stage": {"days": 20}, "power_map": {"level": 2}}
        said |= {"single_contact": {"minimum": 3}, "key_role": {"roles": {"champion": 20}}}
        overrides.append({"name": name, "pipelines": [FIRST_ID + 1], "teams": [team.pk], "rules": said})
    return {"rules": rules, "overrides": overrides, "business_days": True}


def _in_chunks(work: Callable[[dict[str, int]], None], count: int, length: int) -> None:
    """`work` on the numbers from 1 to `count`, in transactions of `length`, two at a time."""

    def one(start: int) -> None:
        work({"start": start, "stop": min(start + length - 1, count)})
        connection.close()  # this thread's

    with ThreadPoolExecutor(max_workers=2) as pool:
        for done, _ in enumerate(pool.map(one, range(1, count + 1, length)), 1):
            say(f"{work.__name__}: {min(done * length, count):,} of {count:,}")


def _run(organisation: Organisation, scope: dict[str, Any], *statements: str) -> None:
    with tenant(organisation), connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement, scope)
