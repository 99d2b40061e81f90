from typing import Any

from django.db.models import Case, F, IntegerField, Value, When
from django.utils.translation import gettext_lazy as _

from alerts.rules.base import Dated, Family, PerStage, Rule, Settings, days, not_before_life
from deals.clock import Clock


class StuckInStage(Rule):
    """Too many days since the deal last entered its current stage."""

    kind, bit, family, icon = "stuck_in_stage", 5, Family.HYGIENE, "hourglass"
    title = _("Stuck in stage")
    description = _("The deal stays in its stage longer than it should.")
    action = _("Find out what blocks the deal, then move it on or back.")
    parameters = {"days": days(12), "stages": PerStage(_("Limit for each stage"), of=days(12))}

    def limit(self, settings: Settings) -> Any:
        if not settings["stages"]:
            return settings["days"]
        return Case(
            *(When(stage=int(stage), then=Value(limit)) for stage, limit in sorted(settings["stages"].items())),
            default=Value(settings["days"]),
            output_field=IntegerField(),
        )

    def fires_on(self, settings: Settings, clock: Clock, subject: str) -> Dated:
        return not_before_life(clock.add_days(F("stage_entered_on"), self.limit(settings)))

    def evidence(self, settings: Settings, subject: str) -> dict[str, Dated]:
        return {"entered_on": F("stage_entered_on"), "exact": F("stage_known"), "stage": F("stage_id")}
