"""Alert settings as YAML: with names instead of ids, for people to read, compare and carry elsewhere.

`write` and `read` are exact inverses for a draft of `alerts.settings` and the same `Vocabulary`.
"""

from collections.abc import Callable, Mapping
from typing import Any

import yaml
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import override as language

from accounts.models import Organisation
from alerts import settings as alert_settings
from alerts.formats import join
from alerts.rules import BY_KIND, RULES
from alerts.rules.base import Choice, Flag, Number, Parameter, PerRole, PerStage
from alerts.settings import Draft
from alerts.versions import LIKE_NUMBERED, Key, Vocabulary
from deals.upsert import role_key

MOST_BYTES = 256 * 1024
DEEPEST = 12
ALL = "all"
Errors = dict[str, list[str]]


def write(draft: Draft, names: Vocabulary) -> str:
    """The same draft is always the same text, whatever the reader's language."""
    document = {
        "rules": _written_rules(draft["rules"], names),
        "overrides": [
            {
                "name": override["name"],
                "pipelines": _named(override["pipelines"], names.pipelines),
                "teams": _named(override["teams"], names.teams),
                "rules": _written_rules(override["rules"], names),
            }
            for override in draft["overrides"]
        ],
        "pipelines": ALL if draft["pipelines"] is None else _named(draft["pipelines"], names.pipelines),
        "business_days": draft["business_days"],
    }
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_text(self, text: str) -> yaml.ScalarNode:
        """Plain where it can be. Line breaks of any kind are escaped, or they would all be read as one kind."""
        style = None if text.isprintable() else '"'
        return self.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _Dumper.represent_text)


def _written_rules(rules: Mapping[str, Any], names: Vocabulary) -> dict[str, Any]:
    written = {}
    for rule in RULES:
        if (said := rules.get(rule.kind)) is not None:
            written[rule.kind] = {"enabled": said["enabled"]} if "enabled" in said else {}
            for name, parameter in rule.parameters.items():
                if name in said:
                    written[rule.kind][name] = _written(parameter, said[name], names)
    return written


def _written(parameter: Parameter, value: Any, names: Vocabulary) -> Any:
    match parameter:
        case Choice():
            return _labels(parameter)[value]
        case PerStage():
            return dict(sorted((_name(int(stage), names.stages), limit) for stage, limit in value.items()))
        case PerRole():
            return dict(sorted((_name(role, names.roles), limit) for role, limit in value.items()))
    return value


def _named(ids: list[int], names: Mapping[int, str]) -> list[str]:
    return [_name(pk, names) for pk in ids]


def _name(key: Key, names: Mapping[Key, str]) -> str:
    """What is not even remembered is written all the same; an import will say that it is unknown."""
    return names.get(key, f"#{key}")


def _labels(parameter: Choice) -> dict[Any, str]:
    with language("en"):
        return {value: str(label) for value, label in parameter.choices}


def load(organisation: Organisation, text: bytes) -> Draft:
    """A valid draft from a file, or ValidationError: {path: [sentence with line]}, as in `alerts.settings.clean`."""
    reader = _Reader(Vocabulary.of(organisation))
    raw = reader.read(text)
    try:
        draft = alert_settings.clean(organisation, raw)
    except ValidationError as error:
        for path, sentences in error.message_dict.items():
            # What was left out because its name is unknown shall not be missed as well.
            if not any(f"{known}.".startswith(f"{path}.") for known in reader.errors):
                reader.errors[path] = [reader.placed(path, sentence) for sentence in sentences]
    if reader.errors:
        raise ValidationError(reader.errors)
    return draft


def read(text: bytes, names: Vocabulary) -> dict[str, Any]:
    """The draft that a file holds, not yet checked against bounds, or ValidationError as in `load`."""
    reader = _Reader(names)
    raw = reader.read(text)
    if reader.errors:
        raise ValidationError(reader.errors)
    return raw


class _Reader:
    """Turns a document's names into ids, and remembers the line of every path.

    What has another shape than expected is handed on as it is, for `alerts.settings.clean` to refuse.
    """

    def __init__(self, names: Vocabulary) -> None:
        self.names = names
        self.errors: Errors = {}
        self.lines: dict[str, int] = {}
        self.pipelines = _inverse(names.pipelines)
        self.stages = _inverse(names.stages)
        self.teams = _inverse(names.teams)
        self.roles = _inverse(names.roles)

    def read(self, text: bytes) -> dict[str, Any]:
        """Raises ValidationError when the document as a whole cannot be read."""
        document = self._data(_parse(text), "")
        if not isinstance(document, dict) or not document:
            raise ValidationError(self.errors or {"": [_("This file holds no alert settings.")]})
        if "rules" in document:
            document["rules"] = self._rules(document["rules"], "rules")
        if isinstance(overrides := document.get("overrides"), list):
            document["overrides"] = [self._override(each, f"overrides.{n}") for n, each in enumerate(overrides)]
        if "pipelines" in document:
            watched = document["pipelines"]
            document["pipelines"] = None if watched == ALL else self._ids(watched, self.pipelines, "pipelines")
        if "business_days" in document:
            document["business_days"] = _flag(document["business_days"])
        return document

    def placed(self, path: str, sentence: str) -> str:
        """`sentence` with the line of `path`, or of what is around it."""
        while path not in self.lines and "." in path:
            path = path.rpartition(".")[0]
        return _("Line %(line)s: %(sentence)s") % {"line": self.lines.get(path, 1), "sentence": sentence}

    def _refuse(self, path: str, sentence: str) -> None:
        self.errors.setdefault(path, []).append(self.placed(path, sentence))

    def _data(self, node: yaml.Node | None, path: str) -> Any:
        """Lists, mappings, texts and None. What else a text may mean is known only where it stands."""
        if node is None:
            return None
        self.lines.setdefault(path, node.start_mark.line + 1)
        match node:
            case yaml.ScalarNode():
                return None if node.tag == "tag:yaml.org,2002:null" else node.value
            case yaml.SequenceNode(tag="tag:yaml.org,2002:seq"):
                return [self._data(child, f"{path}.{n}") for n, child in enumerate(node.value)]
            case yaml.MappingNode(tag="tag:yaml.org,2002:map"):
                return self._mapping(node, path)
        self._refuse(path, _("Values of this kind are not allowed."))
        return None

    def _mapping(self, node: yaml.MappingNode, path: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.value:
            inner = f"{path}.{key.value}" if path else str(key.value)
            if not isinstance(key, yaml.ScalarNode):
                self._refuse(path, _("Values of this kind are not allowed."))
            elif key.value in found:
                self.lines[inner] = key.start_mark.line + 1
                self._refuse(inner, _("“%(name)s” is given twice.") % {"name": key.value})
            else:
                self.lines[inner] = key.start_mark.line + 1
                found[key.value] = self._data(value, inner)
        return found

    def _override(self, said: Any, path: str) -> Any:
        if not isinstance(said, dict):
            return said
        for name, known in (("pipelines", self.pipelines), ("teams", self.teams)):
            if name in said:
                said[name] = self._ids(said[name], known, f"{path}.{name}")
        if "rules" in said:
            said["rules"] = self._rules(said["rules"], f"{path}.rules")
        return said

    def _rules(self, said: Any, path: str) -> Any:
        if not isinstance(said, dict):
            return said
        return {kind: self._rule(kind, values, f"{path}.{kind}") for kind, values in said.items()}

    def _rule(self, kind: str, said: Any, path: str) -> Any:
        if kind not in BY_KIND or not isinstance(said, dict):
            return said
        parameters = {"enabled": Flag(""), **BY_KIND[kind].parameters}
        return {
            name: self._value(parameters[name], value, f"{path}.{name}") if name in parameters else value
            for name, value in said.items()
        }

    def _value(self, parameter: Parameter, value: Any, path: str) -> Any:
        match parameter:
            case Flag():
                return _flag(value)
            case Number():
                return _number(value)
            case Choice():
                labels = {label.casefold(): key for key, label in _labels(parameter).items()}
                return labels.get(value.casefold(), value) if isinstance(value, str) else value
            case PerStage():
                return self._limits(value, path, lambda name, at: self._id(name, self.stages, at))
            case PerRole():
                return self._limits(value, path, self._role)
        raise TypeError(parameter)

    def _limits(self, value: Any, path: str, find: Callable[[str, str], Any]) -> Any:
        if not isinstance(value, dict):
            return value
        limits: dict[str, Any] = {}
        for name, limit in value.items():
            key = find(name, f"{path}.{name}")
            if key is not None and str(key) in limits:
                self._refuse(f"{path}.{name}", _("“%(name)s” is given twice.") % {"name": name})
            elif key is not None:
                limits[str(key)] = _number(limit)
        return limits

    def _ids(self, value: Any, known: Mapping[str, int], path: str) -> Any:
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            return value
        ids: list[int] = []
        for n, name in enumerate(value):
            if (pk := self._id(name, known, f"{path}.{n}")) in ids:
                self._refuse(f"{path}.{n}", _("“%(name)s” is given twice.") % {"name": name})
            elif pk is not None:
                ids.append(pk)
        return ids

    def _id(self, name: str, known: Mapping[str, Any], path: str) -> Any:
        if name in known:
            return known[name]
        bearers = [each for each in known if LIKE_NUMBERED.sub("", each) == name]
        if bearers:
            text = _("Several are named “%(name)s”. Write one of %(names)s.")
            self._refuse(path, text % {"name": name, "names": join([f"“{each}”" for each in bearers])})
        else:
            self._refuse(path, _("There is none with the name “%(name)s” here.") % {"name": name})
        return None

    def _role(self, name: str, path: str) -> Any:
        """By label, whatever its case, accents and punctuation."""
        if name not in self.roles and (key := role_key(name)) in self.names.roles:
            return key
        return self._id(name, self.roles, path)


def _inverse(names: Mapping[Key, str]) -> dict[str, Key]:
    return {name: key for key, name in names.items()}


FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def _flag(value: Any) -> Any:
    return FLAGS.get(value.lower(), value) if isinstance(value, str) else value


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 10 else value


class _Loader(yaml.SafeLoader):
    """Without references to other places of the document, which can make a small file large, and not too deep."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.depth += 1
        if self.check_event(yaml.AliasEvent) or self.depth > DEEPEST:
            raise yaml.composer.ComposerError(problem_mark=self.peek_event().start_mark)  # type: ignore[no-untyped-call]
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _parse(text: bytes) -> yaml.Node | None:
    if len(text) > MOST_BYTES:
        raise ValidationError({"": [_("The file is too large: at most %(most)s KB.") % {"most": MOST_BYTES // 1024}]})
    try:
        loader = _Loader(text.decode("utf-8-sig"))
        try:
            return loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = {"line": mark.line + 1 if mark else 1, "column": mark.column + 1 if mark else 1}
        sentence = _("Line %(line)s, column %(column)s: this cannot be read as YAML.") % where
        raise ValidationError({"": [sentence]}) from error
    except (yaml.YAMLError, ValueError) as error:
        raise ValidationError({"": [_("This file is no readable text in UTF-8.")]}) from error
