"""What a World writes, held back: to be written as one page, or in any order."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.world import World


@contextmanager
def held_back(w: World) -> Iterator[list[dict[str, Any]]]:
    """Inside, `w.deal()`, `w.activity()` and the like write nothing; what they would write is in the list."""
    batches: list[dict[str, Any]] = []
    w.write = lambda **batch: batches.append(batch)  # type: ignore[method-assign, assignment]
    try:
        yield batches
    finally:
        del w.write


def write_together(w: World, batches: list[dict[str, Any]]) -> set[int]:
    page: dict[str, list[Any]] = {}
    for batch in batches:
        for kind, records in batch.items():
            page.setdefault(kind, []).extend(records)
    return w.write(**page)
