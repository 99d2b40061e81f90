"""The page of job titles: what the address asks for, the rows, and in words which rule decided."""

import hashlib
from dataclasses import dataclass

from django.http import QueryDict
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import Organisation
from accounts.params import whole
from alerts import formats, wording
from alerts.facets import Tab
from deals import titles
from deals.clock import Clock
from deals.seniority import NOTHING_MATCHED, Level

SHOWN = 200  # characters of a title
LEVELS = (Level.C_LEVEL, Level.VP, Level.DIRECTOR, Level.NONE)


@dataclass(frozen=True, slots=True)
class TitleQuery:
    """The question of the address bar. What it does not know is left out and named in `refused`, as sentences."""

    level: str = ""
    q: str = ""
    page: int = 1
    refused: tuple[str, ...] = ()

    @classmethod
    def parse(cls, data: QueryDict) -> "TitleQuery":
        refused = []
        level, page = data.get("level", ""), data.get("page") or "1"
        number = whole(page, 10**9)
        if level and level not in titles.GROUPS:
            refused.append(_("There is no level “%(value)s”. All titles are shown.") % {"value": level[:80]})
            level = ""
        if not number:
            refused.append(_("There is no page “%(value)s”. This is the first one.") % {"value": page[:80]})
            number = 1
        words = " ".join(data.get("q", "").replace("\x00", "").split())[:200]
        return cls(level, words, number, tuple(refused))

    def url(self, **changes: str | int) -> str:
        """The address of this question with some parts changed; of any other than the page, its first page."""
        asked: dict[str, str | int] = {"level": self.level, "q": self.q, "page": 1 if changes else self.page}
        asked |= changes
        params = [(name, value) for name, value in asked.items() if value not in ("", 1)]
        path = reverse("alerts:titles")
        return f"{path}?{urlencode(params)}" if params else path


@dataclass(frozen=True)
class Row:
    """A title as it is shown. `level` is None when the title says nothing; `choices`: (level, its name, chosen)."""

    id: str
    key: str
    title: str
    people: int
    level: int | None
    level_name: str
    why: str
    corrected: bool
    unknown: bool

    @property
    def choices(self) -> list[tuple[int, str, bool]]:
        """With every level, none chosen when the title has none."""
        return [(level.value, wording.level(level), level == self.level) for level in LEVELS]


@dataclass(frozen=True)
class TitleList:
    query: TitleQuery
    rows: list[Row]
    tabs: list[Tab]
    count: int
    any: bool  # whatever the level

    @property
    def pages(self) -> int:
        return max(1, -(-self.count // titles.PAGE_SIZE))

    @property
    def previous(self) -> str:
        return self.query.url(page=self.query.page - 1) if self.query.page > 1 else ""

    @property
    def next(self) -> str:
        return self.query.url(page=self.query.page + 1) if self.query.page < self.pages else ""

    @property
    def spoken(self) -> str:
        return ngettext("%(count)s job title", "%(count)s job titles", self.count) % {
            "count": formats.number(self.count)
        }


def title_list(organisation: Organisation, query: TitleQuery, clock: Clock) -> TitleList:
    """The answer to `query`: one statement, however many titles; two when it asks for a page after the last."""
    found = titles.listing(organisation, query.q, query.level, query.page)
    rows = [_row(title, clock) for title in found.titles]
    shown = TitleList(query, rows, _tabs(query, found.counts), found.counts[query.level], found.counts[""] > 0)
    if query.page <= shown.pages:
        return shown
    sentence = _("There is no page %(page)s. This is the last one.") % {"page": formats.number(query.page)}
    return title_list(organisation, TitleQuery(query.level, query.q, shown.pages, (*query.refused, sentence)), clock)


def title_row(organisation: Organisation, key: str, clock: Clock) -> Row | None:
    """One title; None when nobody has it and it is not corrected."""
    found = titles.listing(organisation, key=key).titles
    return _row(found[0], clock) if found else None


def row_id(key: str) -> str:
    """The same for the same title: what a script finds the row by."""
    return "title-" + hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()[:12]


def _tabs(query: TitleQuery, counts: dict[str, int]) -> list[Tab]:
    labels = {
        "": _("All titles"),
        "unknown": _("Not recognised"),
        **{level.name.lower(): wording.level(level) for level in LEVELS[:-1]},
        "none": _("No level"),
        "corrected": _("Corrected"),
    }
    return [Tab(text, query.url(level=name), counts[name], name == query.level) for name, text in labels.items()]


def _row(title: titles.Title, clock: Clock) -> Row:
    corrected = title.corrected_at is not None
    text = " ".join(title.title.split())
    text = text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
    why = reason(title.rule)
    if title.corrected_at is not None:
        on = formats.day(title.corrected_at.astimezone(clock.zone).date(), clock.today)
        who = title.corrected_by or _("somebody who has left")
        why = _("Corrected by %(who)s on %(day)s") % {"who": who, "day": on}
    return Row(
        id=row_id(title.key),
        key=title.key,
        title=text,
        people=title.people,
        level=title.level,
        level_name="" if title.level is None else wording.level(title.level),
        why=why,
        corrected=corrected,
        unknown=not corrected and title.rule in NOTHING_MATCHED,
    )


# ---- Rules in words. Their codes are those of `deals.seniority`: lower case, no accents.

_ACCENTED = {
    "directeur general": "directeur général",
    "secretaire general": "secrétaire général",
    "gerant": "gérant",
    "gerant de portefeuille": "gérant de portefeuille",
    "aupres de": "auprès de",
    "ea/pa to": "EA/PA to",
}


def reason(rule: str) -> str:
    """Which rule decided the level of a title, in words; empty when there is no title and nobody was asked.

    `rule`: as `deals.seniority.explain` names it, or `deals.titles.CORRECTION`.
    """
    kind, _colon, code = rule.partition(":")
    patterns = {
        "": "",
        titles.CORRECTION: _("Corrected by your organisation"),
        "no office": _("No rule matched"),
        "empty": _("Says nothing: taken as no title"),
        "demoted": _("Deputy or assistant: one level below “%(name)s”"),
        "not an office": _("Not an office: “%(name)s”"),
    }
    pattern = patterns.get(kind, _("By the rule “%(name)s”"))
    if kind == "not an office":
        if code == "former":
            pattern = _("A former office")
        elif code == "subject":
            pattern = _("The acronym is the subject of the job, not an office")
        elif code.startswith("of "):
            pattern, code = _("Somebody else's office: “%(name)s”"), code.removeprefix("of ")
    return pattern % {"name": _name(code)}


def _name(code: str) -> str:
    is_acronym = len(code) <= 4  # no other word of the rules is as short
    return _ACCENTED.get(code) or (code.upper() if is_acronym else code)
