"""The form of Settings → Deals → Alerts: made from the rules' parameters, read from a POST, checked by their bounds."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils.translation import gettext as _

from accounts.models import Organisation
from alerts import settings as alert_settings
from alerts.rules import RULES, Family, Rule
from alerts.rules.base import Choice, Flag, Number, Parameter, PerRole, PerStage
from alerts.settings import Rules
from deals.models import Role, Stage


@dataclass
class Field:
    """One input. `widget`: number, flag, choice or role; a role has a box (`chosen`) beside its number."""

    name: str
    widget: str
    label: str
    value: Any
    number: Number | None = None
    options: tuple[tuple[str, str, bool], ...] = ()
    chosen: bool = False
    stale: bool = False
    error: str = ""

    @property
    def id(self) -> str:
        return self.name.replace(".", "-")

    @property
    def key(self) -> str:
        """The stage or role that the input is for."""
        return self.name.split(".", 2)[2]

    @property
    def bounds(self) -> str:
        assert self.number
        return _("%(min)s to %(max)s") % {"min": self.number.min, "max": self.number.max}


@dataclass
class RuleForm:
    """A rule's switch and inputs: `fields` beside its name, `stages` (per pipeline) and `roles` below."""

    rule: Rule
    enabled: bool
    fields: list[Field] = field(default_factory=list)
    stages: list[tuple[str, list[Field]]] = field(default_factory=list)
    roles: list[Field] = field(default_factory=list)
    has_roles: bool = False

    def every(self) -> Iterator[Field]:
        yield from self.fields
        for _pipeline, fields in self.stages:
            yield from fields
        yield from self.roles

    @property
    def stages_differ(self) -> bool:
        return any(each.value for _pipeline, fields in self.stages for each in fields)


class SettingsForm:
    """`values` are settings as stored; `data`, a POST, takes their place as it was typed, right or wrong."""

    def __init__(self, organisation: Organisation, values: Rules, data: QueryDict | None = None) -> None:
        self.data = data
        self.pipelines = _pipelines(organisation)
        self.labels = _roles(organisation)
        self.rules = [self._rule(rule, values[rule.kind]) for rule in RULES]
        self.cleaned: Rules = {}

    @property
    def families(self) -> list[tuple[str, list[RuleForm]]]:
        grouped = groupby(self.rules, key=lambda each: each.rule.family)
        return [(str(Family(family).label), list(rules)) for family, rules in grouped]

    def is_valid(self) -> bool:
        """Fill `cleaned`, or the error beside each input that is wrong."""
        raw: dict[str, dict[str, Any]] = {}
        for each in self.rules:
            raw[each.rule.kind] = {"enabled": each.enabled}
            for entry in each.every():
                self._add(raw[each.rule.kind], each.rule.kind, entry)
        if self.errors:
            return False
        self.cleaned = alert_settings.clean(raw)
        return True

    @property
    def errors(self) -> list[Field]:
        return [entry for each in self.rules for entry in each.every() if entry.error]

    def _add(self, raw: dict[str, Any], kind: str, entry: Field) -> None:
        """Put an input's value into `raw`, each alone checked by the rules of `alerts.settings`."""
        name, _dot, key = entry.name.removeprefix(f"{kind}.").partition(".")
        if key:
            raw.setdefault(name, {})
            # A stage left empty has the rule's own limit; a role is watched when its box is ticked.
            if (entry.widget == "role" and not entry.chosen) or (entry.widget == "number" and not entry.value):
                return
        value = {key: entry.value} if key else entry.value
        try:
            alert_settings.clean({kind: {name: value}})
        except ValidationError as error:
            entry.error = " ".join(error.messages)
            return
        if key:
            raw[name][key] = entry.value
        else:
            raw[name] = entry.value

    def _rule(self, rule: Rule, values: Mapping[str, Any]) -> RuleForm:
        enabled = f"{rule.kind}.enabled" in self.data if self.data is not None else values["enabled"]
        form = RuleForm(rule, enabled)
        for name, parameter in rule.parameters.items():
            full, value = f"{rule.kind}.{name}", values[name]
            match parameter:
                case PerStage():
                    form.stages = [
                        (
                            pipeline,
                            [
                                self._number(f"{full}.{pk}", label, parameter.of, value.get(pk, ""))
                                for pk, label in stages
                            ],
                        )
                        for pipeline, stages in self.pipelines
                    ]
                case PerRole():
                    form.has_roles = True
                    form.roles = list(self._role_fields(full, parameter, value))
                case _:
                    form.fields.append(self._simple(full, parameter, value))
        return form

    def _typed(self, name: str, value: Any) -> Any:
        return self.data.get(name, "").strip()[:20] if self.data is not None else value

    def _number(self, name: str, label: str, number: Number, value: Any) -> Field:
        return Field(name, "number", label, self._typed(name, value), number)

    def _simple(self, name: str, parameter: Parameter, value: Any) -> Field:
        label = str(parameter.label)
        match parameter:
            case Number():
                return self._number(name, label, parameter, value)
            case Flag():
                return Field(name, "flag", label, name in self.data if self.data is not None else value)
            case Choice():
                typed = str(self._typed(name, value))
                options = tuple((str(key), str(text), str(key) == typed) for key, text in parameter.choices)
                return Field(name, "choice", label, typed, options=options)
        raise TypeError(parameter)

    def _role_fields(self, name: str, parameter: PerRole, values: Mapping[str, int]) -> Iterator[Field]:
        """The CRM's roles, and those that are still chosen but gone from it, marked as stale."""
        chosen = set(self.data.getlist(name)) if self.data is not None else set(values)
        live = {key: label for key, (label, stale) in self.labels.items() if not stale}
        gone = {key: self.labels.get(key, (key, True))[0] for key in sorted({*values, *chosen} - live.keys())}
        for key, label in [*sorted(live.items(), key=lambda pair: pair[1].casefold()), *gone.items()]:
            number = self._number(f"{name}.{key}", label, parameter.of, values.get(key, parameter.of.default))
            if not number.value:
                number.value = parameter.of.default
            number.widget, number.chosen, number.stale = "role", key in chosen, key in gone
            yield number


def _pipelines(organisation: Organisation) -> list[tuple[str, list[tuple[str, str]]]]:
    """(pipeline, [(stage id as text, stage)]) in the CRM's order, without closed stages."""
    stages = (
        Stage.objects.filter(organisation=organisation, deleted=False, closed=False)
        .exclude(pipeline__deleted=True)
        .order_by("pipeline__position", "pipeline_id", "position", "pk")
        .values_list("pipeline__name", "pk", "name")
    )
    return [
        (pipeline or "", [(str(pk), name) for _pipeline, pk, name in members])
        for pipeline, members in groupby(stages, key=lambda row: row[0])
    ]


def _roles(organisation: Organisation) -> dict[str, tuple[str, bool]]:
    """{key: (label, stale)}; a role that one of several CRMs still has is not stale."""
    rows = Role.objects.filter(organisation=organisation).order_by("-stale").values_list("key", "label", "stale")
    return {key: (label, stale) for key, label, stale in rows}


def differences(old: Rules, new: Rules, names: Mapping[str, str]) -> list[str]:
    """What differs between two versions, one sentence each. `names` of stages (by id) and roles (by key)."""
    found = []
    for rule in RULES:
        before, after = old[rule.kind], new[rule.kind]
        if before["enabled"] != after["enabled"]:
            text = _("%(alert)s: switched on") if after["enabled"] else _("%(alert)s: switched off")
            found.append(text % {"alert": rule.title})
        for name, parameter in rule.parameters.items():
            if before[name] != after[name]:
                found.append(
                    _("%(alert)s, %(setting)s: %(old)s → %(new)s")
                    % {
                        "alert": rule.title,
                        "setting": parameter.label,
                        "old": _shown(parameter, before[name], names),
                        "new": _shown(parameter, after[name], names),
                    }
                )
    return found


def _shown(parameter: Parameter, value: Any, names: Mapping[str, str]) -> str:
    match parameter:
        case Flag():
            return _("yes") if value else _("no")
        case Choice():
            return str(dict(parameter.choices).get(value, value))
        case PerStage() | PerRole():
            return ", ".join(f"{names.get(key, key)} {limit}" for key, limit in value.items()) or _("none")
    return str(value)
