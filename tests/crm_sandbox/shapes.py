"""Compares the keys and JSON types of two values."""

import json
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

PAYLOADS = Path(__file__).parent.parent / "payloads"


def published(crm: str, name: str) -> Any:
    return json.loads((PAYLOADS / crm / f"{name}.json").read_text())


def type_of(value: Any) -> str:
    names = {dict: "object", list: "list", str: "text", bool: "boolean", int: "number", float: "number"}
    return "null" if value is None else names[type(value)]


def types(values: Iterable[Any], path: str = "", free: Collection[str] = ()) -> dict[str, set[str]]:
    """By path, the types that occur: {"data[].id": {"number"}}. What lies below a path of `free` has keys of its own.

    A key that some of several objects lack has the type "absent" too.
    """
    found: dict[str, set[str]] = {}
    values = list(values)
    if not values:
        return found
    objects = [value for value in values if isinstance(value, dict)]
    found[path] = {type_of(value) for value in values}
    if path not in free:
        for key in dict.fromkeys(key for one in objects for key in one):
            below = f"{path}.{key}".lstrip(".")
            found |= types([one[key] for one in objects if key in one], below, free)
            if any(key not in one for one in objects):
                found[below] = found[below] | {"absent"}
        items = [item for value in values if isinstance(value, list) for item in value]
        found |= types(items, f"{path}[]", free)
    return found


def differences(
    theirs: Any, ours: list[Any], nullable: Collection[str] = (), free: Collection[str] = ()
) -> dict[str, str]:
    """Where our answers differ from what the CRM publishes, by path; both ways. Nothing: the same keys, the same types.

    Each key must be there with each published type at least once, and with no other type, but null where nullable.
    """
    expected, served = types([theirs], free=free), types(ours, free=free)
    found = {}
    for path in expected | served:
        if path not in served:
            if not covered(path, served, expected):
                found[path] = "missing"
        elif path not in expected:
            if not covered(path, expected, served):
                found[path] = "not published"
        else:
            allowed = expected[path] | ({"null"} if path in nullable else set())
            if "null" in expected[path] and len(expected[path]) == 1:  # a placeholder tells no type
                continue
            if wrong := served[path] - allowed:
                found[path] = f"{sorted(wrong)} instead of {sorted(expected[path])}"
            elif not expected[path] - {"null", "absent"} <= served[path]:
                found[path] = f"never {sorted(expected[path])}"
    return found


def covered(path: str, here: dict[str, set[str]], there: dict[str, set[str]]) -> bool:
    """Whether `path`, absent `here`, lies below an empty list or a null whose path is here and says no more."""
    parent = path.rpartition(".")[0] or path.rpartition("[]")[0]
    while parent:
        if here.get(parent) in ({"null"}, {"list"}) and f"{parent}[]" not in here and parent in there:
            return True
        parent = parent.rpartition(".")[0]
    return False
