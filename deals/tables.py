"""How each kind of record is written: its table, its columns, what guards it. Used by `deals.upsert` alone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.backends.utils import CursorWrapper

from deals import plans
from deals.copy import load
from deals.models import Source
from deals.records import BITS


@dataclass(frozen=True)
class Table:
    """How one kind of record is written.

    `columns`: name → SQL type, the first identifies the row within its source. `keys`: foreign key → (the column with
    the CRM's id of the target, the target's table). `hints`: come with the columns and are not
    stored. `defaults`: values of derived columns in a new row (`i` holds columns and hints). `also`: further
    assignments for a row that exists (`t` is the stored row, `excluded` the new one).
    """

    name: str
    columns: dict[str, str]
    keys: dict[str, tuple[str, str]] = field(default_factory=dict)
    hints: dict[str, str] = field(default_factory=dict)
    defaults: dict[str, str] = field(default_factory=dict)
    guarded: bool = True  # an older updated_at never overwrites a newer one
    also: str = ""

    @property
    def incoming(self) -> str:
        """The temporary table that holds what is to be written."""
        return f"incoming_{self.name}"

    def merge(self, cursor: CursorWrapper, source: Source, rows: Sequence[Sequence[Any]]) -> list[int]:
        """Insert or update; returns the ids of rows that are new or changed."""
        if not rows:
            return []
        load(cursor, self.incoming, self.columns | self.hints, rows)
        return [id for id, _, _ in self.write(cursor, source, len(rows))]

    def write(self, cursor: CursorWrapper, source: Source, rows: int) -> list[tuple[int, str, bool]]:
        """Insert or update what was loaded into `incoming`, `rows` of them; the id, the CRM's id, and whether new,
        of each row that is new or changed."""
        identity, *facts = self.columns
        facts += self.keys
        joins = "".join(
            f" LEFT JOIN {table} {key} ON {key}.organisation_id = %(org)s AND {key}.source_id = %(source)s"
            f" AND {key}.external_id = i.{ref}"
            for key, (ref, table) in self.keys.items()
        )
        values = [f"i.{name}" for name in self.columns] + [f"{key}.id" for key in self.keys]
        changed = f"({_list('t.', facts)}) IS DISTINCT FROM ({_list('excluded.', facts)})"
        plans.execute_for(
            rows,
            cursor,
            f"INSERT INTO {self.name} AS t (organisation_id, source_id, "
            f"{_list('', [identity, *facts, *self.defaults])})"
            f" SELECT {', '.join(['%(org)s', '%(source)s', *values, *self.defaults.values()])}"
            f" FROM {self.incoming} i{joins} ON CONFLICT (organisation_id, source_id, {identity}) DO UPDATE SET "
            + ", ".join(f"{name} = excluded.{name}" for name in facts)
            + self.also
            + f" WHERE {'t.updated_at <= excluded.updated_at AND ' if self.guarded else ''}{changed}"
            f" RETURNING t.id, t.{identity}, t.xmax = 0",
            {"org": source.organisation_id, "source": source.pk},
        )
        written: list[tuple[int, str, bool]] = cursor.fetchall()
        return written


def _list(prefix: str, names: Iterable[str]) -> str:
    return ", ".join(prefix + name for name in names)


COLLEAGUE = Table(
    "deals_colleague",
    {"external_id": "text", "name": "text", "email": "text", "active": "boolean"},
    guarded=False,
)
PIPELINE = Table(
    "deals_pipeline",
    {"external_id": "text", "name": "text", "position": "integer", "deleted": "boolean"},
    guarded=False,
)
STAGE = Table(
    "deals_stage",
    {
        "external_id": "text",
        "pipeline_ref": "text",
        "name": "text",
        "position": "integer",
        "closed": "boolean",
        "deleted": "boolean",
    },
    keys={"pipeline_id": ("pipeline_ref", "deals_pipeline")},
    guarded=False,
)
ROLE = Table("deals_role", {"key": "text", "label": "text", "refs": "text[]", "stale": "boolean"}, guarded=False)
COMPANY = Table(
    "deals_company",
    {"external_id": "text", "name": "text", "updated_at": "timestamptz", "deleted": "boolean"},
)
CONTACT = Table(
    "deals_contact",
    {
        "external_id": "text",
        "name": "text",
        "job_title": "text",
        "title_key": "text",
        "level": "smallint",
        "level_rule": "text",
        "emails": "text[]",
        "company_ref": "text",
        "roles": "text[]",
        "updated_at": "timestamptz",
        "deleted": "boolean",
    },
    keys={"company_id": ("company_ref", "deals_company")},
)
_EMPTY = "COALESCE({0}.amount, 0) = 0"
DEAL = Table(
    "deals_deal",
    {
        "external_id": "text",
        "title": "text",
        "status": "text",
        "amount": "numeric(20, 2)",
        "currency": "text",
        "pipeline_ref": "text",
        "stage_ref": "text",
        "owner_ref": "text",
        "company_ref": "text",
        "created_at": "timestamptz",
        "updated_at": "timestamptz",
        "crm_stage_entered_at": "timestamptz",
        "closed_at": "timestamptz",
        "close_on": "date",
        "mail_at": "timestamptz",
        "archived": "boolean",
        "deleted": "boolean",
        "participants_told": "text",
        "mail_told": "text",
    },
    hints={"details": "smallint"},
    keys={
        "pipeline_id": ("pipeline_ref", "deals_pipeline"),
        "stage_id": ("stage_ref", "deals_stage"),
        "owner_id": ("owner_ref", "deals_colleague"),
        "company_id": ("company_ref", "deals_company"),
    },
    defaults={
        "stage_known": "true",
        "streak_on": "'{}'::date[]",
        "streak_count": "0",
        "engaged_count": "0",
        "titled_count": "0",
        "alert_mask": "0",
        "unread": f"CASE i.status WHEN 'open' THEN i.details ELSE i.details & {BITS['history']} END",
        "waits": "i.details",
    },
    also=f""",
        stage_seen_at = CASE WHEN (t.stage_ref, t.pipeline_ref) <> (excluded.stage_ref, excluded.pipeline_ref)
                             THEN excluded.updated_at ELSE t.stage_seen_at END,
        reopened_at = CASE WHEN t.status <> 'open' AND excluded.status = 'open'
                           THEN excluded.updated_at ELSE t.reopened_at END,
        amount_emptied_at = CASE WHEN NOT {_EMPTY.format("excluded")} THEN NULL
                                 WHEN NOT {_EMPTY.format("t")} THEN excluded.updated_at
                                 ELSE t.amount_emptied_at END,
        amount_missing_at = CASE WHEN excluded.amount IS NOT NULL THEN NULL
                                 WHEN t.amount IS NOT NULL THEN excluded.updated_at
                                 ELSE t.amount_missing_at END,
        unread = (t.unread
            | CASE WHEN (t.stage_ref, t.amount, t.close_on, t.status) IS DISTINCT FROM
                        (excluded.stage_ref, excluded.amount, excluded.close_on, excluded.status)
                   THEN excluded.unread & {BITS["history"]} ELSE 0 END
            | CASE WHEN t.participants_told <> excluded.participants_told THEN {BITS["participants"]} ELSE 0 END
            | CASE WHEN t.mail_told <> excluded.mail_told THEN {BITS["mail"]} ELSE 0 END
            | CASE WHEN t.status <> 'open' THEN t.waits ELSE 0 END
            ) & CASE excluded.status WHEN 'open' THEN 7 ELSE {BITS["history"]} END""",
)
ACTIVITY = Table(
    "deals_activity",
    {
        "external_id": "text",
        "kind": "text",
        "type_ref": "text",
        "state": "text",
        "subject": "text",
        "at": "timestamptz",
        '"on"': "date",
        "starts_at": "timestamptz",
        "ends_at": "timestamptz",
        "done_at": "timestamptz",
        "owner_ref": "text",
        "updated_at": "timestamptz",
        "deleted": "boolean",
        "fingerprint": "text",
    },
    defaults={"internal": "false", "nobody_coming": "false"},
)
