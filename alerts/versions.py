"""Versions of the alert settings: what each changed, in words."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db.models import Case, F, TextField, Value, When
from django.db.models.functions import Cast, Concat
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from accounts.models import Organisation
from alerts import settings as alert_settings
from alerts.models import Configuration
from alerts.rules import BY_KIND, RULES
from alerts.rules.base import Choice, Flag, Parameter, PerRole, PerStage
from alerts.settings import Draft
from deals.models import Pipeline, Role, Stage, Team

Key = TypeVar("Key", int, str)


@dataclass(frozen=True)
class Vocabulary:
    """How settings name what the CRM has, or once had. No two things of a kind have one name.

    `stages` are named "Pipeline / Stage". A name that several bear, or that looks like such, ends in " (#id)"; only
    the one that is still there keeps it plain when the others have gone.
    """

    pipelines: Mapping[int, str]
    stages: Mapping[int, str]
    teams: Mapping[int, str]
    roles: Mapping[str, str]

    @classmethod
    def of(cls, organisation: Organisation) -> "Vocabulary":
        """One statement."""

        def rows(table: str, model: Any, name: Any, gone: str, key: str = "pk") -> Any:
            mine = model.objects.filter(organisation=organisation).order_by()
            return mine.values_list(Value(table), Cast(key, TextField()), name, gone)

        named = Concat("pipeline__name", Value(" / "), "name", output_field=TextField())
        in_pipeline = Case(When(pipeline__isnull=False, then=named), default=F("name"))
        every = rows("pipelines", Pipeline, F("name"), "deleted").union(
            rows("stages", Stage, in_pipeline, "deleted"),
            rows("teams", Team, F("name"), "stale"),
            rows("roles", Role, F("label"), "stale", "key"),
            all=True,
        )
        found: dict[str, dict[Any, str]] = {"pipelines": {}, "stages": {}, "teams": {}, "roles": {}}
        live: dict[str, set[Any]] = {table: set() for table in found}
        for table, text, name, gone in sorted(every):
            key = text if table == "roles" else int(text)
            found[table].setdefault(key, name)
            if not gone:
                live[table].add(key)
        return cls(**{table: distinct(names, live[table]) for table, names in found.items()})


LIKE_NUMBERED = re.compile(r" \(#.*\)$", re.DOTALL)


def distinct(names: Mapping[Key, str], live: Collection[Key]) -> dict[Key, str]:
    """Names that tell things apart, see Vocabulary."""
    bearers = Counter(names.values())
    living = Counter(names[key] for key in live)

    def is_plain(key: Key, name: str) -> bool:
        alone = bearers[name] == 1 or (living[name] == 1 and key in live)
        return alone and not LIKE_NUMBERED.search(name)

    return {key: name if is_plain(key, name) else f"{name} (#{key})" for key, name in names.items()}


def draft_at(organisation: Organisation, version: int) -> Draft | None:
    """The draft of a version, of version 0 the defaults; None when there is no such version."""
    if version == 0:
        return alert_settings.draft_of(Configuration(organisation=organisation, version=0, rules={}))
    stored = organisation.configurations.filter(version=version).first()
    return alert_settings.draft_of(stored) if stored else None


def history(organisation: Organisation, rows: slice) -> list[tuple[Configuration, Draft, list[str]]]:
    """Stored versions, newest first, each with its draft and what it changed in the one before. Two statements."""
    stored = organisation.configurations.select_related("saved_by").order_by("-version")
    found = list(stored[rows.start : rows.stop + 1])  # one more: what the oldest of them changed
    drafts = [alert_settings.draft_of(each) for each in found]
    if len(found) <= rows.stop - rows.start and (defaults := draft_at(organisation, 0)):
        drafts.append(defaults)
    names = Vocabulary.of(organisation)
    return [
        (each, draft, differences(before, draft, names))
        for each, draft, before in zip(found[: rows.stop - rows.start], drafts, drafts[1:], strict=False)
    ]


def changes_since(organisation: Organisation, version: int, current: Configuration) -> list[str]:
    """What others have changed since `version`; empty when there is no such version."""
    old = draft_at(organisation, version)
    new = alert_settings.draft_of(current)
    return [] if old is None else differences(old, new, Vocabulary.of(organisation))


def differences(old: Draft, new: Draft, names: Vocabulary) -> list[str]:
    """What differs between two drafts, one sentence each."""
    found = list(_rules(old["rules"], new["rules"], names))
    found += _overrides(old["overrides"], new["overrides"], names)
    if old["pipelines"] != new["pipelines"]:
        values = [
            pgettext("pipelines", "all") if draft["pipelines"] is None else _list(draft["pipelines"], names.pipelines)
            for draft in (old, new)
        ]
        found.append(_change(_("Watched pipelines"), *values))
    if old["business_days"] != new["business_days"]:
        kinds = {True: _("business days"), False: _("calendar days")}
        found.append(_change(_("Days are counted as"), kinds[old["business_days"]], kinds[new["business_days"]]))
    return found


def _change(setting: str, old: str, new: str) -> str:
    return _("%(setting)s: %(old)s → %(new)s") % {"setting": setting, "old": old, "new": new}


def _rules(old: Mapping[str, Any], new: Mapping[str, Any], names: Vocabulary) -> Iterator[str]:
    """Of complete rules, or of what an override says of them."""
    for rule in RULES:
        before, after = old.get(rule.kind, {}), new.get(rule.kind, {})
        if before.get("enabled") != after.get("enabled"):
            texts = {
                True: _("%(alert)s: switched on"),
                False: _("%(alert)s: switched off"),
                None: _("%(alert)s: on or off as everywhere"),
            }
            yield texts[after.get("enabled")] % {"alert": rule.title}
        for name, parameter in rule.parameters.items():
            if before.get(name) != after.get(name):
                setting = _("%(alert)s, %(setting)s") % {"alert": rule.title, "setting": parameter.label}
                yield _change(
                    setting, _shown(parameter, before.get(name), names), _shown(parameter, after.get(name), names)
                )


def said(rules: Mapping[str, Any], names: Vocabulary) -> list[str]:
    """What an override says of rules, one phrase each: "No activity, Days: 20"."""
    found = []
    for rule in RULES:
        values = rules.get(rule.kind, {})
        if (enabled := values.get("enabled")) is not None:
            found.append((_("%(alert)s: on") if enabled else _("%(alert)s: off")) % {"alert": rule.title})
        for name, parameter in rule.parameters.items():
            if name in values:
                told = {
                    "alert": rule.title,
                    "setting": parameter.label,
                    "value": _shown(parameter, values[name], names),
                }
                found.append(_("%(alert)s, %(setting)s: %(value)s") % told)
    return found


def vanished(organisation: Organisation, draft: Draft) -> list[str]:
    """What the draft names in vain, and where, one phrase each: "Team “North”, in the override “Enterprise”"."""
    kinds = {
        "pipeline": _("Pipeline “%(name)s”, in %(place)s"),
        "stage": _("Stage “%(name)s”, in %(place)s"),
        "team": _("Team “%(name)s”, in %(place)s"),
        "role": _("Role “%(name)s”, in %(place)s"),
    }
    found = []
    for each in alert_settings.vanished(organisation, draft):
        parts = each.where.split(".")
        places = [_("the watched pipelines")] if parts == ["pipelines"] else []
        if "rules" in parts:
            places.append(str(BY_KIND[parts[-1]].title))
        if parts[0] == "overrides":
            places.append(_("the override “%(override)s”") % {"override": draft["overrides"][int(parts[1])]["name"]})
        found.append(kinds[each.what] % {"name": each.name, "place": ", ".join(places)})
    return found


NOWHERE: dict[str, Any] = {"pipelines": [], "teams": [], "rules": {}}


def _overrides(old: list[dict[str, Any]], new: list[dict[str, Any]], names: Vocabulary) -> Iterator[str]:
    """Overrides are the same when their names are; of several with one name, the first ones, the second ones …"""
    before, after = _by_name(old), _by_name(new)
    for key in before:
        if key not in after:
            yield _("The override “%(override)s” was removed") % {"override": key[0]}
    for key, override in after.items():
        was = before.get(key)
        if was is None:
            yield _("The override “%(override)s” was added") % {"override": key[0]}
            was = NOWHERE
        changes = [
            _change(label, _list(was[field], known), _list(override[field], known))
            for field, label, known in (
                ("pipelines", _("Pipelines"), names.pipelines),
                ("teams", _("Teams"), names.teams),
            )
            if was[field] != override[field]
        ]
        for change in (*changes, *_rules(was["rules"], override["rules"], names)):
            yield _("Override “%(override)s”: %(change)s") % {"override": key[0], "change": change}
    if [key for key in before if key in after] != [key for key in after if key in before]:
        yield _("The overrides are in another order: %(names)s") % {"names": ", ".join(name for name, _n in after)}


def _by_name(overrides: list[dict[str, Any]]) -> dict[tuple[str, int], dict[str, Any]]:
    seen: Counter[str] = Counter()
    found = {}
    for override in overrides:
        found[override["name"], seen[override["name"]]] = override
        seen[override["name"]] += 1
    return found


def _list(ids: list[int], names: Mapping[int, str]) -> str:
    return ", ".join(names.get(pk, str(pk)) for pk in ids) or _("none")


def _shown(parameter: Parameter, value: Any, names: Vocabulary) -> str:
    if value is None:
        return _("as everywhere")
    match parameter:
        case Flag():
            return _("yes") if value else _("no")
        case Choice():
            return str(dict(parameter.choices).get(value, value))
        case PerStage():
            return ", ".join(f"{names.stages.get(int(k), k)} {limit}" for k, limit in value.items()) or _("none")
        case PerRole():
            return ", ".join(f"{names.roles.get(key, key)} {limit}" for key, limit in value.items()) or _("none")
    return str(value)
