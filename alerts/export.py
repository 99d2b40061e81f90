"""The deal list as a table for a spreadsheet: streamed, however many deals, in the memory of one piece of it."""

import csv
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from io import StringIO
from itertools import islice
from typing import cast

from django.utils import translation
from django.utils.translation import gettext as _

from accounts.tenancy import tenant
from alerts.cards import ShownAlert, shown_alerts
from alerts.deal_query import DealQuery
from alerts.reader import Reader
from alerts.rules import RULES
from deals.clock import Clock
from deals.models import Deal
from deals.querysets import DealQuerySet

CHUNK = 500  # deals that are read and written together
BOM = "\ufeff"  # without it, spreadsheets take UTF-8 for something else
# What makes a spreadsheet calculate a cell instead of showing it; the wide forms are the same to some of them.
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")


def safe(text: str) -> str:
    """A text from a CRM that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


@dataclass(frozen=True)
class Export:
    """`deals`: asked for when the stream begins, inside the organisation's transaction."""

    reader: Reader
    clock: Clock
    deals: Callable[[], DealQuerySet]

    @classmethod
    def of_query(cls, reader: Reader, query: DealQuery, clock: Clock) -> "Export":
        """The deals that the list shows, on all its pages and in its order."""
        return cls(reader, clock, lambda: query.ordered(reader.open_deals.filter(query.matching(reader))))

    @classmethod
    def of_deals(cls, reader: Reader, ids: Sequence[int], query: DealQuery, clock: Clock) -> "Export":
        """These deals, in the order of the list."""
        return cls(reader, clock, lambda: query.ordered(reader.organisation.deals.among(ids)))

    def lines(self, language: str, chunk: int = CHUNK) -> Iterator[str]:
        """CSV in pieces of `chunk` deals, as spreadsheets of that language read it.

        For each piece as many statements as for any other. It has a transaction of its own: that of the request is over
        when an answer is streamed.
        """
        with tenant(self.reader.organisation):
            with translation.override(language):
                yield BOM + _written([self._head()], language)
            # Closed before the transaction ends, also when the reader goes away in the middle.
            found = cast("Generator[Deal]", self.deals().for_list().iterator(chunk_size=chunk))
            with closing(found) as deals:
                while piece := list(islice(deals, chunk)):
                    with translation.override(language):
                        alerts = shown_alerts(self.reader.organisation, piece, self.clock)
                        rows = [_row(deal, alerts.get(deal.pk, []), language) for deal in piece]
                    yield _written(rows, language)

    def _head(self) -> list[str]:
        return [
            _("Company"),
            _("Deal"),
            _("Alerts"),
            _("Amount"),
            _("Currency"),
            _("Amount in %(currency)s") % {"currency": self.reader.organisation.currency},
            _("Pipeline"),
            _("Stage"),
            _("Close date"),
            _("Last exchange"),
            _("Owner"),
            *(str(rule.title) for rule in RULES),
        ]


def _written(rows: Sequence[Sequence[str]], language: str) -> str:
    text = StringIO()
    csv.writer(text, delimiter=";" if language.startswith("fr") else ",").writerows(rows)
    return text.getvalue()


def _row(deal: Deal, alerts: Sequence[ShownAlert], language: str) -> list[str]:
    """Dates as ISO 8601; an alert as the day since when it holds and its evidence, several of a kind in one cell."""

    def number(value: Decimal | None) -> str:
        text = "" if value is None else f"{value:f}"
        return text.replace(".", ",") if language.startswith("fr") else text

    told = {rule.kind: [f"{a.holds_since}: {a.sentence}" for a in alerts if a.kind == rule.kind] for rule in RULES}
    return [
        safe(deal.company.name if deal.company else ""),
        safe(deal.title),
        str(len(alerts)),
        number(deal.amount),
        safe(deal.currency),
        number(deal.value),
        safe(deal.pipeline.name if deal.pipeline else ""),
        safe(deal.stage.name if deal.stage else ""),
        deal.close_on.isoformat() if deal.close_on else "",
        deal.last_interaction_on.isoformat() if deal.last_interaction_on else "",
        safe(deal.owner.name if deal.owner else ""),
        *(" | ".join(sentences) for sentences in told.values()),
    ]
