"""What a World writes, held back to be written as one page or in any order; a crowd of deals; the time that passes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from alerts.models import Alert
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


def crowd(w: World) -> None:
    """Deals of every kind: young and old, silent and not, with and without people, dates, amounts; some closed."""
    w.configure(key_role={"roles": {"champion": 12}})
    with held_back(w) as batches:
        w.contact("ana", "CEO", ("Champion",))
        w.contact("bea", "Buyer")
        for n in range(24):
            ref = f"d{n}"
            w.on_deal(
                "ana" if n % 2 else "bea",
                ref=ref,
                created_at=w.at(3 * n),
                amount=None if n % 5 == 0 else Decimal(n),
                close_on=None if n % 7 == 0 else w.day(12 - n),
                stage="s1" if n % 3 else "s2",
                status="won" if n % 11 == 0 else "open",
            )
            for talked in range(n, 3 * n, 5):
                w.activity("call" if n % 2 else "email", talked, "ana" if n % 4 else "bea", deal=ref)
            if n % 6 == 0:
                w.activity("meeting", -1, "bea", deal=ref, state="planned")
    write_together(w, batches)


def later(w: World, **time: float) -> None:
    w.clock = replace(w.clock, now=w.clock.now + timedelta(**time))


def history(w: World, kind: str, deal: str = "d") -> list[tuple[datetime, datetime | None, str]]:
    """Every alert of a kind there ever was, oldest first: (opened at, resolved at, reason)."""
    with w.inside():
        found = Alert.objects.filter(deal__external_id=deal, kind=kind).order_by("opened_at", "pk")
        return [(a.opened_at, a.resolved_at, a.reason) for a in found]
