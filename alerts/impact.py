"""The panel beside settings: per alert how many open deals, and which amounts, are flagged now and would be after."""

from dataclasses import dataclass

from django.db.models import Count, F
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import Organisation
from alerts import amounts, formats
from alerts.deal_query import BITS
from alerts.preview import ALL_KINDS, AT_RISK, CHANGES, Effect, Flagged, preview, preview_deals
from alerts.rules import BY_KIND, RULES
from alerts.settings import Draft
from deals.clock import Clock
from deals.models import Deal

RISK = "risk"  # in addresses, in place of a kind: at least one alert
SHOWN = 20  # deals behind a number, a page


@dataclass(frozen=True)
class Line:
    """One alert, or all of them. `after` is None where nothing was changed yet; `risk` is true of the total."""

    kind: str
    title: str
    critical: bool
    now: int
    now_amounts: str
    after: int | None = None
    after_amounts: str = ""
    flagged: int = 0
    cleared: int = 0

    @property
    def shown(self) -> int:
        return self.now if self.after is None else self.after


@dataclass(frozen=True)
class Impact:
    total: Line
    lines: list[Line]

    @property
    def most(self) -> int:
        return max(1, *(max(line.now, line.shown) for line in self.lines))

    @property
    def changed(self) -> int:
        return sum(1 for line in self.lines if line.flagged or line.cleared)

    @property
    def spoken(self) -> str:
        """The result in one sentence."""
        if self.total.after is None:
            return ""
        if not self.changed:
            return _("No deal would be flagged or cleared.")
        said = ngettext("%(count)s alert changes if you save.", "%(count)s alerts change if you save.", self.changed)
        return said % {"count": formats.number(self.changed)}


@dataclass(frozen=True)
class Behind:
    """The deals behind a number; `show` says which."""

    title: str
    deals: list[Deal]
    count: int
    show: str
    page: int

    @property
    def pages(self) -> int:
        return max(1, -(-self.count // SHOWN))


def impact_now(organisation: Organisation) -> Impact:
    """What the list shows. One statement."""
    effects = {kind: Flagged() for kind in (AT_RISK, *BY_KIND)}
    groups = organisation.deals.open().order_by().values("currency", mask=F("alert_mask").bitand(ALL_KINDS))
    counted = groups.filter(alert_mask__gt=0).annotate(n=Count("pk"), **amounts.AGGREGATES)
    for mask, deals, currency, *sums in counted.values_list("mask", "n", "currency", *amounts.AGGREGATES):
        for kind, flagged in effects.items():
            if mask & (BITS[kind] if kind else ALL_KINDS):
                flagged.add(deals, currency, *sums)
    return _impact(organisation, {kind: {"now": flagged} for kind, flagged in effects.items()})


def impact_of(organisation: Organisation, draft: Draft, clock: Clock) -> Impact:
    """What a clean draft would change."""
    return _impact(organisation, preview(organisation, draft, clock))


def _impact(organisation: Organisation, effects: dict[str, Effect]) -> Impact:
    def worth(flagged: Flagged) -> str:
        return " · ".join(amounts.told(flagged.sums.values(), organisation.currency))

    def line(kind: str, title: str, *, critical: bool = False) -> Line:
        effect = effects[kind]
        now = Line(kind or RISK, title, critical, effect["now"].deals, worth(effect["now"]))
        if "after" not in effect:
            return now
        changes = (effect["after"].deals, worth(effect["after"]), effect["flagged"].deals, effect["cleared"].deals)
        return Line(now.kind, title, critical, now.now, now.now_amounts, *changes)

    return Impact(
        line(AT_RISK, _("Deals at risk")), [line(rule.kind, str(rule.title), critical=rule.critical) for rule in RULES]
    )


def deals_behind(organisation: Organisation, draft: Draft, clock: Clock, show: str) -> Behind | None:
    """`show`: "<change>.<kind>.<page>", as in CHANGES, with RISK for deals at risk. None when it is no such thing."""
    change, kind, number = (*show.split("."), "", "")[:3]
    if change not in CHANGES or kind not in (RISK, *BY_KIND):
        return None
    page = int(number) if number.isascii() and number.isdecimal() and 0 < len(number) < 7 else 1
    page = max(1, page)
    rows = slice((page - 1) * SHOWN, page * SHOWN)
    count, ids = preview_deals(organisation, draft, clock, "" if kind == RISK else kind, change, rows)
    found = Deal.objects.filter(organisation=organisation).among(ids).for_list().in_bulk()
    titles = {
        "now": _("%(alert)s: flagged now"),
        "after": _("%(alert)s: flagged after saving"),
        "flagged": _("%(alert)s: newly flagged"),
        "cleared": _("%(alert)s: no longer flagged"),
    }
    title = titles[change] % {"alert": BY_KIND[kind].title if kind in BY_KIND else _("Deals at risk")}
    return Behind(title, [found[pk] for pk in ids], count, f"{change}.{kind}", page)
