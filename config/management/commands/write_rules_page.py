"""docs/rules.md: what every rule means, written from the rules themselves."""

import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Mapping
from inspect import cleandoc
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import translation

from alerts.models import Alert
from alerts.rules import RULES, Rule
from alerts.rules.base import Choice, Flag, Number, Parameter, PerRole, PerStage
from deals.seniority import Level, level_of

PAGE = Path(__file__).resolve().parents[3] / "docs" / "rules.md"

INTRODUCTION = """
# The rules

Written by `manage.py write_rules_page` from `alerts/rules/`: change the texts there. `make check` fails when this
page says something else.

Every enabled rule has one of three outcomes for every open deal, and never guesses. It **fires** (since a day), it is
**clear** (with the day on which it would fire if nothing happened), or it is **not evaluable** (with the reason).
"""

WORDS = """
## Words
**Open deal.** Its status is open, it is neither deleted nor archived, and its pipeline is watched: all are, unless an
admin narrows them. Only open deals have alerts.

**Colleague.** A user or owner of the CRM, archived ones too, a member of the organisation, or an address in one of
its own mail domains: those of the CRM's users, never a free-mail domain. Everybody else is an **external person**.

**Same person.** One contact after merges, with all its addresses. Contacts that share an address are one person, who
has the roles of all and the highest level. An address that the CRM does not know is a person too.

**Interaction.** A call, e-mail, message or meeting that took place, and not among colleagues only.
- It is dated at or before now. A HubSpot meeting took place unless its outcome is cancelled, no-show or rescheduled;
  a Pipedrive activity did when it is marked done. Nothing is guessed from a subject.
- It was not cancelled, missed, bounced, deleted, nor is it a draft.
- It is not internal: not every recorded participant is a colleague. Owner and logger are no participants. A
  meeting that records only its organiser has no recorded participant; nor has what records only the colleague who
  organised or sent it.
- Without a recorded participant it counts, but engages nobody.
- An unanswered, missed, busy, failed, wrong-number or voicemail call is an **attempt**, no interaction. HubSpot's
  result of a call wins over its status; a live message that was left counts, and so does a call without any recorded
  result.
- Notes, tasks and changes of fields are none. Of Pipedrive's activity types, `call` is a call, `meeting` and `lunch`
  are meetings, `email`, `task` and `deadline` are things to do. What an account's own types are an admin says: a call,
  a meeting, a message or none. Until then they are none; the page suggests an answer by name (“Démo”, “WhatsApp”, but
  not “Missed call”) and by how many there are.
- Mail on a Pipedrive deal is read with everybody on it. Of another user's private mail only the time is told: the
  later of the deal's last incoming and outgoing mail, when newer than any that could be read, is one e-mail that
  engages nobody.

**When.** When it happened, never when it was logged: the start of a call, the end of a meeting (its start if no end
is recorded), the sending of an e-mail. A Pipedrive activity that is done: the earlier of its planned end and the time
at which it was marked done. All day: the midnight at which its day begins, or that of the day on which it was marked
done, if earlier.

**Linked.** To each deal with which the CRM itself associates it, never by way of a contact or a company. It counts
even if it is older than the deal.

**Engaged.** The external recipients ("to") of an e-mail or message, its sender when external, the attendees of a
meeting who did not decline, the other side of a call. In copy (cc, bcc) is not engaged. A logged e-mail without any
address engages its associated contacts; one with addresses only those in "to" and "from".

**Contact of the deal.** Associated with it in the CRM. Pipedrive: the deal's person, and whoever stands in a field of
the deal that is mapped to roles.

**Days.** The difference of two local dates in the organisation's time zone; "today" is the organisation's, too. A
limit of N days is reached on the Nth day. Day counts never start before the creation of the deal. With *business days*
on, every limit counts the working days after the start up to and including today, without weekends and the public
holidays of the organisation's country; before a close date as well, and an overdue date is 0 days away.

**Reopened.** The last passage from won or lost to open, as Vigie saw it. Unarchiving and restoring are none.

**Holds since** is computed from today's facts: never before the creation of the deal, nor (`deal_too_old` apart)
before its last reopening. **First seen** is when Vigie opened the alert. The two are never mixed.

**At risk.** At least one open alert. Alerts are *critical* or *warnings*; lists begin with the deals that have most
critical alerts, then most alerts, then the highest amount.
"""

SETTINGS = """
## Settings and evidence
One configuration for the organisation, and overrides for chosen pipelines or teams: for a deal the first override
counts that names its pipeline (or none) and a team of its owner (or none), and what it does not say is as in the
organisation's own. An override may switch a rule off, too. Whatever settings name and the CRM has no longer matches
nothing, and the admin is told.

Besides the facts listed below, every alert keeps the limit by which it was judged, whether it was counted in business
days, and the override that set it. These are dates and ids, never an age: sentences are made when they are shown.
Also shown is what does not count, with the reason: in copy only, declined, internal, cancelled, rescheduled, no-show,
bounced, draft, attempt, never marked done.
"""

LEVELS = """
## Levels of job titles
Read as a person would, in French and English and all genders (`deals/seniority.py`): the office that somebody holds,
not a word in the title. Of several offices the highest wins; somebody else's office ("assistant to", "office of",
"former") is none; deputy, adjoint and sous- demote by one level, assistant demotes VP and Director. An admin can
correct any exact title.
"""
TITLES = (
    *("CEO", "Co-Founder & CTO", "Cofondatrice", "PDG", "Directeur Général & Fondateur", "Chief Revenue Officer"),
    *("Chef d'entreprise", "Sales Director & Co-Founder", "Managing Director"),
    *("Vice-Présidente Ventes", "SVP, Global Sales", "Deputy CEO", "DGA", "VP / Head of Data"),
    *("Associate Vice President", "Head of Sales", "Directeur·rice des achats", "Directrice Marketing"),
    *("Assistant to the CEO", "Assistante de direction", "Chef de projet", "Account Director", "Former CEO", "CSM"),
    *("Directeur adjoint", "Stagiaire auprès du DG"),
)
LEVEL_NAMES = {Level.C_LEVEL: "C-level", Level.VP: "VP", Level.DIRECTOR: "Director", Level.NONE: "none"}


def page() -> str:
    with translation.override("en"):
        parts = [cleandoc(INTRODUCTION), *overview(), cleandoc(WORDS), cleandoc(SETTINGS), *endings()]
        for rule in RULES:
            parts += chapter(rule)
        parts += [cleandoc(LEVELS), *levels()]
        return "\n\n".join(parts) + "\n"


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    columns = list(head)
    lines = [columns, ["---"] * len(columns), *([str(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def overview() -> Iterator[str]:
    yield table(
        ("family", "rule", "critical", "in short"),
        (
            (rule.family.label, f"[{rule.title}](#{rule.kind})", "yes" if rule.critical else "", rule.description)
            for rule in RULES
        ),
    )


def endings() -> Iterator[str]:
    yield "An open alert is resolved with the reason that made it go: " + "; ".join(map(str, Alert.Reason.labels)) + "."


def chapter(rule: Rule) -> Iterator[str]:
    yield f"## {rule.kind}"
    yield f"**{rule.title}** · {rule.family.label} · {'critical' if rule.critical else 'warning'}. {rule.description}"
    yield cleandoc(rule.meaning)
    if rule.parameters:
        rows = ((parameter.label, f"`{name}`", *bounds(parameter)) for name, parameter in rule.parameters.items())
        yield table(("parameter", "name", "default", "values", "unit"), rows)
    else:
        yield "It has no parameter."
    yield f"**Clear.** {cleandoc(rule.clear)}"
    yield (
        named("Not evaluable.", rule.reasons) if rule.reasons else "**Not evaluable.** Never: it always can be judged."
    )
    yield named("Evidence.", rule.facts)
    yield f"**What to do.** {rule.action}"
    yield f"**Known false alarms.**\n{cleandoc(rule.false_alarms)}"
    if rule.departures:
        yield f"**Not the obvious reading.**\n{cleandoc(rule.departures)}"


def named(title: str, sentences: Mapping[str, str]) -> str:
    return "\n".join([f"**{title}**", *(f"- `{name}`: {sentence}" for name, sentence in sentences.items())])


def bounds(parameter: Parameter) -> tuple[str, str, str]:
    """Default, possible values and unit."""
    match parameter:
        case Number():
            return str(parameter.default), f"{parameter.min} to {parameter.max}", str(parameter.unit)
        case Flag():
            return "on" if parameter.default else "off", "on, off", ""
        case Choice():
            names = dict(parameter.choices)
            return str(names[parameter.default]), ", ".join(map(str, names.values())), ""
        case PerStage() | PerRole():
            what = "stage" if isinstance(parameter, PerStage) else "role"
            _default, values, unit = bounds(parameter.of)
            return f"none; {parameter.of.default} where one is added", f"for each {what} {values}", unit
    raise TypeError(parameter)


def levels() -> Iterator[str]:
    yield table(("title", "level"), ((title, LEVEL_NAMES[level_of(title) or Level.NONE]) for title in TITLES))


class Command(BaseCommand):
    help = "Writes docs/rules.md from the rules."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="write nothing; fail when the page says something else"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["check"]:
            PAGE.write_text(page(), "utf-8")
        elif not PAGE.exists() or PAGE.read_text("utf-8") != page():
            sys.exit("docs/rules.md is not what the rules say: run `manage.py write_rules_page`.")
