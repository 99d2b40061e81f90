"""Job titles, French or English, to levels: the offices of the `power_map` rule. Pure and table-driven.

A title is normalised (no accents, capitals nor hyphens, feminines made masculine), cut into segments (`, / & |`, spaced
dashes), and the highest office that its holder has wins. Every step takes time linear in the length of the title.
"""

import enum
import hashlib
import html
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Row = TypeVar("Row")
# Levels stored by other rules than these are brought up to date (deals.titles): one pass too many does no harm.
FINGERPRINT = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
NOTHING_MATCHED = ("no office", "empty")  # the rules of a title that is not recognised


class Level(enum.IntEnum):
    NONE = 0
    DIRECTOR = 1
    VP = 2
    C_LEVEL = 3


@dataclass(frozen=True, slots=True)
class Match:
    """The level of a title, None when there is no title, and the code of the rule that decided ("c_level:ceo")."""

    level: Level | None
    rule: str


# ---- Offices: (code, pattern). The first that matches wins, so long forms stand before short ones.
_C_ACRONYMS = "ceo cfo coo cto cio cmo cro cpo cso chro cdo ciso cco clo cgo cbo cxo pdg dgd dg".split()  # noqa: SIM905
_DIRECTOR_ACRONYMS = ("daf", "drh", "dsi")
_C_LEVEL = (
    ("directeur general", "direct(?:eur|or) general"),
    ("managing director", "managing director"),
    ("chief officer", "chief officer"),
    ("chief executive", "chief executive"),
    ("founder", "(?:co)?founder"),
    ("fondateur", "(?:co)?fondateur"),
    ("president", "president"),
    ("chair", "chair(?:man|woman|person)?"),
    ("gerant", "(?:co)?gerant"),
    ("chef d'entreprise", "chef d[' ]entreprises?"),
    *((acronym, acronym) for acronym in _C_ACRONYMS),
)
_VP = (
    ("vice president", "vice ?presidente?"),
    ("vice chair", "vice ?chair(?:man|woman|person)?"),
    ("dga", "dga"),
    *((acronym, acronym) for acronym in ("svp", "evp", "avp", "rvp", "vp")),
    ("vp", "v p"),
)
_DIRECTOR = (
    ("director", "director"),
    ("directeur", "directeur"),
    ("head of", "head(?= of\\b)"),  # leaves "of" to show that what follows is a subject: head of CFO services
    ("general manager", "general manager"),
    ("secretaire general", "secretaire general|secretary general|general secretary"),
    *((acronym, acronym) for acronym in _DIRECTOR_ACRONYMS),
)
_OFFICES = (
    *((Level.VP, *row) for row in _VP),  # Vice President before President
    *((Level.C_LEVEL, *row) for row in _C_LEVEL),
    *((Level.DIRECTOR, *row) for row in _DIRECTOR),
)

# ---- Markers. With a preposition, those of somebody else's office hold to the end of the title: EA to the CEO, CFO.
_PREPOSITION = "(?:(?:to|of|for|de|du|au)\\b|d')"
_ANY_C_LEVEL = "|".join(pattern for _, pattern in _C_LEVEL)
_SOMEBODY_ELSES = (
    ("executive assistant", "(?:executive|personal|administrative) assistant"),
    ("assistant to", f"assistant(?= {_PREPOSITION})"),
    ("ea/pa to", f"[ep]a(?= (?:{_PREPOSITION}|(?:{_ANY_C_LEVEL})\\b))"),
    ("secretary", "(?<!general )secretary(?! general)|secretaire(?! general)"),
    ("office of", f"office(?= of\\b)|'s office|(?:{_ANY_C_LEVEL}) office"),
    ("intern", "intern|stagiaire|alternant|apprenti|trainee"),
    ("founder's associate", "founder(?:'?s'?)? associate"),
    ("chief of staff", "chief of staff"),
    ("adviser", "advis[eo]r|conseiller"),
    ("aupres de", f"aupres(?= {_PREPOSITION})"),
)
_NO_OFFICE = (
    ("founding engineer", "founding engineer"),
    ("account director", "(?:account|art|artistic|creative) director"),
    ("directeur artistique", "directeur (?:artistique|(?:de )?(?:la )?creation|(?:de )?clientele)"),
    ("gerant de portefeuille", "gerant de (?:portefeuilles?|fonds|patrimoine)"),
    ("product owner", "product owner"),
    ("chef de projet", "chef (?:de )?(?:projet|produit|service|chantier)s?"),
)
# Next to one of these an acronym is what the job is about: CRO manager, DSI consultant, dessinateur CFO.
_JOBS = (
    "(?<!general )manager|engineer|ingenieur|dessinateur|projeteur|developer|developpeur|technician|technicien"
    "|consultant|analyst|analyste|specialist|specialiste|architect|architecte|coach|expert|responsable|coordinator"
    "|coordinateur|gestionnaire|charge d'affaires|conducteur de travaux"
)
_MASCULINE = {
    "directrice": "directeur",
    "fondatrice": "fondateur",
    "cofondatrice": "cofondateur",
    "dessinatrice": "dessinateur",
    "coordinatrice": "coordinateur",
    "developpeuse": "developpeur",
    "technicienne": "technicien",
    "conseillere": "conseiller",
    "ancienne": "ancien",
    "cheffe": "chef",
    "asst": "assistant",
    "adj": "adjoint",
    **{word + "e": word for word in "president general gerant cogerant adjoint assistant".split()},  # noqa: SIM905
    **{word + "e": word for word in ("alternant", "apprenti", "ingenieur", "charge")},
}


def _rows(table: Sequence[tuple[object, ...]]) -> str:
    """One alternation with one group a row, whose pattern stands last."""
    return "|".join(f"({row[-1]})" for row in table)


def _row(match: re.Match[str], table: Sequence[Row]) -> Row:
    assert match.lastindex
    return table[match.lastindex - 1]


_OFFICE = re.compile(rf"\b(?:(?:to|of|for|du|de|au|pour) (?:(?:the|our|la|notre) )?)?(?:{_rows(_OFFICES)})\b")
_ELSES = re.compile(rf"\b(?:{_rows(_SOMEBODY_ELSES)})\b")
_HOLDS = re.compile(f" {_PREPOSITION}")
_OTHER_JOB = re.compile(rf"\b(?:{_rows(_NO_OFFICE)})\b")
# No "retraité": without accents it is the "maison de retraite" too.
_FORMER = re.compile(r"\b(?:formerly|former|ex|ancien|anciennement|retired)\b")
# Vice President and vice chair are offices of their own; "directeur sous-traitance" is no deputy.
_DEPUTY = re.compile(
    rf"\b(?:deputy|adjoint|(?:sous|vice(?! (?:president|chair)))(?= (?:{'|'.join(row[-1] for row in _OFFICES)})\b))\b"
)
_DEPUTY_TO = re.compile(r"^(?:deputy|adjoint) (?:to|of|au|du|de)(?: (?:the|la))?\b")
_ASSISTANT = re.compile(r"\bassistant\b")
_ACRONYM = "|".join((*_C_ACRONYMS, *_DIRECTOR_ACRONYMS, "dga"))  # VP is never a subject
_SUBJECT = re.compile(rf"\b(?:(?:{_JOBS}) (?:{_ACRONYM})|(?:{_ACRONYM}) (?:{_JOBS}))\b")

_LINE_TAG = re.compile(r"<(?:br|/p|/div|/li|/tr|/h\d)\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")
_UNIFIED = str.maketrans(dict.fromkeys("’‘ʼ´`′＇", "'") | dict.fromkeys("‐‑‒–—―−﹣－", "-"))
_DOTTED = re.compile(r"(?<![a-z0-9.])[a-z](?:\.[ -]?[a-z](?![a-z]))+\.?")
_INCLUSIVE = re.compile(
    r"(?<=[a-z]{3})(?:[·•‧∙⋅*./-]| ?\(-?| / (?=t?rice\b))"
    r"(?:(?:t?rice|ice|ne|f?fe|i?ere|euse|se|t?eur|le|sse)(?:[·•‧∙⋅*.-]?s)?(?![a-z0-9])"
    r"|e(?:[·•‧∙⋅*.-]?s)?(?!-?[a-z0-9]))\)?"
)
_FEMININE = re.compile(rf"\b(?:{'|'.join(_MASCULINE)})\b")
_DOUBLET = re.compile(r"\b([a-z]+)(?: ?/ ?| ou )\1\b")  # directeur/directrice adjoint is one office
_CHIEF_OFFICER = re.compile(rf"\bchief\b(?:(?!\b(?:chief|of|to|assistant|{_JOBS})\b)[^|;\n]){{0,60}}?\bofficer\b")
_ELECTRICAL = re.compile(r"\bcf[oa][/&-]cf[oa]\b")  # courants forts / courants faibles
_SEPARATOR = re.compile(r"[,/&|;•·،、\n]|\s[-+]+\s")
_NOISE = re.compile(r"[^\w',]+|_+")
_AND = re.compile(r" (?:and|et) ")


def level_of(title: str) -> Level | None:
    """The level that a job title gives: None when there is no title, `Level.NONE` when it names no level."""
    return explain(title).level


def explain(title: str) -> Match:
    """The level of a job title together with the rule that decided; never raises on any text.

    A title without letter or digit ("", "-", an emoji) is no title.
    """
    text = _normalise(title)
    if not any(map(str.isalnum, text)):
        return Match(None, "empty")
    # The highest wins, then the first; any reason is better than none.
    return max(_findings(text), key=lambda found: (found.level, found.rule != "no office"))


def _normalise(title: str) -> str:
    """Lower case without accents, marks, tags and noise; segments separated by commas."""
    text = html.unescape(_TAG.sub(" ", _LINE_TAG.sub("\n", title))).translate(_UNIFIED)
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    if not text.isascii():  # marks, and what is invisible: joiners, directions, soft hyphens
        text = "".join(c for c in text if unicodedata.category(c) not in ("Mn", "Me", "Cf"))
    text = re.sub(r"[^\S\n]+", " ", text)
    text = _DOTTED.sub(lambda acronym: re.sub("[. -]", "", acronym[0]), text)
    text = _INCLUSIVE.sub("", text)
    text = _FEMININE.sub(lambda word: _MASCULINE[word[0]], text)
    text = _DOUBLET.sub(r"\1", text)
    text = _CHIEF_OFFICER.sub("chief officer", text)
    text = _ELECTRICAL.sub(" ", text)
    return _NOISE.sub(" ", _SEPARATOR.sub(",", text))


def _findings(text: str) -> Iterator[Match]:
    yield Match(Level.NONE, "no office")
    held = ""  # a marker with to/of/de, for all that follows
    for segment in text.split(","):
        whose = held  # a marker in this segment
        for clause in _clauses(segment.strip()):
            for marker in _ELSES.finditer(clause):
                whose = whose or _row(marker, _SOMEBODY_ELSES)[0]
                held = held or (whose if _HOLDS.match(clause, marker.end()) else "")
            other_job = _OTHER_JOB.search(clause)
            if no_office := whose or (other_job and _row(other_job, _NO_OFFICE)[0]):
                yield Match(Level.NONE, f"not an office:{no_office}")
                continue
            former = _FORMER.search(clause)
            if former:
                yield Match(Level.NONE, "not an office:former")
                whose = "former"  # former CEO and CFO
                # "VP Sales, ex-Google" without the comma is a VP; "CEO (former)" is none.
                clause = clause[: former.start()] if former.end() < len(clause) else ""
            yield from _offices(clause)


def _clauses(segment: str) -> Iterator[str]:
    """Cut before the and/et that another job follows: a marker after it says nothing of what stands before it."""
    clause: list[str] = []
    for part in _AND.split(segment):
        if clause and any(job.search(part) for job in (_OFFICE, _ELSES, _OTHER_JOB, _FORMER)):
            yield " and ".join(clause)
            clause = []
        clause.append(part)
    yield " and ".join(clause)


def _offices(clause: str) -> Iterator[Match]:
    clause, subjects = _SUBJECT.subn(" ", clause)
    if subjects:
        yield Match(Level.NONE, "not an office:subject")
    clause = _DEPUTY_TO.sub("deputy", clause)  # adjoint au DG
    deputy = _DEPUTY.search(clause)
    assistant = _ASSISTANT.search(clause)
    for office in _OFFICE.finditer(clause):
        level, code, _ = _row(office, _OFFICES)
        if office.start() < office.start(office.lastindex or 0) or clause.startswith("'s", office.end()):
            # "of the CEO", "the CEO's": a subject, or somebody else's
            yield Match(Level.NONE, f"not an office:of {code}")
        elif assistant and (level is Level.C_LEVEL or assistant.start() > office.start()):
            yield Match(Level.NONE, "not an office:assistant")
        elif deputy or assistant:
            yield Match(Level(level - 1), f"demoted:{code}")
        else:
            yield Match(level, f"{level.name.lower()}:{code}")
