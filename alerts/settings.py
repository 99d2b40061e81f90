"""An organisation's alert settings: the version in force, validation, saving a new version.

A `Draft` is what people edit, save, export and import:
{"rules": {kind: {"enabled": bool, parameter: value}}, "overrides": [{"name": text, "pipelines": [id], "teams": [id],
"rules": {kind: {parameter: value}}}], "pipelines": [id] or None for all, "business_days": bool}.
For a deal the first override counts that names its pipeline (or none) and a team of its owner (or none); what that
override does not say is as in `rules`.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Max, Q
from django.utils.translation import gettext as _

from accounts.models import Organisation, User
from alerts.models import Configuration
from alerts.rules import BY_KIND, RULES, Rule
from alerts.rules.base import Choice, Flag, Number, Parameter, PerRole, PerStage
from deals.clock import Clock
from deals.models import Pipeline, Role, Stage, Team
from deals.querysets import DealQuerySet

Rules = dict[str, dict[str, Any]]
Draft = dict[str, Any]
MOST_OVERRIDES = 20


class Conflict(Exception):
    """Somebody saved a version after the one that the draft was made from."""

    def __init__(self, current: Configuration) -> None:
        self.current = current
        super().__init__(f"version {current.version} was saved meanwhile")


@dataclass(frozen=True)
class Profile:
    """The settings of the deals for which one override counts, or none (the last profile: `condition` is empty)."""

    rules: Rules
    condition: Q


def defaults() -> Rules:
    return {rule.kind: rule.default_settings() for rule in RULES}


def current(organisation: Organisation) -> Configuration:
    """The version in force; version 0, not stored, is the defaults."""
    newest = organisation.configurations.order_by("-version").first()
    if newest is None:
        return Configuration(organisation=organisation, version=0, rules=defaults(), overrides=[])
    newest.rules = completed(newest.rules)
    return newest


def completed(rules: Rules) -> Rules:
    """A rule or parameter that is newer than the version has its defaults."""
    return {kind: {**values, **rules.get(kind, {})} for kind, values in defaults().items()}


def draft_of(configuration: Configuration) -> Draft:
    return {
        "rules": completed(configuration.rules),
        "overrides": configuration.overrides,
        "pipelines": configuration.pipelines,
        "business_days": configuration.business_days,
    }


def basis(settings: Mapping[str, Any], business_days: bool = False) -> str:
    """A short name for the settings of one rule: alerts judged by the same settings have the same."""
    said = json.dumps([settings, business_days] if business_days else settings, sort_keys=True)
    return hashlib.md5(said.encode(), usedforsecurity=False).hexdigest()[:12]


def profiles(draft: Draft, sellers: Mapping[int, Sequence[int]]) -> list[Profile]:
    """One for each override, in their order, and the organisation's own last. `sellers`: colleagues of each team."""
    found = []
    for override in draft["overrides"]:
        condition = Q()
        if override["pipelines"]:
            condition &= Q(pipeline__in=override["pipelines"])
        if override["teams"]:
            condition &= Q(owner__in=sorted({who for pk in override["teams"] for who in sellers.get(pk, ())}))
        said = override["rules"]
        found.append(Profile({k: {**v, **said.get(k, {})} for k, v in draft["rules"].items()}, condition))
    return [*found, Profile(draft["rules"], Q())]


def watched(draft: Draft) -> Q:
    """The deals of the pipelines that alerts watch."""
    return Q() if draft["pipelines"] is None else Q(pipeline__in=draft["pipelines"])


def open_deals(organisation: Organisation) -> DealQuerySet:
    """The deals that can have alerts: open, and in a watched pipeline."""
    return organisation.deals.open().filter(watched(draft_of(current(organisation))))


def clean(organisation: Organisation, raw: Mapping[str, Any]) -> Draft:
    """A valid draft from an untrusted one, or ValidationError with {"rules.kind.parameter": [sentence]}.

    Paths of errors: "rules.<kind>.<parameter>", "overrides.<n>.name", "overrides.<n>.rules.<kind>.<parameter>",
    "pipelines", "business_days". What is missing has its default; what is unknown is an error. A pipeline, stage or
    team that has gone from the CRM since may stay: it matches nothing (`vanished`); one that never was is an error. Any
    role may be chosen: one that the CRM does not have, or not yet, is silent.
    """
    errors: dict[str, list[str]] = {}
    for name in raw.keys() - {"rules", "overrides", "pipelines", "business_days"}:
        errors[str(name)] = [_("There is no setting of this name.")]
    known = _Known(organisation)
    draft: Draft = {
        "rules": _clean_rules(raw.get("rules", {}), "rules", known, errors, complete=True),
        "overrides": [],
        "pipelines": None,
        "business_days": False,
    }
    overrides = raw.get("overrides") or []
    if not isinstance(overrides, list) or len(overrides) > MOST_OVERRIDES:
        errors["overrides"] = [_("Give a list of at most %(most)s overrides.") % {"most": MOST_OVERRIDES}]
        overrides = []
    for n, override in enumerate(overrides):
        draft["overrides"].append(_clean_override(override, f"overrides.{n}", known, errors))
    if (pipelines := raw.get("pipelines")) is not None:
        draft["pipelines"] = _ids(pipelines, known.pipelines, "pipelines", errors)
        if not draft["pipelines"] and "pipelines" not in errors:
            errors["pipelines"] = [_("Choose at least one pipeline, or all of them.")]
    try:
        draft["business_days"] = _flag(raw.get("business_days", False))
    except ValidationError as error:
        errors["business_days"] = list(error.messages)
    if errors:
        raise ValidationError(errors)
    return draft


class _Known:
    """What settings may speak of: everything that the CRM has, or once had."""

    def __init__(self, organisation: Organisation) -> None:
        def ids(model: Any) -> frozenset[int]:
            return frozenset(model.objects.filter(organisation=organisation).values_list("pk", flat=True))

        self.pipelines, self.stages, self.teams = ids(Pipeline), ids(Stage), ids(Team)


def _clean_override(raw: Any, path: str, known: _Known, errors: dict[str, list[str]]) -> dict[str, Any]:
    if not isinstance(raw, Mapping):
        errors[path] = [_("These settings are not in the expected form.")]
        return {}
    for name in raw.keys() - {"name", "pipelines", "teams", "rules"}:
        errors[f"{path}.{name}"] = [_("There is no setting of this name.")]
    name = " ".join(str(raw.get("name", "")).replace("\x00", "").split())
    if not name or len(name) > 100:
        errors[f"{path}.name"] = [_("Give it a name of at most 100 characters.")]
    pipelines = _ids(raw.get("pipelines", []), known.pipelines, f"{path}.pipelines", errors)
    teams = _ids(raw.get("teams", []), known.teams, f"{path}.teams", errors)
    if not (pipelines or teams) and not errors.keys() & {f"{path}.pipelines", f"{path}.teams"}:
        errors[path] = [_("Choose the pipelines or the teams for which it counts.")]
    rules = _clean_rules(raw.get("rules", {}), f"{path}.rules", known, errors, complete=False)
    return {"name": name, "pipelines": pipelines, "teams": teams, "rules": rules}


def _ids(raw: Any, known: frozenset[int], path: str, errors: dict[str, list[str]]) -> list[int]:
    if not isinstance(raw, list) or not all(isinstance(pk, int) and not isinstance(pk, bool) for pk in raw):
        errors[path] = [_("These settings are not in the expected form.")]
        return []
    if strangers := [pk for pk in raw if pk not in known]:
        errors[path] = [_("There is none with the number %(number)s.") % {"number": strangers[0]}]
    return list(dict.fromkeys(raw))


def _clean_rules(raw: Any, path: str, known: _Known, errors: dict[str, list[str]], *, complete: bool) -> Rules:
    if not isinstance(raw, Mapping):
        errors[path] = [_("These settings are not in the expected form.")]
        return {}
    for kind in raw.keys() - BY_KIND.keys():
        errors[f"{path}.{kind}"] = [_("There is no alert of this name.")]
    kinds: Iterable[str] = BY_KIND if complete else [kind for kind in BY_KIND if kind in raw]
    cleaned = {}
    for kind in kinds:
        said = _clean_rule(BY_KIND[kind], raw.get(kind, {}), f"{path}.{kind}", known, errors)
        if said or complete:
            cleaned[kind] = {**BY_KIND[kind].default_settings(), **said} if complete else said
    return cleaned


def _clean_rule(rule: Rule, raw: Any, path: str, known: _Known, errors: dict[str, list[str]]) -> dict[str, Any]:
    """What `raw` says of the rule, and no more."""
    if not isinstance(raw, Mapping):
        errors[path] = [_("These settings are not in the expected form.")]
        return {}
    values = {}
    for name, value in raw.items():
        try:
            if name == "enabled":
                values[name] = _flag(value)
            elif name in rule.parameters:
                values[name] = clean_value(rule.parameters[name], value, known.stages)
            else:
                raise ValidationError(_("There is no setting of this name."))
        except ValidationError as error:
            errors[f"{path}.{name}"] = list(error.messages)
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


def clean_value(parameter: Parameter, value: Any, stages: frozenset[int] | None = None) -> Any:
    """`value` of a parameter as it is stored, or ValidationError. `stages`: ids of those that exist, if it matters."""
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
            if isinstance(parameter, PerStage):
                for stage in value:
                    if not str(stage).isdecimal() or (stages is not None and int(stage) not in stages):
                        raise ValidationError(_("There is no stage “%(stage)s”.") % {"stage": stage})
            return {str(key): _number(parameter.of, limit) for key, limit in value.items()}
    raise TypeError(parameter)


def save(
    organisation: Organisation, raw: Mapping[str, Any], user: User | None, clock: Clock, based_on: int
) -> Configuration:
    """Store a new version in force. Raises ValidationError, or Conflict when version `based_on` is not the newest.

    Runs in the caller's transaction; two admins at once meet at the organisation's row.
    """
    Organisation.objects.select_for_update().get(pk=organisation.pk)
    newest = organisation.configurations.aggregate(newest=Max("version"))["newest"] or 0
    if newest != based_on:
        raise Conflict(current(organisation))
    draft = clean(organisation, raw)
    return Configuration.objects.create(
        organisation=organisation, version=newest + 1, saved_by=user, saved_at=clock.now, **draft
    )


@dataclass(frozen=True)
class Vanished:
    """What settings name that is no longer in the CRM. `where`: "pipelines", "overrides.<n>", or with ".rules.<kind>";
    `what`: "pipeline", "stage", "team" or "role"."""

    where: str
    what: str
    name: str


def vanished(organisation: Organisation, draft: Draft) -> list[Vanished]:
    """What the settings name in vain: told to the admin, and silent otherwise. Four statements."""
    gone: dict[str, dict[Any, str]] = {
        "pipeline": dict(_named(Pipeline, organisation, deleted=True)),
        "stage": {str(pk): name for pk, name in _named(Stage, organisation, deleted=True)},
        "team": dict(_named(Team, organisation, stale=True)),
    }
    labels = Role.objects.filter(organisation=organisation).order_by("-stale").values_list("key", "label", "stale")
    roles = {key: (label, stale) for key, label, stale in labels}
    found = [
        Vanished("pipelines", "pipeline", gone["pipeline"][pk])
        for pk in draft["pipelines"] or ()
        if pk in gone["pipeline"]
    ]
    said = [("rules", draft["rules"])]
    for n, override in enumerate(draft["overrides"]):
        for what in ("pipeline", "team"):
            found += [
                Vanished(f"overrides.{n}", what, gone[what][pk]) for pk in override[f"{what}s"] if pk in gone[what]
            ]
        said.append((f"overrides.{n}.rules", override["rules"]))
    for path, rules in said:
        for kind, values in rules.items():
            for name, parameter in BY_KIND[kind].parameters.items():
                for key in values.get(name, ()) if isinstance(parameter, PerStage | PerRole) else ():
                    if isinstance(parameter, PerStage) and key in gone["stage"]:
                        found.append(Vanished(f"{path}.{kind}", "stage", gone["stage"][key]))
                    elif isinstance(parameter, PerRole) and roles.get(key, (key, True))[1]:
                        found.append(Vanished(f"{path}.{kind}", "role", roles.get(key, (key, True))[0]))
    return found


def _named(model: Any, organisation: Organisation, **gone: bool) -> Any:
    return model.objects.filter(organisation=organisation, **gone).values_list("pk", "name")
