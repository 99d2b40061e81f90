from django.db.models import Case, DateField, F, When
from django.utils.translation import gettext_lazy as _

from alerts.rules.base import Dated, Family, Flag, Rule, Settings, not_before_life
from deals.clock import Clock
from deals.querysets import LocalDate


class AmountEmpty(Rule):
    """The amount is missing, or zero where zero counts as empty; since it became so if that was seen."""

    kind, bit, family, icon = "amount_empty", 7, Family.HYGIENE, "badge-euro"
    title = _("Amount empty")
    description = _("The deal has no amount.")
    action = _("Enter an amount, an estimate will do.")
    parameters = {"zero": Flag(_("Zero counts as empty"), default=True)}

    def fires_on(self, settings: Settings, clock: Clock, subject: str) -> Dated:
        zone = clock.zone.key
        missing = When(amount__isnull=True, then=not_before_life(LocalDate(F(self._since(settings)), zone)))
        zero = When(amount=0, then=not_before_life(LocalDate(F("amount_emptied_at"), zone)))
        return Case(missing, *([zero] if settings["zero"] else []), output_field=DateField())

    @staticmethod
    def _since(settings: Settings) -> str:
        return "amount_emptied_at" if settings["zero"] else "amount_missing_at"

    def evidence(self, settings: Settings, subject: str) -> dict[str, Dated]:
        return {"amount": F("amount"), "created_on": F("created_on")}
