"""An organisation's alert settings: the version in force, validation, saving a new version."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Max
from django.utils.translation import gettext as _

from accounts.models import Organisation, User
from alerts.models import Configuration
from alerts.rules import RULES, Rule
from alerts.rules.base import Choice, Flag, Number, Parameter, PerRole, PerStage
from deals.clock import Clock
from deals.models import Role

Rules = dict[str, dict[str, Any]]


class Conflict(Exception):
    """Somebody saved a version after the one that the draft was made from."""

    def __init__(self, current: Configuration) -> None:
        self.current = current
        super().__init__(f"version {current.version} was saved meanwhile")


def defaults() -> Rules:
    return {rule.kind: rule.default_settings() for rule in RULES}


def current(organisation: Organisation) -> Configuration:
    """The version in force; version 0, not stored, is the defaults."""
    newest = organisation.configurations.order_by("-version").first()
    if newest is None:
        return Configuration(organisation=organisation, version=0, rules=defaults())
    stored = newest.rules
    # A rule that is newer than the version has its defaults.
    newest.rules = {kind: {**values, **stored.get(kind, {})} for kind, values in defaults().items()}
    return newest


def basis(settings: Mapping[str, Any]) -> str:
    """A short name for the settings of one rule: alerts judged by the same settings have the same."""
    return hashlib.md5(json.dumps(settings, sort_keys=True).encode(), usedforsecurity=False).hexdigest()[:12]


def live_roles(organisation: Organisation) -> set[str]:
    return set(Role.objects.filter(organisation=organisation, stale=False).values_list("key", flat=True))


def clean(raw: Mapping[str, Any]) -> Rules:
    """Valid settings from untrusted ones, or ValidationError with {"kind.parameter": [sentence]}.

    A missing rule or parameter keeps its default; an unknown one is an error.
    """
    errors: dict[str, list[str]] = {}
    known = {rule.kind: rule for rule in RULES}
    for kind in raw.keys() - known.keys():
        errors[kind] = [_("There is no alert of this name.")]
    cleaned = {kind: _clean_rule(rule, raw.get(kind, {}), errors) for kind, rule in known.items()}
    if errors:
        raise ValidationError(errors)
    return cleaned


def _clean_rule(rule: Rule, raw: Any, errors: dict[str, list[str]]) -> dict[str, Any]:
    values = rule.default_settings()
    if not isinstance(raw, Mapping):
        errors[rule.kind] = [_("These settings are not in the expected form.")]
        return values
    for name, value in raw.items():
        try:
            if name == "enabled":
                values[name] = _flag(value)
            elif name in rule.parameters:
                values[name] = _value(rule.parameters[name], value)
            else:
                raise ValidationError(_("There is no setting of this name."))
        except ValidationError as error:
            errors[f"{rule.kind}.{name}"] = list(error.messages)
    return values


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValidationError(_("Say yes or no."))
    return value


def _number(parameter: Number, value: Any) -> int:
    try:
        number = int(str(value).strip()) if not isinstance(value, bool) else None
    except ValueError:
        number = None
    if number is None or not parameter.min <= number <= parameter.max:
        raise ValidationError(
            _("Enter a whole number from %(min)s to %(max)s.") % {"min": parameter.min, "max": parameter.max}
        )
    return number


def _value(parameter: Parameter, value: Any) -> Any:
    match parameter:
        case Number():
            return _number(parameter, value)
        case Flag():
            return _flag(value)
        case Choice():
            for choice, _label in parameter.choices:
                if str(choice) == str(value):
                    return choice
            raise ValidationError(_("Choose one of the values offered."))
        case PerStage() | PerRole():
            if not isinstance(value, Mapping):
                raise ValidationError(_("These settings are not in the expected form."))
            if isinstance(parameter, PerStage) and not all(str(stage).isdecimal() for stage in value):
                raise ValidationError(_("There is no stage of this name."))
            return {str(key): _number(parameter.of, limit) for key, limit in value.items()}
    raise TypeError(parameter)


def save(organisation: Organisation, rules: Rules, user: User | None, clock: Clock, based_on: int) -> Configuration:
    """Store a new version in force. Raises Conflict when version `based_on` is no longer the newest.

    Runs in the caller's transaction; two admins at once meet at the organisation's row.
    """
    Organisation.objects.select_for_update().get(pk=organisation.pk)
    newest = organisation.configurations.aggregate(newest=Max("version"))["newest"] or 0
    if newest != based_on:
        raise Conflict(current(organisation))
    return Configuration.objects.create(
        organisation=organisation, version=newest + 1, rules=clean(rules), saved_by=user, saved_at=clock.now
    )
