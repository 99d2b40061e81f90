"""What a draft would do, before anybody saves it."""

from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Organisation
from alerts import settings as alert_settings
from alerts.api.base import OrganisationView, Page
from alerts.api.protocol import IsMember
from alerts.preview import AT_RISK, CHANGES, Effect, preview, preview_deals
from alerts.rules import BY_KIND, RULES
from alerts.settings import Draft
from deals.models import Deal


class PreviewView(OrganisationView):
    """A POST because a draft is long; nothing is written, so every member may ask."""

    permission_classes = [IsMember]

    def post(self, request: Request) -> Response:
        draft = alert_settings.clean(self.organisation, self.sent)
        if "change" in request.query_params or "kind" in request.query_params:
            return self._deals(request, draft)
        effects = preview(self.organisation, draft, self.clock)
        rules = [
            {"kind": rule.kind, "title": str(rule.title), "critical": rule.critical, **_shown(effects[rule.kind])}
            for rule in RULES
        ]
        at_risk = _shown(effects[AT_RISK])
        return Response({"value_currency": self.organisation.currency, "at_risk": at_risk, "rules": rules})

    def _deals(self, request: Request, draft: Draft) -> Response:
        """The deals behind one number: `?change=flagged&kind=no_activity`, without a kind those at risk."""
        kind = request.query_params.get("kind", AT_RISK)
        change = request.query_params.get("change", "")
        if kind and kind not in BY_KIND:
            raise ValidationError({"kind": [_("There is no alert of this name.")]})
        if change not in CHANGES:
            raise ValidationError({"change": [_("Choose one of the values offered.")]})
        page = Page.of(request)
        count, ids = preview_deals(self.organisation, draft, self.clock, kind, change, page.rows)
        found = Deal.objects.filter(organisation=self.organisation).among(ids).for_list().in_bulk()
        return page.answer(request, count, [shown_deal(found[pk], self.organisation) for pk in ids])


def _shown(effect: Effect) -> dict[str, Any]:
    return {
        change: {
            "deals": flagged.deals,
            "amounts": {c: str(flagged.amounts[c]) for c in sorted(flagged.amounts)},
            "value": str(sum((each.value for each in flagged.sums.values()), Decimal("0.00"))),
            "without_rate": {c: each.without for c, each in sorted(flagged.sums.items()) if each.without},
        }
        for change, flagged in effect.items()
    }


def shown_deal(deal: Deal, organisation: Organisation) -> dict[str, Any]:
    """`value`: of an open deal, the amount in the organisation's currency, null without an exchange rate."""
    return {
        "id": deal.pk,
        "title": deal.title,
        "amount": None if deal.amount is None else str(deal.amount),
        "currency": deal.currency,
        "value": None if deal.value is None else str(deal.value),
        "value_currency": organisation.currency,
        "close_on": deal.close_on,
        "owner": deal.owner.name if deal.owner else None,
        "company": deal.company.name if deal.company else None,
        "pipeline": deal.pipeline.name if deal.pipeline else None,
        "stage": deal.stage.name if deal.stage else None,
        "page": reverse("alerts:deal", args=[deal.pk]),
    }
