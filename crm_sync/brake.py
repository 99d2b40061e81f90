"""The mass-delete brake: a CRM that answers nonsense for once must not empty the pipeline.

Neither a comparison nor one run of a stream marks more than max(50, 5 %) of the stream's rows as deleted, and an empty
list none at all, unless an admin lets it happen.
"""

from dataclasses import replace
from typing import Any

from django.db import connection as database

from crm_sync import providers
from crm_sync.models import Connection, Reconciliation, StreamProgress
from deals import removal
from deals.models import Source
from deals.records import Batch, Kept

FEW = 50
SHARE = 20  # one in twenty


def is_too_many(deletions: int, rows: int) -> bool:
    """Whether `deletions` of a stream with `rows` rows need a person's word."""
    return deletions > FEW and deletions * SHARE > rows


def rows_of(stream: str, kind: Kept) -> str:
    """The condition, on `t`, by which the rows of a stream are told from others in the table of its kind."""
    if kind != "activities":
        return "true"
    # Of Pipedrive's the mail is left out: it is no activity there (crm_sync.details), or known by its time alone.
    return "t.external_id NOT LIKE 'mail%%/%%'" if stream == "activities" else f"t.external_id LIKE '{stream}/%%'"


def count(source: Source, stream: str, kind: Kept) -> int:
    """Rows of a stream that are here and not deleted."""
    with database.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*) FROM {removal.TABLES[kind]} t WHERE organisation_id = %s AND source_id = %s "
            f"AND NOT deleted AND {rows_of(stream, kind)}",
            [source.organisation_id, source.pk],
        )
        return int(cursor.fetchone()[0])


def spare(connection: Connection, progress: StreamProgress, batch: Batch) -> tuple[Batch, list[str]]:
    """`batch` without the deletions that are too many together with those of the run before it, and the streams of
    which some were left out for the first time. All are counted in `progress.deletions`."""
    stopped: list[str] = []
    for stream, kind in providers.PROVIDERS[connection.provider].compared.items():
        prefix = f"{stream}/" if kind == "activities" and stream != "activities" else ""
        records = getattr(batch, kind)
        refs = [r.external_id for r in records if r.deleted and r.external_id.startswith(prefix)]
        dying = removal.living(connection.source, kind, refs)
        if not dying:
            continue
        before = progress.deletions.get(stream, 0)
        progress.deletions[stream] = many = before + len(dying)
        held = Reconciliation.objects.filter(connection=connection, stream=stream, is_latest=True, held__gt=0)
        waits = held.exists()
        if waits or (many > FEW and is_too_many(many, before + count(connection.source, stream, kind))):
            kept: dict[str, Any] = {kind: [r for r in records if not r.deleted or r.external_id not in dying]}
            batch = replace(batch, **kept)
            stopped += [] if waits else [stream]
    return batch, stopped
