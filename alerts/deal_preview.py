"""What the settings in force, and a draft of others, say of one deal: every rule's outcome, side by side."""

from dataclasses import dataclass

from django.db.models import F
from django.utils.translation import gettext as _

from accounts.models import Organisation
from alerts import wording
from alerts.deal_query import DealQuery
from alerts.engine import verdicts
from alerts.evidence import names_for
from alerts.facts import Case
from alerts.rules import RULES
from alerts.settings import Draft
from deals.clock import Clock
from deals.models import Deal

FOUND = 6


@dataclass(frozen=True)
class Said:
    """`outcome`: fires, clear, unknown (not evaluable), or off: not judged at all."""

    outcome: str
    word: str
    sentence: str


@dataclass(frozen=True)
class Outcome:
    title: str
    icon: str
    now: Said
    after: Said

    @property
    def changed(self) -> bool:
        return self.now != self.after


def search(organisation: Organisation, text: str) -> list[Deal]:
    """The open deals that a search finds, the largest amount first."""
    query = DealQuery(q=" ".join(text.replace("\x00", "").split())[:200])
    found = organisation.deals.open().filter(query.words).for_list()
    return list(found.order_by(F("amount").desc(nulls_last=True), "pk")[:FOUND])


def outcomes(organisation: Organisation, deal: Deal, draft: Draft, clock: Clock) -> list[Outcome]:
    """In the order of the rules; key roles are judged once for each."""
    now, after = (_judged(organisation, deal, settings, clock) for settings in (None, draft))
    order = {rule.kind: n for n, rule in enumerate(RULES)}
    off = Said("off", _("off"), "")
    found = []
    for key in sorted(now.keys() | after.keys(), key=lambda key: (order[key[0]], key[1])):
        title, icon, _said = now.get(key) or after[key]
        found.append(Outcome(title, icon, *(judged[key][2] if key in judged else off for judged in (now, after))))
    return found


def _judged(
    organisation: Organisation, deal: Deal, draft: Draft | None, clock: Clock
) -> dict[tuple[str, str], tuple[str, str, Said]]:
    mine = Deal.objects.filter(organisation=organisation, pk=deal.pk)
    cases = [
        (each, Case.judged(each, deal))
        for _pk, of_deal in verdicts(organisation, mine, clock, draft, facts=True)
        for each in of_deal
    ]
    names = names_for(organisation, [case for _verdict, case in cases], clock)
    words = {"fires": _("fires"), "clear": _("clear"), "unknown": _("cannot be judged")}
    found = {}
    for verdict, case in cases:
        match verdict.outcome:
            case "fires":
                sentence = wording.sentence(case, names, clock)
            case "clear":
                sentence = wording.margin(case, clock)
            case _:
                sentence = wording.unknown(verdict.reason)
        said = Said(verdict.outcome, words[verdict.outcome], sentence)
        title = wording.title(case.kind, case.subject, names)
        found[verdict.rule.kind, verdict.subject] = title, verdict.rule.icon, said
    return found
