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

    meaning = """
    Fires when the amount is missing or, while the option is on, zero: since it became empty, if that was seen; else
    since the creation.
    - Pipedrive tells zero for a missing amount, HubSpot nothing.
    - A negative amount is not empty.
    """
    facts = {
        "amount": "the amount: zero or none",
        "created_on": "the day of the creation",
        "emptied_at": "when it became empty, if that was seen",
        "reopened_on": "the day of the last reopening, if any",
    }
    clear = "When there is an amount. It cannot fire by the passing of time."
    false_alarms = """
    - A free pilot, or a renewal at no cost: switch the option off (HubSpot), or the rule for that pipeline.
    - The stage is too early for an estimate.
    """
    departures = """
    - Zero is taken for empty, because Pipedrive writes zero when nobody has filled in anything.
    """

    def fires_on(self, settings: Settings, clock: Clock, subject: str) -> Dated:
        zone = clock.zone.key
        missing = When(amount__isnull=True, then=not_before_life(LocalDate(F(self._since(settings)), zone)))
        zero = When(amount=0, then=not_before_life(LocalDate(F("amount_emptied_at"), zone)))
        return Case(missing, *([zero] if settings["zero"] else []), output_field=DateField())

    @staticmethod
    def _since(settings: Settings) -> str:
        return "amount_emptied_at" if settings["zero"] else "amount_missing_at"

    def evidence(self, settings: Settings, subject: str) -> dict[str, Dated]:
        return {
            "amount": F("amount"),
            "created_on": F("created_on"),
            "emptied_at": F(self._since(settings)),
            "reopened_on": F("reopened_on"),
        }
