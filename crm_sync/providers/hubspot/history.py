"""`propertiesWithHistory` of HubSpot's deals to a history. Pure.

A property has its values with the time from which each held, the newest first (CRM: records with history).
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta, tzinfo
from itertools import pairwise
from typing import Any

from crm_sync.providers.hubspot.mapping import updated
from crm_sync.providers.values import amount, identifier, instant, items, text
from deals.records import ChangeRecord, HistoryRecord, Status, Told

Json = Mapping[str, Any]
Value = tuple[datetime, str | None]

PROPERTIES = ("dealstage", "amount", "closedate")
FILLED_IN = timedelta(minutes=1)  # after its creation a deal has the values that it was created with


def record(data: Json, zone: tzinfo, statuses: Mapping[str, Status]) -> HistoryRecord:
    """`zone` is the portal's: in it a close time is a day. `statuses`, by stage: HubSpot has no history of them."""
    told = data.get("propertiesWithHistory")
    values: Json = told if isinstance(told, Mapping) else {}
    own = data.get("properties")
    properties: Json = own if isinstance(own, Mapping) else {}
    created = instant(properties.get("createdate")) or instant(data.get("createdAt")) or updated(data)

    def day(value: Any) -> str | None:
        closes_at = instant(value)
        return closes_at.astimezone(zone).date().isoformat() if closes_at else None

    def money(value: Any) -> str | None:
        found = amount(value)
        return None if found is None else str(found)

    stages = _values(values.get("dealstage"), identifier)
    kept = [(at, statuses.get(stage or "", "open")) for at, stage in stages]
    return HistoryRecord(
        text(data["id"]),
        (
            *_changes("stage", stages, created),
            *_changes("amount", _values(values.get("amount"), money), created),
            *_changes("close_on", _values(values.get("closedate"), day), created),
            *_changes("status", kept, created),
        ),
    )


def _values(entries: Any, read: Callable[[Any], str | None]) -> list[Value]:
    """Oldest first; what has no time is left out."""
    found = [
        (at, read(entry.get("value"))) for entry in reversed(items(entries)) if (at := instant(entry.get("timestamp")))
    ]
    return sorted(found, key=lambda value: value[0])


def _changes(field: Told, values: list[Any], created: datetime) -> Iterator[ChangeRecord]:
    if values and values[0][0] > created + FILLED_IN and field != "status":
        values = [(created, None), *values]
    for (_, old), (at, new) in pairwise(values):
        if old != new:
            yield ChangeRecord(field, old, new, at)
