"""What one CRM holds: tables of rows kept as serialised JSON, so that 50,000 deals fit in memory and are sent fast."""

import json
import time
from bisect import insort
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import Any

Fields = dict[str, Any]
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
by_id = attrgetter("id")


def dumps(value: object) -> bytes:
    # errors: a lone surrogate in a title must not take the server down
    return _encode(value).encode("utf-8", "surrogatepass")


class Row:
    """One object. `fields` is its JSON; `optional` the JSON of what is sent on demand only.

    `updated` is the CRM's own update time as a number: epoch seconds for Pipedrive, milliseconds for HubSpot.
    """

    __slots__ = ("archived", "deleted", "fields", "id", "optional", "updated")

    def __init__(
        self, id: int, updated: int, fields: Fields, optional: Fields | None = None, *, archived: bool = False
    ) -> None:
        self.id, self.updated, self.archived, self.deleted = id, updated, archived, False
        self.fields = dumps(fields)
        self.optional = dumps(optional) if optional else b""

    def read(self) -> Fields:
        return dict(json.loads(self.fields))

    def read_optional(self) -> Fields:
        return dict(json.loads(self.optional)) if self.optional else {}


class Table:
    """Rows by id, in ascending order of ids. The last few selections are kept until something changes."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self.rows: dict[int, Row] = {}
        self.hidden: set[int] = set()  # left out of every selection (crm_sandbox.changes)
        self._ordered: list[Row] = []
        self._selections: OrderedDict[object, list[Row]] = OrderedDict()
        for row in rows:
            self.add(row)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._ordered)

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, row: Row) -> None:
        if row.id in self.rows:
            self._ordered[self._ordered.index(self.rows[row.id])] = row
        elif not self._ordered or row.id > self._ordered[-1].id:
            self._ordered.append(row)
        else:
            insort(self._ordered, row, key=by_id)
        self.rows[row.id] = row
        self.touch()

    def remove(self, ids: Iterable[int]) -> None:
        gone = set(ids)
        self._ordered = [row for row in self._ordered if row.id not in gone]
        for id in gone:
            self.rows.pop(id, None)
        self.touch()

    def next_id(self) -> int:
        return self._ordered[-1].id + 1 if self._ordered else 1

    def touch(self) -> None:
        """To be called after a row was changed in place."""
        self._selections.clear()

    def select(
        self, key: object, wanted: Callable[[Row], bool], order: Callable[[Row], Any] | None = None
    ) -> list[Row]:
        """Rows for which `wanted` holds, ordered by id or by `order`. `key` says what the selection is, for reuse."""
        if key in self._selections:
            self._selections.move_to_end(key)
            return self._selections[key]
        hidden = self.hidden
        found = [row for row in self._ordered if row.id not in hidden and wanted(row)]
        if order:
            found.sort(key=order)
        self._selections[key] = found
        if len(self._selections) > 12:
            self._selections.popitem(last=False)
        return found


class Links:
    """Who is associated with whom: `links[from_kind, to_kind][from_id]` is a list of ids, kept in both directions.

    `types` holds the association types of a pair of objects where they differ from those every such pair has.
    """

    def __init__(self) -> None:
        self.to: defaultdict[tuple[str, str], dict[int, list[int]]] = defaultdict(dict)
        self.types: dict[tuple[str, int, str, int], list[Fields]] = {}

    def add(self, kind: str, id: int, other_kind: str, other_id: int) -> None:
        for a, i, b, j in ((kind, id, other_kind, other_id), (other_kind, other_id, kind, id)):
            known = self.to[a, b].setdefault(i, [])
            if j not in known:
                known.append(j)

    def remove(self, kind: str, id: int, other_kind: str, other_id: int) -> None:
        for a, i, b, j in ((kind, id, other_kind, other_id), (other_kind, other_id, kind, id)):
            self.types.pop((a, i, b, j), None)
            if j in self.to[a, b].get(i, ()):
                self.to[a, b][i].remove(j)

    def of(self, kind: str, id: int, other_kind: str) -> list[int]:
        return self.to[kind, other_kind].get(id, [])


class Crm:
    """One account of one CRM: its tables, its associations, and the lists that are sent as they are."""

    def __init__(self, names: Iterable[str]) -> None:
        self.tables = {name: Table() for name in names}
        self.links = Links()
        self.fixed: dict[str, Any] = {}
        # Told of each change: the table, the row, and what its fields were (None: it is new). See crm_sandbox.webhooks.
        self.watcher: Callable[[str, Row, bytes | None], None] | None = None
        self.survivor = 0  # while others are merged into it
        self.kept: Any = None  # what is to be recalled (crm_sandbox.changes)
        self.skew = 0.0  # seconds by which its clock is ahead of the machine's
        self.late = 0.0  # seconds until a change is found by what asks for changes (crm_sandbox.control, "clock")

    def now(self) -> float:
        """Epoch seconds by its own clock."""
        return time.time() + self.skew

    def indexed(self, rows: list["Row"], unit: int = 1) -> list["Row"]:
        """Those whose last change the index knows by now. `unit`: of `Row.updated`, in a second."""
        if not self.late:
            return rows
        known = (self.now() - self.late) * unit
        return [row for row in rows if row.updated <= known]
