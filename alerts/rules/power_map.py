from django.db.models import Case, Expression, F, Q, TextField, Value, When
from django.utils.translation import gettext_lazy as _

from alerts.rules.base import Choice, Dated, Family, Number, Rule, Settings, not_before_life, text
from deals.clock import Clock
from deals.seniority import Level

LEVELS = (
    (Level.DIRECTOR.value, _("Director")),
    (Level.VP.value, _("VP")),
    (Level.C_LEVEL.value, _("C-level")),
)


class PowerMap(Rule):
    """The close date is near, or over, and nobody senior enough has ever been engaged."""

    kind, bit, family, icon, critical = "power_map", 4, Family.CONTACTS, "crown", True
    title = _("No decision maker engaged")
    description = _("The close date is near and nobody of the chosen level, or above, has been engaged.")
    action = _("Ask your contact for an introduction to whoever signs.")
    parameters = {
        "level": Choice(_("Level"), default=Level.DIRECTOR.value, choices=LEVELS),
        "days": Number(_("Days before the close date"), default=10, min=0, max=365, unit=_("days")),
    }

    def fires_on(self, settings: Settings, clock: Clock, subject: str) -> Dated:
        return Case(
            When(top_level__gte=settings["level"], then=Value(None)),
            When(engaged_count__gt=0, titled_count=0, then=Value(None)),
            When(close_on__isnull=False, then=not_before_life(clock.add_days(F("close_on"), -settings["days"]))),
        )

    def unknown(self, settings: Settings, clock: Clock, subject: str) -> Expression:
        near = Q(close_on__lte=clock.add_days(Value(clock.today), settings["days"]))
        return Case(
            When(top_level__gte=settings["level"], then=Value(None)),
            When(close_on__isnull=True, then=text("no_close_date")),
            When(near & Q(engaged_count__gt=0, titled_count=0), then=text("no_titles")),
            output_field=TextField(),
        )

    def evidence(self, settings: Settings, subject: str) -> dict[str, Dated]:
        return {
            "close_on": F("close_on"),
            "level": Value(settings["level"]),
            "top_level": F("top_level"),
            "engaged": F("engaged_count"),
            "untitled": F("engaged_count") - F("titled_count"),
        }
