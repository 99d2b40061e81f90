"""Reading ahead: the pages of a first synchronisation come many at a time, while those before are being written.

One thread reads and maps, and touches no database; another writes, which is mostly waiting for Postgres. A checkpoint
then stands for a portion of some seconds (docs/adr/0021-first-synchronisation-in-bulk.md).
"""

import gc
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from crm_sync.models import StreamProgress
from crm_sync.providers.base import CrmError, Page, Provider
from deals.records import together
from deals.upsert import Prepared, prepare

AT_ONCE = 2_000  # records in one transaction: more need memory, fewer need as many statements again
SHIFT = 5.0  # seconds; then whoever waits for a conversation with the CRM has a turn
SWITCH = (
    0.001  # seconds after which the writer gets the interpreter from the reader when an answer of Postgres is there
)


@dataclass
class Part:
    """Pages of one stream as one, and how many they were."""

    progress: StreamProgress
    page: Page
    pages: int
    prepared: Prepared


@dataclass
class Portion:
    """What is written in one transaction: pages of one or several streams, and what ended the reading, if anything."""

    parts: list[Part]
    trouble: tuple[StreamProgress, CrmError] | None = None


def _portion(read: Sequence[tuple[StreamProgress, Page]], trouble: tuple[StreamProgress, CrmError] | None) -> Portion:
    parts = []
    for progress in dict.fromkeys(progress for progress, _ in read):
        pages = [page for own, page in read if own is progress]
        batch, count = together([page.batch for page in pages]), sum(page.count for page in pages)
        parts.append(Part(progress, replace(pages[-1], batch=batch, count=count), len(pages), prepare(batch)))
    return Portion(parts, trouble)


def portions(provider: Provider, streams: Sequence[StreamProgress], until: datetime) -> Iterator[Portion]:
    """Read `streams`, which nobody else writes, from their checkpoints on, for SHIFT seconds at most."""
    end = time.monotonic() + SHIFT
    read: list[tuple[StreamProgress, Page]] = []
    for progress in streams:
        cursor, more = progress.cursor, True
        while more:
            try:
                page = provider.read(progress.stream, cursor, progress.since, until)
            except CrmError as error:
                yield _portion(read, (progress, error))
                return
            read.append((progress, page))
            cursor, more = page.cursor, page.cursor is not None
            late = time.monotonic() > end
            if late or sum(page.count for _, page in read) >= AT_ONCE:
                yield _portion(read, None)
                read = []
            if late:
                return
    if read:
        yield _portion(read, None)


@contextmanager
def ahead(found: Iterator[Portion]) -> Iterator[Iterator[Portion]]:
    """The same, each read while the one before is in use."""

    def each() -> Iterator[Portion]:
        portion = pool.submit(next, found, None).result()
        while portion is not None:
            following = pool.submit(next, found, None)
            yield portion
            portion = following.result()

    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH)
    gc.freeze()  # what is here already need not be looked through with every portion
    try:
        with ThreadPoolExecutor(1, thread_name_prefix="reader") as pool:
            yield each()
    finally:
        gc.unfreeze()
        sys.setswitchinterval(before)
