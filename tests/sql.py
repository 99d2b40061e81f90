"""SQL to be read and compared line by line: what fits stays on one line, the rest is taken apart by its brackets."""

import re
from collections.abc import Iterator
from typing import Any

WIDTH = 118
TOKEN = re.compile(r"\s*(?:'(?:[^']|'')*'|[()\[\],]|[^\s'()\[\],]+)")
PAIRS = {"(": ")", "[": "]", "CASE": "END"}
# A clause begins a line of its own; what follows it is indented.
CLAUSES = {"SELECT", "FROM", "WHERE", "LEFT", "FULL", "CROSS", "JOIN", "GROUP", "ORDER", "UNION"}
CLAUSES |= {"INSERT", "UPDATE", "SET", "RETURNING", "WHEN", "ELSE"}
JOINED = {("LEFT", "JOIN"), ("FULL", "JOIN"), ("CROSS", "JOIN"), ("ALL", "SELECT"), ("DISTINCT", "FROM")}
LONG = 40

Node = str | list[Any]  # a token with the blank before it, or a group: opening, nodes, closing


def laid_out(sql: str) -> str:
    return "\n".join(_lines(_parse(TOKEN.findall(sql)), ""))


def _parse(tokens: list[str]) -> list[Node]:
    root: list[Node] = []
    open_groups = [root]
    for token in (re.sub(r"^\s+", " ", token) for token in tokens):
        if token.strip() in PAIRS:
            group: list[Node] = [token]
            open_groups[-1].append(group)
            open_groups.append(group)
        else:
            open_groups[-1].append(token)
            if len(open_groups) > 1 and token.strip() == PAIRS[str(open_groups[-1][0]).strip()]:
                open_groups.pop()
    return root


def _flat(node: Node) -> str:
    return node if isinstance(node, str) else "".join(map(_flat, node))


def _lines(nodes: list[Node], indent: str) -> Iterator[str]:
    whole = indent + _flat(nodes).strip()
    parts = list(_parts(nodes))
    if len(whole) <= WIDTH:
        yield whole
    elif len(parts) > 1:
        clauses = [_flat(part[0]).strip() in CLAUSES for part in parts]
        for part, clause in zip(parts, clauses, strict=True):
            yield from _lines(part, indent + "  " if clauses[0] and not clause else indent)
    else:
        line = indent
        for node in nodes:
            if isinstance(node, str) or len(_flat(node)) <= LONG:
                line += _flat(node) if line.strip() else _flat(node).lstrip()
            else:
                yield line + (_flat(node[0]) if line.strip() else _flat(node[0]).lstrip())
                yield from _lines(node[1:-1], indent + "  ")
                line = indent + _flat(node[-1]).strip()
        yield line


def _parts(nodes: list[Node]) -> Iterator[list[Node]]:
    """The clauses of a statement, the items of a list, the conditions of a clause."""
    part: list[Node] = []
    before = ""
    for node in nodes:
        word = _flat(node).strip()
        begins = word in CLAUSES | {"AND", "OR"} and (before, word) not in JOINED
        if part and (begins or before == ","):
            yield part
            part = []
        part.append(node)
        before = word
    if part:
        yield part
