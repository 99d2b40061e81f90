"""What every enabled rule says of a deal, in one of three outcomes."""

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.params import whole
from alerts import wording
from alerts.api.base import MOST_PER_PAGE, OrganisationView, Page
from alerts.api.preview import shown_deal
from alerts.deal_query import DealQuery
from alerts.engine import Verdict, verdicts
from alerts.evidence import names_for
from alerts.facts import Case
from alerts.reader import Reader
from alerts.wording import Names
from deals.models import Deal

NOT_EVALUABLE = {"unknown": "not_evaluable"}
REJECTED_SHOWN = 3


class JudgingView(OrganisationView):
    def judged(self, deals: Sequence[Deal]) -> list[dict[str, Any]]:
        """Each deal with its verdicts, none for a deal that is closed or not watched.

        One query judges them all; names and rejected facts take at most six more.
        """
        mine = Deal.objects.filter(organisation=self.organisation).among(deal.pk for deal in deals)
        found = dict(verdicts(self.organisation, mine, self.clock, facts=True))
        cases = [Case.judged(verdict, deal) for deal in deals for verdict in found.get(deal.pk, ())]
        names = names_for(self.organisation, cases, self.clock)
        return [
            {
                "deal": shown_deal(deal, self.organisation),
                "judged": deal.pk in found,
                "verdicts": [
                    self._shown(verdict, Case.judged(verdict, deal), names) for verdict in found.get(deal.pk, ())
                ],
            }
            for deal in deals
        ]

    def _shown(self, verdict: Verdict, case: Case, names: Names) -> dict[str, Any]:
        """`since`: it holds since; `fires_on`: it would fire if nothing happens; null where neither is so."""
        match verdict.outcome:
            case "fires":
                sentence = wording.sentence(case, names, self.clock)
            case "clear":
                sentence = wording.margin(case, self.clock)
            case _:
                sentence = wording.unknown(verdict.reason)
        return {
            "kind": case.kind,
            "subject": case.subject,
            "title": wording.title(case.kind, case.subject, names),
            "critical": verdict.rule.critical,
            "outcome": NOT_EVALUABLE.get(verdict.outcome, verdict.outcome),
            "since": verdict.on if verdict.outcome == "fires" else None,
            "fires_on": verdict.on if verdict.outcome == "clear" else None,
            "reason": verdict.reason or None,
            "limit": verdict.limit,
            "sentence": sentence,
            "facts": verdict.facts,
            "rejected": wording.rejections(case, names, self.clock, REJECTED_SHOWN),
        }


class DealVerdictsView(JudgingView):
    def get(self, request: Request, pk: int) -> Response:
        deal = get_object_or_404(self.organisation.deals.for_list(), pk=pk)
        return Response(self.judged([deal])[0])


class VerdictsView(JudgingView):
    """`?ids=1,2,3`, or the filters of the deal list's address, which `refused` answers as the page does."""

    def get(self, request: Request) -> Response:
        page = Page.of(request)
        deals = self.organisation.deals.for_list()
        if (text := request.query_params.get("ids")) is not None:
            chosen = deals.among(_ids(text)).order_by("pk")
        else:
            query = DealQuery.parse(request.query_params)
            if query.refused:
                raise ValidationError({"": list(query.refused)})
            reader = Reader.of(self.organisation, self.user, self.clock)
            chosen = query.ordered(deals.open().filter(query.matching(reader)))
        return page.answer(request, chosen.count(), self.judged(list(chosen[page.rows])))


def _ids(text: str) -> set[int]:
    parts = text.split(",")
    numbers = [whole(part) for part in parts]
    if len(parts) > MOST_PER_PAGE or None in numbers:
        most = {"most": MOST_PER_PAGE}
        raise ValidationError({"ids": [_("Give at most %(most)s numbers of deals, parted by commas.") % most]})
    return {number for number in numbers if number is not None}
