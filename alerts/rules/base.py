"""What a rule is: a name, its parameters, and on which local date it fires for each deal (docs/architecture.md)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from django.db.models import Expression, F, Q, TextChoices, Value
from django.db.models.functions import Greatest
from django.db.models.lookups import GreaterThan
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from deals.clock import Clock
from deals.records import BITS, Detail

Settings = Mapping[str, Any]  # of one rule: {"enabled": bool, parameter: value}
Dated = Expression | F


class Family(TextChoices):
    ACTIVITY = "activity", _("Activity intensity")
    CONTACTS = "contacts", _("Contact engagement")
    HYGIENE = "hygiene", _("CRM hygiene")


@dataclass(frozen=True)
class Parameter:
    """A value that an admin sets; `label` names it in the settings form."""

    label: str | Promise
    default: Any = None


@dataclass(frozen=True)
class Number(Parameter):
    """A whole number with inclusive bounds."""

    default: int = 0
    min: int = 1
    max: int = 365
    unit: str | Promise = ""


@dataclass(frozen=True)
class Flag(Parameter):
    default: bool = False


@dataclass(frozen=True)
class Choice(Parameter):
    """One of `choices`: (value, label)."""

    default: Any = None
    choices: tuple[tuple[Any, str | Promise], ...] = ()


@dataclass(frozen=True)
class PerStage(Parameter):
    """{stage id as text: number} for the stages that differ from the rule's own limit `of`."""

    of: Number = Number("")


@dataclass(frozen=True)
class PerRole(Parameter):
    """{role key: number} for the roles that are watched; none by default."""

    of: Number = Number("")


def days(default: int) -> Number:
    return Number(_("Days"), default=default, min=1, max=365, unit=_("days"))


class Rule:
    """A rule gives, for each deal, the local date on which it fires; NULL cannot fire.

    `evidence` names columns of the deal's row that the alert keeps: stable facts, so that an unchanged alert is not
    rewritten. `limit` is kept with them. `bit` is fixed for ever (deals.Deal.alert_mask).
    """

    kind: ClassVar[str]
    bit: ClassVar[int]
    family: ClassVar[Family]
    icon: ClassVar[str]  # a Lucide name
    critical: ClassVar[bool] = False
    title: ClassVar[str | Promise]
    description: ClassVar[str | Promise]
    action: ClassVar[str | Promise]
    parameters: ClassVar[Mapping[str, Parameter]] = {}

    # What docs/rules.md says besides (`manage.py write_rules_page`): plain English, Markdown, not translated.
    meaning: ClassVar[str]
    facts: ClassVar[Mapping[str, str]]  # the names of `evidence`
    clear: ClassVar[str]
    reasons: ClassVar[Mapping[str, str]] = {}  # the codes of `unknown`
    false_alarms: ClassVar[str]
    departures: ClassVar[str] = ""

    def default_settings(self) -> dict[str, Any]:
        values = {name: {} if isinstance(p, PerStage | PerRole) else p.default for name, p in self.parameters.items()}
        return {"enabled": True, **values}

    def subjects(self, settings: Settings) -> Sequence[str]:
        """What the rule is judged for once each on a deal; the empty text is the deal itself."""
        return [""]

    def fires_on(self, settings: Settings, clock: Clock, subject: str) -> Dated:
        raise NotImplementedError

    def unknown(self, settings: Settings, clock: Clock, subject: str) -> Expression | None:
        """A reason code where the rule cannot be judged, NULL elsewhere. None: it always can."""
        return None

    def limit(self, settings: Settings, subject: str) -> Any:
        """The value that the measured one is held against, as shown: a number, an expression, or None."""
        return settings.get("days")

    def evidence(self, settings: Settings, subject: str) -> Mapping[str, Dated]:
        return {}


def not_before_life(*dates: Dated) -> Expression:
    """The latest of `dates`, creation and last reopening: nothing holds since before the deal was (re)opened."""
    return Greatest(*dates, F("created_on"), F("reopened_on"))


def never_read(what: Detail) -> Q:
    """Where the second phase of the first synchronisation has not reached the deal (docs/adr/0020): a rule that needs
    these facts waits. What is new later is no reason to wait: what was known before it goes on being judged."""
    return Q(GreaterThan(F("waits").bitand(BITS[what]), Value(0)))


def text(value: str) -> Value:
    from django.db.models import TextField

    return Value(value, TextField())
