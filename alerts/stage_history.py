"""How long a deal was in each stage, held against the limits of `stuck_in_stage`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import Organisation
from alerts import formats
from alerts.charts import Scale
from alerts.settings import Draft
from alerts.wording import Days
from deals.clock import Clock
from deals.models import Deal, FieldChange, Stage

WIDTH = 200  # of a bar's picture
KIND = "stuck_in_stage"


@dataclass(frozen=True)
class Stay:
    """Local dates; `exact`: the first is known, else it is the latest that it can be. `until`: None for the present."""

    stage: str
    since: date
    until: date | None
    exact: bool = True


@dataclass(frozen=True)
class Visited:
    """A stage and the days in it: those of the last stay, and of all. The others are places in a picture WIDTH wide."""

    name: str
    days: str
    visits: str
    limit: str
    current: bool
    over: bool
    last: float
    total: float
    mark: float | None


def stage_history(organisation: Organisation, deal: Deal, draft: Draft, override: str, clock: Clock) -> list[Visited]:
    """The stages in the order in which they were entered first. Two statements.

    `draft`: the settings in force; `override`: the name of the one that counts for the deal, if any.
    """
    changes = FieldChange.objects.filter(organisation=organisation, deal=deal, field__in=("stage", "status"))
    rows = list(changes.order_by("changed_at", "pk").values_list("field", "old", "new", "changed_at"))
    found = stays(deal, rows, clock)
    refs = {stay.stage for stay in found}
    named = Stage.objects.filter(organisation=organisation, source=deal.source_id, external_id__in=refs)
    stages = {ref: (pk, name) for ref, pk, name in named.values_list("external_id", "pk", "name")}
    rule = _settings(draft, override)
    limits = {ref: _limit(rule, pk) for ref, (pk, _name) in stages.items()} if rule["enabled"] else {}
    count = Days(clock.today, organisation.country if draft["business_days"] else "")
    return _visited(found, {ref: name for ref, (_pk, name) in stages.items()}, limits, count)


def stays(deal: Deal, changes: Sequence[tuple[str, str | None, str | None, datetime]], clock: Clock) -> list[Stay]:
    """Every stay of the open deal in a stage, oldest first. `changes`: (field, old, new, when) of stage and status."""

    def first(field: str, default: str) -> str:
        return next((old or "" for name, old, _new, _at in changes if name == field), default)

    def day(at: datetime) -> date:
        return at.astimezone(clock.zone).date()

    created = deal.created_on or day(deal.created_at)
    seen_at = deal.source.first_synced_at
    # What happened before the first synchronisation was not seen, unless the CRM has told its history.
    seen = deal.history_known or (seen_at is not None and seen_at <= deal.created_at)
    since, exact = (created, True) if seen else (max(created, day(seen_at or clock.now)), False)
    state = {"stage": first("stage", deal.stage_ref), "status": first("status", deal.status)}
    found: list[Stay] = []
    present = Stay(state["stage"], since, None, exact)
    for field, _old, new, at in changes:
        was = dict(state)
        state[field] = new or ""
        if state == was:
            continue
        if was["status"] == Deal.Status.OPEN:
            found.append(replace(present, since=min(present.since, day(at)), until=day(at)))
        present = Stay(state["stage"], day(at), None)
    if state["status"] == Deal.Status.OPEN or not found:
        entered = deal.stage_entered_on
        if entered and (deal.stage_known or not found):
            present = replace(present, since=entered, exact=deal.stage_known)
        over = day(deal.closed_at) if deal.status != Deal.Status.OPEN and deal.closed_at else None
        found.append(replace(present, since=min(present.since, over or clock.today), until=over))
    return [stay for stay in found if stay.stage]


def _settings(draft: Draft, override: str) -> Mapping[str, Any]:
    special: Mapping[str, Any] = next(
        (o["rules"].get(KIND, {}) for o in draft["overrides"] if override and o["name"] == override), {}
    )
    return {**draft["rules"][KIND], **special}


def _limit(rule: Mapping[str, Any], stage: int) -> int:
    limit: int = rule["stages"].get(str(stage), rule["days"])
    return limit


def _visited(stays: Sequence[Stay], names: Mapping[str, str], limits: Mapping[str, int], count: Days) -> list[Visited]:
    of_stage: dict[str, list[Stay]] = {}
    for stay in stays:
        of_stage.setdefault(stay.stage, []).append(stay)
    lengths = {
        ref: [count.between(stay.since, stay.until or count.today) for stay in each] for ref, each in of_stage.items()
    }
    most = max([*(sum(each) for each in lengths.values()), *(limits.get(ref, 0) for ref in lengths)], default=0)
    scale = Scale(max(most, 1), 0, WIDTH - 2)
    visited = []
    for ref, each in of_stage.items():
        total, last, limit = sum(lengths[ref]), lengths[ref][-1], limits.get(ref)
        said = count.said(total)
        visited.append(
            Visited(
                name=names.get(ref) or _("a stage that has gone from the CRM"),
                days=said if all(stay.exact for stay in each) else _("at least %(days)s") % {"days": said},
                visits=""
                if len(each) == 1
                else ngettext("%(count)s stay", "%(count)s stays", len(each)) % {"count": formats.number(len(each))},
                limit=count.said(limit) if limit else "",
                current=each[-1].until is None,
                over=limit is not None and last >= limit,
                last=scale(last),
                total=scale(total),
                mark=scale(limit) if limit else None,
            )
        )
    return visited
