"""The question that the address bar asks of the deal list: parsed, canonical, and one Q per facet."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import reduce
from operator import and_
from typing import Any

from django.db.models import F, OrderBy, Q
from django.db.models.lookups import GreaterThan
from django.http import QueryDict
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from alerts.rules import COUNT_SHIFT, RULES
from deals import search
from deals.querysets import DealQuerySet

BITS: Mapping[str, int] = {rule.kind: 1 << rule.bit for rule in RULES}
NONE = "none"  # the facet value for "no owner" and "no stage"
VIEWS = ("open", "risk", "clear", "mine")
FACETS = ("alert", "owner", "stage")
PAGE_SIZE = 50
# The first column is the one that the head of the table shows as sorted.
SORTS: Mapping[str, tuple[str, ...]] = {
    "risk": ("risk", "amount"),
    "amount": ("amount",),
    "close": ("close_on",),
    "last": ("last_interaction_at",),
}
DEFAULT_SORT = "-risk"


def has_any(bits: int) -> Q:
    return Q(GreaterThan(F("alert_mask").bitand(bits), 0))


@dataclass(frozen=True, slots=True)
class DealQuery:
    """Unknown parts of an address are left out and named in `refused`, as sentences. OR inside a facet, AND between.

    `alert` holds kinds; `owner` and `stage` hold ids as text, or "none". `sort` begins with "-" when descending.
    """

    view: str = "open"
    alert: tuple[str, ...] = ()
    owner: tuple[str, ...] = ()
    stage: tuple[str, ...] = ()
    q: str = ""
    sort: str = DEFAULT_SORT
    page: int = 1
    refused: tuple[str, ...] = ()

    @classmethod
    def parse(cls, data: QueryDict) -> "DealQuery":
        refused: list[str] = []

        def keep(name: str, known: Any, sentence: str) -> tuple[str, ...]:
            values = dict.fromkeys(value for value in data.getlist(name) if value)
            refused.extend(sentence % {"value": value[:80]} for value in values if not known(value))
            return tuple(sorted(value for value in values if known(value)))

        def is_id(value: str) -> bool:
            return value == NONE or (value.isascii() and value.isdigit() and len(value) < 19)

        view, sort, page = data.get("view") or "open", data.get("sort") or DEFAULT_SORT, data.get("page") or "1"
        if view not in VIEWS:
            refused.append(_("There is no view “%(value)s”. All open deals are shown.") % {"value": view[:80]})
            view = "open"
        if sort.removeprefix("-") not in SORTS:
            refused.append(_("Deals cannot be sorted by “%(value)s”. They are sorted by risk.") % {"value": sort[:80]})
            sort = DEFAULT_SORT
        if not (page.isascii() and page.isdigit() and 0 < len(page) < 10 and int(page)):
            refused.append(_("There is no page “%(value)s”. This is the first one.") % {"value": page[:80]})
            page = "1"
        return cls(
            view=view,
            alert=keep("alert", BITS.__contains__, _("There is no alert “%(value)s”; this filter was left out.")),
            owner=keep("owner", is_id, _("There is no owner “%(value)s”; this filter was left out.")),
            stage=keep("stage", is_id, _("There is no stage “%(value)s”; this filter was left out.")),
            q=" ".join(data.get("q", "").replace("\x00", "").split())[:200],
            sort=sort,
            page=int(page),
            refused=tuple(refused),
        )

    def facet(self, name: str, email: str) -> Q:
        """The condition of one facet; empty when nothing is chosen. `email` is the reader's, for "mine"."""
        match name:
            case "view":
                return {
                    "open": Q(),
                    "risk": Q(alert_mask__gt=0),
                    "clear": Q(alert_mask=0),
                    "mine": Q(owner__email=email.lower()),  # as it is stored
                }[self.view]
            case "alert":
                return has_any(sum(BITS[kind] for kind in self.alert)) if self.alert else Q()
            case "q":
                # Parts of words, in any order; a word without letters, say a lone accent, is in none.
                words = search.plain(self.q).split()[:8] or ["\n"] * bool(self.q)
                return reduce(and_, (Q(search__contains=word) for word in words), Q())
        chosen = getattr(self, name)
        ids = Q(**{f"{name}__in": [int(value) for value in chosen if value != NONE]})
        return (ids | Q(**{f"{name}__isnull": True}) if NONE in chosen else ids) if chosen else Q()

    def allows(self, name: str, key: int | None) -> bool:
        """Whether the facet `name`, "owner" or "stage", lets a deal with this one pass."""
        chosen = getattr(self, name)
        return not chosen or (NONE if key is None else str(key)) in chosen

    def matching(self, email: str, without: str = "") -> Q:
        """All facets, or all but one: the counts beside a facet's options leave that facet out."""
        return reduce(and_, (self.facet(name, email) for name in ("view", *FACETS, "q") if name != without), Q())

    def ordered(self, deals: DealQuerySet) -> DealQuerySet:
        """Empty values last in either direction; ties in a fixed order."""
        descending = self.sort.startswith("-")
        deals = deals.alias(risk=F("alert_mask").bitrightshift(COUNT_SHIFT))
        columns = SORTS[self.sort.removeprefix("-")]
        order = [OrderBy(F(column), descending=descending, nulls_last=True) for column in columns]
        return deals.order_by(*order, "pk")

    # Addresses

    def with_(self, **changes: Any) -> "DealQuery":
        """Another question; any change but of the page itself goes back to the first page."""
        return replace(self, **{"page": 1, "refused": (), **changes})

    def without(self, facet: str, value: str) -> "DealQuery":
        return self.with_(**{facet: tuple(kept for kept in getattr(self, facet) if kept != value)})

    def params(self) -> list[tuple[str, str]]:
        """What differs from the default, in a fixed order."""
        pairs: list[tuple[str, str]] = []
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "refused" and value != field.default:
                pairs += [(field.name, str(item)) for item in (value if isinstance(value, tuple) else (value,))]
        return pairs

    @property
    def url(self) -> str:
        path = reverse("alerts:deals")
        return f"{path}?{urlencode(self.params())}" if self.params() else path

    @property
    def is_filtered(self) -> bool:
        return bool(self.alert or self.owner or self.stage or self.q)

    @property
    def everything(self) -> "DealQuery":
        return DealQuery(sort=self.sort)

    @property
    def cleared(self) -> "DealQuery":
        return DealQuery(view=self.view, sort=self.sort)
