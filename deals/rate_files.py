"""Exchange rates out of files: a table of currency, date and rate, or what the European Central Bank publishes.

The ECB tells what a euro is worth, daily or for 90 days, as CSV (also inside its ZIP) and XML; that is turned into
what each currency is worth in the organisation's.
"""

import csv
import io
import zipfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from xml.etree import ElementTree

from babel.numbers import is_currency
from django.utils.translation import gettext as _

from deals.rates import DIGITS, EARLIEST, FURTHEST, LARGEST, Given, is_code

MOST_BYTES, MOST_RATES, MOST_ERRORS = 2_000_000, 10_000, 20
EURO = "EUR"
HEADS = ("currency", "devise", "code")
Rows = list[tuple[int, list[str]]]  # the number of a line in the text, and its cells


class Unreadable(ValueError):
    """A sentence that says why nothing of the file can be used, or why one line cannot."""


@dataclass
class Found:
    """`errors`: the number of a line, 0 of the whole file, and what is wrong with it; then nothing is to be saved.

    `left_out` counts the errors that there is no room for.
    """

    rates: list[Given] = field(default_factory=list)
    errors: list[tuple[int, str]] = field(default_factory=list)
    left_out: int = 0

    def refuse(self, line: int, sentence: str) -> None:
        if len(self.errors) < MOST_ERRORS:
            self.errors.append((line, sentence))
        else:
            self.left_out += 1


def read(raw: bytes, base: str, today: date, used: Collection[str] = ()) -> Found:
    """The rates into `base` in a file or pasted text. Never raises: what is wrong is in `errors`.

    `used`: the codes that deals have; others must be known currencies.
    """
    found = Found()
    try:
        text = _text(raw)
        is_xml = text.lstrip().startswith("<")
        rows = [] if is_xml else _rows(text)
        if is_xml:
            found.rates = _from_euro(_xml(text.strip()), base, today)
        elif rows and rows[0][1][0].casefold() == "date" and len(rows[0][1]) > 3:
            found.rates = _from_euro(_columns(rows), base, today)
        else:
            _table(rows, base, today, used, found)
    except Unreadable as error:
        return Found(errors=[(0, str(error))])
    if not found.rates and not found.errors:
        found.refuse(0, _("There is no rate in it."))
    if len(found.rates) > MOST_RATES:
        return Found(errors=[(0, _("There are too many rates in it. The ECB’s file of the last 90 days is enough."))])
    return found


def given(currency: str, valid_on: str, rate: str, base: str, today: date, used: Collection[str] = ()) -> Given:
    """One rate out of its texts. Raises Unreadable."""
    code = currency.strip().upper()
    if not is_code(code) or not (is_currency(code) or code in used):
        raise Unreadable(_("“%(text)s” is no currency: write its three letters, such as USD.") % {"text": code[:40]})
    if code == base:
        raise Unreadable(_("%(currency)s is your own currency: its rate is 1.") % {"currency": code})
    return Given(code, read_day(valid_on, today), read_rate(rate))


def read_day(text: str, today: date) -> date:
    try:
        found = datetime.strptime(text.strip(), "%Y-%m-%d").date()  # noqa: DTZ007 - a day without a time
    except ValueError:
        sentence = _("“%(text)s” is no date: write it as 2026-07-31.") % {"text": text.strip()[:40]}
        raise Unreadable(sentence) from None
    if not EARLIEST <= found <= today + FURTHEST:
        raise Unreadable(_("A rate holds from 1999 at the earliest, and from a year ahead at the latest."))
    return found


def read_rate(text: str) -> Decimal:
    try:
        found = Decimal(text.strip().replace("\u202f", "").replace("\u00a0", "").replace(",", "."))
        found = found.quantize(DIGITS) if found.is_finite() and 0 < found < LARGEST else Decimal(0)
        found = found if found < LARGEST else Decimal(0)  # rounded up
    except InvalidOperation:
        raise Unreadable(_("“%(text)s” is no number.") % {"text": text.strip()[:40]}) from None
    if not found:
        raise Unreadable(_("A rate is more than 0 and less than 10,000,000,000."))
    return found


def _text(raw: bytes) -> str:
    if raw.startswith(b"PK"):
        try:
            with zipfile.ZipFile(io.BytesIO(raw)) as archive, archive.open(archive.namelist()[0]) as file:
                raw = file.read(MOST_BYTES + 1)
        except (zipfile.BadZipFile, IndexError, NotImplementedError, RuntimeError, OSError, ValueError):
            raise Unreadable(_("This ZIP file cannot be opened. Unpack it, and choose the file inside.")) from None
    if len(raw) > MOST_BYTES:
        raise Unreadable(_("The file is larger than 2 MB. The ECB’s file of the last 90 days is enough."))
    return raw.decode("utf-8-sig", "replace").replace("\0", "")


def _rows(text: str) -> Rows:
    """The lines that are not empty, by their numbers in the text, parted by semicolons, tabs or commas."""
    first = text.lstrip().partition("\n")[0]
    delimiter = next((mark for mark in (";", "\t") if mark in first), ",")
    try:
        reader = csv.reader(io.StringIO(text), delimiter=delimiter)
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error:
        raise Unreadable(_("This is neither a table nor a file of the ECB.")) from None
    return [(number, row) for number, row in rows if any(row)]


def _table(rows: Rows, base: str, today: date, used: Collection[str], found: Found) -> None:
    lines: dict[tuple[str, date], int] = {}
    for n, (number, row) in enumerate(rows):
        if n == 0 and row[0].casefold() in HEADS:
            continue
        try:
            if len(row) != 3:
                raise Unreadable(_("A line has three parts: currency, date, rate."))
            rate = given(row[0], row[1], row[2], base, today, used)
        except Unreadable as error:
            found.refuse(number, str(error))
            continue
        if first := lines.get(rate[:2]):
            sentence = _("%(currency)s has a rate for this day in line %(line)s already.")
            found.refuse(number, sentence % {"currency": rate.currency, "line": first})
            continue
        lines[rate[:2]] = number
        found.rates.append(rate)


# ---- European Central Bank: (day, currency, what a euro is worth in it)

Euro = Iterator[tuple[date, str, Decimal]]


def _columns(rows: Rows) -> Euro:
    """A column for each currency, a line for each day."""
    _number, (_date, *codes) = rows[0]
    for number, (day, *cells) in rows[1:]:
        for code, cell in zip(codes, cells, strict=False):
            if code and cell and cell != "N/A":
                yield _euro(day, code, cell, number)


def _xml(text: str) -> Euro:
    if "<!" in text.replace("<!--", ""):  # it has none, and an entity can be a bomb
        raise Unreadable(_("This is no file of exchange rates as the ECB publishes it."))
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - without a document type
    except ElementTree.ParseError as error:
        raise Unreadable(_("This XML file is damaged in line %(line)s.") % {"line": error.position[0]}) from None
    for of_day in root.iterfind(".//{*}Cube"):
        if day := of_day.get("time"):
            for cube in of_day.iterfind("{*}Cube"):
                yield _euro(day, cube.get("currency", ""), cube.get("rate", ""))


def _euro(day: str, code: str, rate: str, line: int = 0) -> tuple[date, str, Decimal]:
    try:
        for pattern in ("%Y-%m-%d", "%d %B %Y"):
            try:
                found = datetime.strptime(day, pattern).date()  # noqa: DTZ007 - a day without a time
                break
            except ValueError:
                continue
        else:
            raise Unreadable(_("“%(text)s” is no date of the ECB.") % {"text": day[:40]})
        if not is_code(code):
            raise Unreadable(
                _("“%(text)s” is no currency: write its three letters, such as USD.") % {"text": code[:40]}
            )
        return found, code, read_rate(rate)
    except Unreadable as error:
        if not line:
            raise
        raise Unreadable(_("Line %(line)s: %(problem)s") % {"line": line, "problem": error}) from None


def _from_euro(told: Euro, base: str, today: date) -> list[Given]:
    """What each currency is worth in `base` on each day on which the ECB told both."""
    days: dict[date, dict[str, Decimal]] = {}
    for day, code, rate in told:
        days.setdefault(day, {EURO: Decimal(1)})[code] = rate
    days = {day: rates for day, rates in days.items() if EARLIEST <= day <= today + FURTHEST}
    if days and not any(base in rates for rates in days.values()):
        raise Unreadable(_("The ECB publishes no rate of %(currency)s, your currency.") % {"currency": base})
    found = []
    for day, rates in days.items():
        for code, rate in rates.items():
            if base in rates and code != base:
                worth = (rates[base] / rate).quantize(DIGITS)
                if 0 < worth < LARGEST:
                    found.append(Given(code, day, worth))
    return found
