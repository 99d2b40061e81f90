"""The set-up of a new organisation: five steps whose state is told by facts, or by an admin who is content as it is.

What was said is kept in `Onboarding.steps`; a fact is more than what was said. The set-up is over when no step is open,
or when an admin ends it; it can be opened again.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, reduce
from operator import or_
from typing import Any

from django.db.models import BooleanField, Exists, ExpressionWrapper, OuterRef, QuerySet, Subquery
from django.db.models.expressions import Combinable
from django.utils.translation import gettext as _

from accounts.models import Membership, Organisation
from alerts.models import Configuration
from crm_sync.models import Connection
from deals.models import Source, TitleCorrection
from workplace.models import Invitation, Onboarding

STEPS = ("connect", "sync", "people", "thresholds", "invite")
DONE, SKIPPED, OPEN = "done", "skipped", "open"
# What only facts can say is done.
FACTUAL = ("connect", "sync")


@dataclass(frozen=True)
class Step:
    """`state`: done, skipped or open."""

    key: str
    state: str

    @property
    def title(self) -> str:
        return {
            "connect": _("Connect your CRM"),
            "sync": _("Watch the first synchronisation"),
            "people": _("Check roles and job titles"),
            "thresholds": _("Choose when deals are flagged"),
            "invite": _("Invite your colleagues"),
        }[self.key]


@dataclass(frozen=True)
class Progress:
    steps: list[Step]
    ended: bool

    @cached_property
    def by_key(self) -> dict[str, Step]:
        return {step.key: step for step in self.steps}

    @property
    def open(self) -> list[Step]:
        return [step for step in self.steps if step.state == OPEN]

    @property
    def over(self) -> bool:
        return self.ended or not self.open

    @property
    def next(self) -> Step | None:
        return self.open[0] if self.open else None

    @property
    def done(self) -> int:
        return len(self.steps) - len(self.open)


def progress(organisation: Organisation) -> Progress:
    """One statement."""
    mine = {"organisation": OuterRef("pk")}
    connections = Connection.objects.filter(**mine).exclude(state=Connection.State.DISCONNECTED)
    second = Membership.objects.filter(**mine).order_by("pk")[1:]
    kept = Onboarding.objects.filter(**mine)
    found = (
        Organisation.objects.filter(pk=organisation.pk)
        .values_list(
            Exists(connections),
            Exists(Source.objects.filter(**mine, first_synced_at__isnull=False)),
            _either(TitleCorrection.objects.filter(**mine), connections.exclude(title_field="", role_field="")),
            Exists(Configuration.objects.filter(**mine, saved_by__isnull=False)),
            _either(Invitation.objects.filter(**mine), second),
            Subquery(kept.values("steps")[:1]),
            Subquery(kept.values("finished_at")[:1]),
        )
        .get()
    )
    *facts, said, finished_at = found
    said = said or {}
    steps = [Step(key, DONE if fact else said.get(key, OPEN)) for key, fact in zip(STEPS, facts, strict=True)]
    return Progress(steps, finished_at is not None)


def _either(*found: QuerySet[Any]) -> Combinable:
    """Whether there is a row in one of them."""
    return ExpressionWrapper(reduce(or_, map(Exists, found)), BooleanField())


def say(organisation: Organisation, step: str, state: str) -> None:
    """An admin is content with a step, skips it, or opens it again. ValueError when that cannot be said of it."""
    if step not in STEPS or state not in (DONE, SKIPPED, OPEN) or (state == DONE and step in FACTUAL):
        raise ValueError(step)
    kept = _kept(organisation)
    kept.steps = {key: said for key, said in kept.steps.items() if key != step}
    if state != OPEN:
        kept.steps[step] = state
    kept.save(update_fields=["steps"])


def end(organisation: Organisation, now: datetime) -> None:
    _kept(organisation)
    organisation.onboardings.filter(finished_at=None).update(finished_at=now)


def begin_again(organisation: Organisation) -> None:
    """Nobody is asked about what facts say; what was skipped or said is open again."""
    _kept(organisation)
    organisation.onboardings.update(finished_at=None, steps={})


def _kept(organisation: Organisation) -> Onboarding:
    """The row, locked: two admins may say something at once."""
    organisation.onboardings.get_or_create(organisation=organisation)
    return organisation.onboardings.select_for_update().get()
