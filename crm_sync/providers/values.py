"""Reads single values of a CRM's JSON. A missing or senseless value becomes None or "", never an exception."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

MAX_TEXT = 5_000
MAX_AMOUNT = Decimal(10) ** 18
_ADDRESS = re.compile(r"[^\s@<>;,]+@[^\s@<>;,]+")
_CLOCK = re.compile(r"(\d{1,3}):([0-5]\d)(?::([0-5]\d))?")
_CURRENCY = re.compile(r"[A-Z]{3}")
_MILLISECONDS = re.compile(r"-?\d{9,15}")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)  # older than any version of a record whose time of change is known


def text(value: Any, limit: int = MAX_TEXT) -> str:
    """Trimmed, cut at `limit`, without what PostgreSQL cannot hold (NUL, lone surrogates)."""
    if value is None:
        return ""
    if type(value) is str and len(value) <= limit and value.isascii() and "\0" not in value:  # nearly all, so quickly
        return value.strip()
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return ""
    cleaned = str(value).replace("\0", "").encode("utf-8", "replace").decode()
    return cleaned.strip()[:limit]


def identifier(value: Any) -> str | None:
    """A CRM's id, number or text, as text."""
    if value is None:
        return None
    return (str(value) if type(value) is int and 0 < value < 10**18 else text(value, 100)) or None


def items(value: Any) -> list[Mapping[str, Any]]:
    """The objects of a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list | tuple) else []


def split(value: Any) -> list[str]:
    """The parts of a value that HubSpot joins by `;`, often with one at the beginning."""
    if not value:
        return []
    return [part.strip() for part in text(value, 100_000).split(";") if part.strip()]


def address(value: Any) -> str:
    """Trimmed, lower-cased, plus-tag kept: `Ana <Ana+crm@Acme.fr>` is `ana+crm@acme.fr`. Anything else is "".

    A placeholder such as "n/a" is no address: contacts that share an address are taken for one person.
    """
    raw = text(value).lower()
    if _ADDRESS.fullmatch(raw) and len(raw) <= 320 and not raw.startswith("mailto:"):
        return raw
    inside = re.search(r"<([^<>]*)>", raw)
    found = (inside[1] if inside else raw).strip().removeprefix("mailto:")
    return found if len(found) <= 320 and _ADDRESS.fullmatch(found) else ""


def addresses(value: Any) -> Iterator[str]:
    """Those of a text that joins them by `;` or `,`."""
    return filter(None, map(address, re.split(r"[;,]", text(value, 100_000)))) if value else iter(())


def unique(values: Sequence[str] | Iterator[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, values)))


def instant(value: Any) -> datetime | None:
    """ISO 8601 (UTC when no zone is given) or milliseconds since 1970, as UTC."""
    if value is None:
        return None
    raw = text(value, 40)
    try:
        if _MILLISECONDS.fullmatch(raw):
            found = EPOCH + timedelta(milliseconds=int(raw))
        else:
            found = datetime.fromisoformat(raw)
            if found.tzinfo is not UTC:
                found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return found if _plausible(found) else None


def day(value: Any) -> date | None:
    if value is None:
        return None
    try:
        found = date.fromisoformat(text(value, 40)[:10])
    except ValueError:
        return None
    return found if _plausible(found) else None


def clock_time(value: Any) -> timedelta | None:
    """`15:00` or `15:00:00`, a time of day or a duration."""
    parts = _CLOCK.fullmatch(text(value, 20))
    return timedelta(hours=int(parts[1]), minutes=int(parts[2]), seconds=int(parts[3] or 0)) if parts else None


def amount(value: Any) -> Decimal | None:
    """To the cent; None for no number or more digits than any deal has."""
    try:
        found = Decimal(text(value, 100)).quantize(Decimal("0.01"), ROUND_HALF_UP)
    except InvalidOperation:
        return None
    return found if found.is_finite() and abs(found) < MAX_AMOUNT else None


def currency(value: Any) -> str:
    code = text(value).upper()
    return code if _CURRENCY.fullmatch(code) else ""


def position(value: Any) -> int:
    """In an order; 0 where the CRM tells none."""
    return value if isinstance(value, int) and abs(value) < 2**31 else 0


def zone(name: str) -> ZoneInfo:
    """UTC when the name says nothing."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, or a path, or a folder
        return ZoneInfo("UTC")


def _plausible(found: date) -> bool:
    """Room at both ends for the arithmetic of days and zones."""
    return 1900 <= found.year < 9000
