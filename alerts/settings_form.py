"""The form of Settings → Deals → Alerts: made from the rules' parameters, read from a POST, checked by their bounds.

An input is named "<kind>.<parameter>", for one stage or role "<kind>.<parameter>.<key>". One override at a time is
open: its inputs have the same names behind "o.", and are empty where it is as for everybody. The others travel as JSON
in "overrides", so that a page of twenty is as long as a page of one. What a POST leaves out is as in force.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils.functional import cached_property
from django.utils.translation import gettext as _

from accounts.models import Organisation
from alerts import settings as alert_settings
from alerts.formats import active_locale
from alerts.rules import RULES, Family, Rule
from alerts.rules.base import Choice, Flag, Number, Parameter, PerRole, PerStage
from alerts.settings import MOST_OVERRIDES, Draft, Rules
from alerts.versions import Vocabulary, said
from deals.models import Pipeline, Role, Stage, Team

OPEN = "o."  # before the names of the open override's inputs
ON_OFF = {True: "on", False: "off"}


@dataclass
class Field:
    """One input. `widget`: number, flag, choice, role or text; a role has a box (`chosen`) beside its number.

    `key`: the stage or role that it is for. `everybody`: in an override, what counts where it is left empty.
    """

    name: str
    widget: str
    label: str
    value: Any
    number: Number | None = None
    options: tuple[tuple[str, str, bool], ...] = ()
    key: str = ""
    everybody: str = ""
    chosen: bool = False
    stale: bool = False
    error: str = ""
    group: str = ""  # what stands above it: the rule, and the pipeline of a stage

    @property
    def id(self) -> str:
        return self.name.replace(".", "-").replace(" ", "-")

    @property
    def place(self) -> str:
        return f"{self.group}, {self.label}" if self.group else self.label

    @property
    def bounds(self) -> str:
        assert self.number
        return _("%(min)s to %(max)s") % {"min": self.number.min, "max": self.number.max}


@dataclass
class RuleForm:
    """A rule's switch and inputs: `fields` beside its name, `stages` (per pipeline) and `roles` below.

    `own`: in an override, whether it has limits for stages, or roles, of its own.
    """

    rule: Rule
    enabled: bool
    fields: list[Field] = field(default_factory=list)
    stages: list[tuple[str, list[Field]]] = field(default_factory=list)
    roles: list[Field] = field(default_factory=list)
    has_roles: bool = False
    own: Field | None = None

    def every(self) -> Iterator[Field]:
        yield from self.fields
        for _pipeline, fields in self.stages:
            yield from fields
        yield from self.roles

    @property
    def stages_differ(self) -> bool:
        return any(each.value or each.error for _pipeline, fields in self.stages for each in fields)


@dataclass(frozen=True)
class Option:
    """A pipeline or team to choose."""

    value: int
    label: str
    chosen: bool
    stale: bool


@dataclass
class Item:
    """An override in the list: `where` it counts and what it `says`, in words."""

    n: int
    name: str
    where: list[tuple[str, list[str]]]
    says: list[str]
    is_open: bool
    errors: list[str]

    # The ids of its buttons.
    up = property(lambda self: f"up-{self.n}")
    down = property(lambda self: f"down-{self.n}")
    edit = property(lambda self: f"edit-{self.n}")
    remove = property(lambda self: f"remove-{self.n}")


class Inputs:
    """Makes the inputs of rules: of everybody's, or with `everybody`'s as background of an override's.

    `data`, a POST, takes the place of what was `said`, as it was typed, right or wrong.
    """

    def __init__(
        self, known: "Known", said: Mapping[str, Any], data: QueryDict | None, everybody: Rules | None = None
    ) -> None:
        self.known, self.data, self.everybody = known, data, everybody
        self.prefix = "" if everybody is None else OPEN
        self.rules = [self._rule(rule, said.get(rule.kind, {})) for rule in RULES]

    def read(self) -> tuple[Rules, list[Field]]:
        """What was typed, for alerts.settings.clean, and the inputs that are wrong, each alone checked by its rules."""
        raw: Rules = {}
        for each in self.rules:
            typed: dict[str, Any] = {} if self.everybody else {"enabled": each.enabled}
            if each.own and each.own.value:
                typed["roles" if each.has_roles else "stages"] = {}
            for entry in each.every():
                self._read(typed, each, entry)
            if typed:
                raw[each.rule.kind] = typed
        return raw, [entry for each in self.rules for entry in each.every() if entry.error]

    def _read(self, typed: dict[str, Any], form: RuleForm, entry: Field) -> None:
        name = entry.name.removeprefix(f"{self.prefix}{form.rule.kind}.").partition(".")[0]
        value = entry.value
        if entry.key:
            if form.own and not form.own.value:
                return
            typed.setdefault(name, {})
            # A stage left empty has the rule's own limit; a role is watched when its box is ticked.
            if not (entry.chosen if entry.widget == "role" else value):
                return
        elif self.everybody and value == "":
            return
        if self.everybody and (name == "enabled" or isinstance(form.rule.parameters[name], Flag)):
            typed[name] = value == "on"
            return
        try:
            alert_settings.clean_value(form.rule.parameters[name], {entry.key: value} if entry.key else value)
        except ValidationError as error:
            entry.error = " ".join(error.messages)
            return
        if entry.key:
            typed[name][entry.key] = value
        else:
            typed[name] = value

    def _rule(self, rule: Rule, values: Mapping[str, Any]) -> RuleForm:
        name, everybody = f"{self.prefix}{rule.kind}", (self.everybody or {}).get(rule.kind)
        form = RuleForm(rule, bool(values.get("enabled")))
        if everybody:
            form.fields.append(
                self._on_off(f"{name}.enabled", _("Watched"), values.get("enabled"), everybody["enabled"])
            )
        elif self.data is not None:
            form.enabled = f"{name}.enabled" in self.data
        for parameter_name, parameter in rule.parameters.items():
            full, value = f"{name}.{parameter_name}", values.get(parameter_name)
            background = everybody[parameter_name] if everybody else None
            match parameter:
                case PerStage():
                    form.own = self._own(full, _("Limits of its own for the stages"), value)
                    form.stages = self._stages(full, parameter, (background if value is None else value) or {})
                case PerRole():
                    form.has_roles = True
                    form.own = self._own(full, _("Roles of its own"), value)
                    form.roles = list(self._roles(full, parameter, (background if value is None else value) or {}))
                case _:
                    form.fields.append(self._simple(full, parameter, value, background))
        for entry in form.every():
            entry.group = f"{rule.title}, {entry.group}" if entry.group else str(rule.title)
        return form

    def _typed(self, name: str, value: Any) -> Any:
        if self.data is not None:
            return self.data.get(name, "").strip()[:20]
        return "" if value is None else value

    def _number(self, name: str, label: str, number: Number, value: Any, **more: Any) -> Field:
        return Field(name, "number", label, self._typed(name, value), number, **more)

    def _own(self, name: str, label: str, value: Any) -> Field | None:
        if self.everybody is None:
            return None
        name = f"{name}.own"
        return Field(name, "flag", label, name in self.data if self.data is not None else value is not None)

    def _on_off(self, name: str, label: str, value: Any, everybody: bool) -> Field:
        labels = {"on": _("On"), "off": _("Off")}
        return self._choice(name, label, labels, self._typed(name, ON_OFF.get(value)), ON_OFF[everybody])

    def _choice(self, name: str, label: str, labels: Mapping[str, str], typed: str, everybody: str) -> Field:
        """`everybody`: the choice of the organisation, which an override may leave as it is."""
        if everybody:
            labels = {"": _("As for everybody: %(value)s") % {"value": labels[everybody]}, **labels}
        options = tuple((key, text, key == typed) for key, text in labels.items())
        return Field(name, "choice", label, typed, options=options)

    def _simple(self, name: str, parameter: Parameter, value: Any, everybody: Any) -> Field:
        label = str(parameter.label)
        match parameter:
            case Number():
                return self._number(
                    name, label, parameter, value, everybody="" if everybody is None else str(everybody)
                )
            case Flag() if self.everybody:
                return self._on_off(name, label, value, everybody)
            case Flag():
                return Field(name, "flag", label, name in self.data if self.data is not None else value)
            case Choice():
                labels = {str(key): str(text) for key, text in parameter.choices}
                return self._choice(
                    name, label, labels, str(self._typed(name, value)), "" if everybody is None else str(everybody)
                )
        raise TypeError(parameter)

    def _stages(self, name: str, parameter: PerStage, limits: Mapping[str, int]) -> list[tuple[str, list[Field]]]:
        """The stages of the CRM, and those that have a limit but are gone from it."""

        def inputs(pipeline: str, stages: list[tuple[str, str]], *, stale: bool = False) -> list[Field]:
            return [
                self._number(f"{name}.{pk}", stage, parameter.of, limits.get(pk), key=pk, group=pipeline, stale=stale)
                for pk, stage in stages
            ]

        found = [(pipeline, inputs(pipeline, stages)) for pipeline, stages in self.known.stages]
        typed = {each.removeprefix(f"{name}.") for each in self.data or ()}
        gone = [(pk, stage) for pk, stage in self.known.gone_stages.items() if pk in limits or pk in typed]
        if gone:
            found.append((_("No longer in the CRM"), inputs(_("No longer in the CRM"), gone, stale=True)))
        return found

    def _roles(self, name: str, parameter: PerRole, values: Mapping[str, int]) -> Iterator[Field]:
        """The CRM's roles, and those that are still chosen but gone from it, marked as stale."""
        chosen = set(self.data.getlist(name)) if self.data is not None else set(values)
        live = {key: label for key, (label, stale) in self.known.roles.items() if not stale}
        gone = {key: self.known.roles.get(key, (key, True))[0] for key in sorted({*values, *chosen} - live.keys())}
        for key, label in [*sorted(live.items(), key=lambda pair: pair[1].casefold()), *gone.items()]:
            number = self._number(
                f"{name}.{key}", label, parameter.of, values.get(key, parameter.of.default), key=key, stale=key in gone
            )
            if not number.value:
                number.value = parameter.of.default
            number.widget, number.chosen = "role", key in chosen
            yield number


class OverrideForm:
    """The inputs of the open override."""

    def __init__(self, known: "Known", said: Mapping[str, Any], data: QueryDict | None, everybody: Rules) -> None:
        self.inputs = Inputs(known, said.get("rules", {}), data, everybody)
        typed = said.get("name", "") if data is None else data.get(f"{OPEN}name", "")[:200]
        self.name = Field(f"{OPEN}name", "text", _("Name"), typed)
        self.pipelines = known.options("pipelines", said.get("pipelines", []), data, f"{OPEN}pipelines")
        self.teams = known.options("teams", said.get("teams", []), data, f"{OPEN}teams")
        self.errors: list[str] = []

    @property
    def rules(self) -> list[RuleForm]:
        return self.inputs.rules

    def read(self) -> tuple[dict[str, Any], list[Field]]:
        rules, wrong = self.inputs.read()
        override = {
            "name": self.name.value,
            "pipelines": [each.value for each in self.pipelines if each.chosen],
            "teams": [each.value for each in self.teams if each.chosen],
            "rules": rules,
        }
        return override, wrong

    def tell(self, path: str, sentences: list[str]) -> None:
        """An error of alerts.settings, whose `path` inside the override is given."""
        if path == "name":
            self.name.error = " ".join(sentences)
        else:
            self.errors += sentences


class SettingsForm:
    """`draft`: settings as stored; `data`: a POST, as it was typed. After `is_valid` the clean draft is in `draft`."""

    def __init__(self, organisation: Organisation, draft: Draft, data: QueryDict | None = None) -> None:
        self.organisation, self.data = organisation, data
        self.known = Known(organisation)
        self.inputs = Inputs(self.known, draft["rules"], data)
        chosen, self.business_days = draft["pipelines"], draft["business_days"]
        if data and "watched" in data:
            chosen = [] if data["watched"] == "chosen" else None
        if data and "days" in data:
            self.business_days = data["days"] == "business"
        self.all_pipelines = chosen is None
        self.pipelines = self.known.options("pipelines", chosen or [], data if data and "watched" in data else None)
        self.messages: list[str] = []  # what is wrong beside the inputs
        self.wrong: list[Field] = []
        self.override_errors: dict[int, list[str]] = {}
        self.overrides: list[dict[str, Any]] = draft["overrides"]
        self.open: int | None = None
        self.editor: OverrideForm | None = None
        self.focus = ""  # the id of what a button of the list leads to
        if data and "overrides" in data:
            self._read_overrides(data)
        self.draft = draft

    @property
    def rules(self) -> list[RuleForm]:
        return self.inputs.rules

    @property
    def families(self) -> list[tuple[str, list[RuleForm]]]:
        grouped = groupby(self.rules, key=lambda each: each.rule.family)
        return [(str(Family(family).label), list(rules)) for family, rules in grouped]

    @property
    def country(self) -> str:
        """The organisation's, in the reader's language."""
        code = self.organisation.country.upper()
        return str(active_locale().territories.get(code, code))

    # Overrides

    def _read_overrides(self, data: QueryDict) -> None:
        """Those that are closed were checked when they were: what is not valid now did not come from this form."""
        position = data.get("open", "")
        try:
            if not isinstance(overrides := json.loads(data.get("overrides", "")), list):
                raise TypeError
            json.dumps(overrides, ensure_ascii=False).encode()  # fails on half of a surrogate pair
            opened = int(position) if position else None
            if opened is not None:
                del overrides[opened]
            overrides = alert_settings.clean(self.organisation, {"overrides": overrides})["overrides"]
        except (ValueError, TypeError, KeyError, IndexError, RecursionError, ValidationError):
            self.messages.append(_("The overrides could not be read. Here are those in force."))
            return
        self.overrides = overrides
        if opened is not None:
            self.open = opened % (len(overrides) + 1)
            self.overrides = [*overrides[: self.open], {}, *overrides[self.open :]]
            self.editor = self._editor(data)

    def _editor(self, data: QueryDict | None) -> OverrideForm:
        assert self.open is not None
        everybody: Rules = {}
        for each in self.rules:
            everybody[each.rule.kind] = {**each.rule.default_settings(), "enabled": each.enabled}
        typed, _wrong = self.inputs.read()
        for kind, values in typed.items():
            everybody[kind] |= values
        return OverrideForm(self.known, self.overrides[self.open], data, everybody)

    @property
    def as_json(self) -> str:
        return json.dumps(self.overrides, ensure_ascii=False)

    @property
    def is_full(self) -> bool:
        return len(self.overrides) >= MOST_OVERRIDES

    @property
    def items(self) -> list[Item]:
        return [self._item(n, each) for n, each in enumerate(self.overrides)]

    def _item(self, n: int, override: Mapping[str, Any]) -> Item:
        errors = self.override_errors.get(n, [])
        if n == self.open:
            return Item(n, self.editor.name.value if self.editor else "", [], [], True, errors)
        where = [
            (label, [names.get(pk, str(pk)) for pk in override[which]])
            for which, label, names in (
                ("pipelines", _("Pipelines"), self.names.pipelines),
                ("teams", _("Teams"), self.names.teams),
            )
            if override[which]
        ]
        return Item(n, override["name"], where, said(override["rules"], self.names), False, errors)

    @cached_property
    def names(self) -> Vocabulary:
        return Vocabulary.of(self.organisation)

    def arrange(self, command: str) -> str:
        """What a button of the list says: "add", "close", "edit.<n>", "up.<n>", "down.<n>" or "remove.<n>".

        Returns what happened in a sentence. The open override is closed first, unless it is not valid.
        """
        verb, _dot, number = command.partition(".")
        n = int(number) if number.isascii() and number.isdecimal() and len(number) < 5 else len(self.overrides)
        if verb in ("add", "edit", "close"):
            if not self._close():
                return _("The open override has to be mended first.")
            if verb == "add" and not self.is_full:
                n = len(self.overrides)
                self.overrides = [*self.overrides, {"name": "", "pipelines": [], "teams": [], "rules": {}}]
            if verb != "close" and n < len(self.overrides):
                self.open, self.focus = n, "o-name"
                self.editor = self._editor(None)
            return ""
        if n >= len(self.overrides):
            return ""
        name = self._item(n, self.overrides[n]).name
        if verb == "remove":
            self._order([k for k in range(len(self.overrides)) if k != n])
            self.focus = f"remove-{min(n, len(self.overrides) - 1)}" if self.overrides else "add"
            return _("The override “%(override)s” is removed from the draft.") % {"override": name}
        to = n + {"up": -1, "down": 1}.get(verb, 0)
        if not 0 <= to < len(self.overrides) or to == n:
            return ""
        order = list(range(len(self.overrides)))
        order[n], order[to] = to, n
        self._order(order)
        at_end = to == (0 if verb == "up" else len(order) - 1)
        self.focus = f"{'down' if (verb == 'up') == at_end else 'up'}-{to}"
        said = {"override": name, "place": to + 1, "count": len(order)}
        return _("“%(override)s” is now number %(place)s of %(count)s.") % said

    def _order(self, order: list[int]) -> None:
        self.overrides = [self.overrides[k] for k in order]
        self.open = order.index(self.open) if self.open in order else None

    def _close(self) -> bool:
        """Put the open override among the others; False when it is not valid."""
        if self.open is None or self.editor is None:
            return True
        override, wrong = self.editor.read()
        try:
            draft = alert_settings.clean(self.organisation, {"overrides": [override]})
        except ValidationError as error:
            for path, sentences in error.message_dict.items():
                self.editor.tell(path.removeprefix("overrides.0").removeprefix("."), sentences)
            wrong = [*wrong, self.editor.name]
        if wrong:
            self.wrong, self.focus = self._errors(), next((e.id for e in self._errors()), "")
            return False
        self.overrides = [draft["overrides"][0] if k == self.open else each for k, each in enumerate(self.overrides)]
        self.focus, self.open, self.editor = f"edit-{self.open}", None, None
        return True

    # The whole draft

    def is_valid(self) -> bool:
        """Fill `draft`, or the error beside each input that is wrong."""
        rules, wrong = self.inputs.read()
        overrides = list(self.overrides)
        if self.open is not None and self.editor is not None:
            overrides[self.open], wrong_in_override = self.editor.read()
            wrong = [*wrong, *wrong_in_override]
        pipelines = None if self.all_pipelines else [each.value for each in self.pipelines if each.chosen]
        raw = {"rules": rules, "overrides": overrides, "pipelines": pipelines, "business_days": self.business_days}
        try:
            draft = alert_settings.clean(self.organisation, raw)
        except ValidationError as error:
            for path, sentences in error.message_dict.items():
                self._tell(path, sentences)
        self.wrong = self._errors()
        if self.errors:
            return False
        self.draft = draft
        return True

    def _tell(self, path: str, sentences: list[str]) -> None:
        head, _dot, rest = path.partition(".")
        number, _dot, inside = rest.partition(".")
        if head == "overrides" and number and self.editor and int(number) == self.open:
            self.editor.tell(inside, sentences)
        elif head == "overrides" and number:
            self.override_errors.setdefault(int(number), []).extend(sentences)
        else:
            self.messages += sentences

    def _errors(self) -> list[Field]:
        entries = [*self.inputs.rules, *(self.editor.rules if self.editor else ())]
        found = [entry for each in entries for entry in each.every() if entry.error]
        return [*found, self.editor.name] if self.editor and self.editor.name.error else found

    @property
    def errors(self) -> list[Any]:
        """The inputs that are wrong, and what is wrong beside them in sentences."""
        others = [sentence for sentences in self.override_errors.values() for sentence in sentences]
        return [*self.wrong, *self.messages, *others, *(self.editor.errors if self.editor else ())]

    @property
    def told(self) -> list[str]:
        """What is wrong, one sentence each, with the name of its input."""
        placed = _("%(setting)s: %(sentence)s")
        return [
            placed % {"setting": each.place, "sentence": each.error} if isinstance(each, Field) else each
            for each in self.errors
        ]


class Known:
    """What there is to choose from in the CRM, or was: four statements."""

    def __init__(self, organisation: Organisation) -> None:
        mine = {"organisation": organisation}
        stages = (
            Stage.objects.filter(**mine, closed=False)
            .order_by("pipeline__position", "pipeline_id", "position", "pk")
            .values_list("pipeline__name", "pk", "name", "deleted", "pipeline__deleted")
        )
        live = [(pipeline, str(pk), name) for pipeline, pk, name, gone, gone_too in stages if not (gone or gone_too)]
        # Pipelines in the CRM's order, each with its stages as (id as text, name); closed stages have no limit.
        self.stages = [
            (pipeline or "", [(pk, name) for _pipeline, pk, name in members])
            for pipeline, members in groupby(live, key=lambda row: row[0])
        ]
        self.gone_stages = {str(pk): name for _pipeline, pk, name, gone, gone_too in stages if gone or gone_too}
        pipelines = Pipeline.objects.filter(**mine).order_by("position", "pk").values_list("pk", "name", "deleted")
        teams = Team.objects.filter(**mine).order_by("name", "pk").values_list("pk", "name", "stale")
        self.found = {"pipelines": list(pipelines), "teams": list(teams)}
        roles = Role.objects.filter(**mine).order_by("-stale").values_list("key", "label", "stale")
        # {key: (label, stale)}; a role that one of several CRMs still has is not stale.
        self.roles = {key: (label, stale) for key, label, stale in roles}

    def options(self, which: str, chosen: list[int], data: QueryDict | None, name: str = "") -> list[Option]:
        """Those that exist, and those that are gone but still chosen."""
        ticked = {str(pk) for pk in chosen} if data is None else set(data.getlist(name or which))
        return [
            Option(pk, label, str(pk) in ticked, gone)
            for pk, label, gone in self.found[which]
            if not gone or str(pk) in ticked
        ]
