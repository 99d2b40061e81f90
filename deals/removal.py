"""What a CRM does not have any more is marked and left out, never removed at once: it may come back."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from django.db import connection
from django.db.backends.utils import CursorWrapper

from deals.models import Source
from deals.records import Batch, Kept

TABLES: dict[Kept, str] = {
    "pipelines": "deals_pipeline",
    "stages": "deals_stage",
    "companies": "deals_company",
    "contacts": "deals_contact",
    "deals": "deals_deal",
    "activities": "deals_activity",
}


def mark(cursor: CursorWrapper, source: Source, kind: Kept, refs: Collection[str]) -> list[int]:
    """Mark the rows with these ids of the CRM as deleted; returns the ids of those that were not."""
    if not refs:
        return []
    cursor.execute(
        f"UPDATE {TABLES[kind]} SET deleted = true WHERE organisation_id = %s AND source_id = %s "
        "AND external_id = ANY(%s) AND NOT deleted RETURNING id",
        [source.organisation_id, source.pk, list(refs)],
    )
    return [row[0] for row in cursor.fetchall()]


def living(source: Source, kind: Kept, refs: Iterable[str]) -> set[str]:
    """Those of `refs` (ids of the CRM) that are here and not deleted."""
    wanted = list(refs)
    if not wanted:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT external_id FROM {TABLES[kind]} WHERE organisation_id = %s AND source_id = %s "
            "AND external_id = ANY(%s) AND NOT deleted",
            [source.organisation_id, source.pk, wanted],
        )
        return {row[0] for row in cursor.fetchall()}


def revive(source: Source, batch: Batch) -> None:
    """Let living records in whose rows were deleted with a later time of change: the CRM has brought them back as they
    were. `batch` is what the CRM answered just now; an older answer must not do this."""
    by_kind: Mapping[Kept, Sequence[tuple[str, datetime]]] = {
        "companies": [(r.external_id, r.updated_at) for r in batch.companies if not r.deleted],
        "contacts": [(r.external_id, r.updated_at) for r in batch.contacts if not r.deleted],
        "deals": [(r.external_id, r.updated_at) for r in batch.deals if not r.deleted],
        "activities": [(r.external_id, r.updated_at) for r in batch.activities if not r.deleted],
    }
    with connection.cursor() as cursor:
        for kind, versions in by_kind.items():
            if not versions:
                continue
            refs, times = zip(*versions, strict=True)
            cursor.execute(
                f"UPDATE {TABLES[kind]} t SET updated_at = i.updated_at "
                "FROM unnest(%s::text[], %s::timestamptz[]) i(external_id, updated_at) "
                "WHERE t.organisation_id = %s AND t.source_id = %s AND t.external_id = i.external_id AND t.deleted "
                "AND t.updated_at > i.updated_at",
                [list(refs), list(times), source.organisation_id, source.pk],
            )
