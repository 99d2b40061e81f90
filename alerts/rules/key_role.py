from django.db.models import Case, Expression, F, FilteredRelation, Q, TextField, When
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from alerts.rules.base import Dated, Family, Number, PerRole, Rule, Settings, not_before_life, text
from deals.clock import Clock
from deals.querysets import DealQuerySet


class KeyRole(Rule):
    """Nobody who holds a chosen role was engaged for too long. Judged once per role; no holder: silent."""

    kind, bit, family, icon = "key_role", 3, Family.CONTACTS, "user-star"
    title = _("Key role silent")
    description = _("No interaction with the holders of the roles you choose.")
    action = _("Get back in touch with the role's holder, or find out who replaced them.")
    parameters = {
        "roles": PerRole(_("Roles"), of=Number(_("Days"), default=12, min=1, max=365, unit=_("days"))),
    }

    def subjects(self, settings: Settings) -> list[str]:
        return sorted(settings["roles"])

    def join(self, deals: DealQuerySet, settings: Settings) -> DealQuerySet:
        relations = {
            self._alias(settings, role): FilteredRelation("roles", condition=Q(roles__role=role))
            for role in self.subjects(settings)
        }
        return deals.annotate(**relations) if relations else deals

    def _alias(self, settings: Settings, subject: str) -> str:
        return f"role_{self.subjects(settings).index(subject)}"

    def fires_on(self, settings: Settings, clock: Clock, subject: str) -> Dated:
        role = self._alias(settings, subject)
        since = not_before_life(Coalesce(f"{role}__last_on", f"{role}__held_since_on"))
        return Case(
            When(
                Q(**{f"{role}__isnull": False}),
                then=clock.add_days(since, settings["roles"][subject]),
            )
        )

    def unknown(self, settings: Settings, clock: Clock, subject: str) -> Expression:
        role = self._alias(settings, subject)
        return Case(When(Q(**{f"{role}__isnull": True}), then=text("no_holder")), output_field=TextField())

    def limit(self, settings: Settings) -> None:
        return None

    def evidence(self, settings: Settings, subject: str) -> dict[str, Dated]:
        role = self._alias(settings, subject)
        return {
            "holders": F(f"{role}__holders"),
            "last_on": F(f"{role}__last_on"),
            "activity": F(f"{role}__last_activity_id"),
            "held_since_on": F(f"{role}__held_since_on"),
        }
