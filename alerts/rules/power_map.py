from django.db.models import Case, Expression, F, Q, TextField, Value, When
from django.db.models.lookups import LessThanOrEqual
from django.utils.translation import gettext_lazy as _

from alerts.rules.base import Choice, Dated, Family, Number, Rule, Settings, never_read, not_before_life, text
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

    meaning = """
    Fires when the close date is at most the limit away, overdue included, and nobody engaged over the whole life of
    the deal has the chosen level or a higher one: C-level, above VP, above Director. Judged in this order:
    1. somebody engaged has the level: clear;
    2. no close date: not evaluable;
    3. the close date is farther away than the limit: clear;
    4. nobody was ever engaged: fires;
    5. none of the engaged has a job title: not evaluable;
    6. else it fires, and says how many of them have no title.

    Details:
    - It holds since the limit before the close date, but never since before the creation or the last reopening.
    - Being on the deal is not enough, nor is being in copy: the person must be [engaged](#words).
    - A person has the highest level of all its contacts' [job titles](#levels-of-job-titles). An admin can correct
      any exact title; the correction wins, and the rule that read the title is stored and shown.
    """
    facts = {
        "close_on": "the close date",
        "level": "the level expected (1 Director, 2 VP, 3 C-level)",
        "top_level": "the highest level among the engaged; none if nobody has a title",
        "engaged": "how many people were ever engaged",
        "untitled": "how many of them have no job title",
        "reopened_on": "the day of the last reopening, if any",
    }
    clear = """
    When somebody of the level was engaged, however long ago: then it cannot fire. Or when the close date is farther
    away than the limit: it would fire when it is that near.
    """
    reasons = {
        "no_close_date": "the deal has no close date, and nobody of the level was engaged",
        "mail_unread": "the close date is near, and the e-mails of the deal, which may engage somebody, are unread",
        "no_titles": "the close date is near, and none of the people engaged has a job title",
    }
    false_alarms = """
    - The title in the CRM is missing, out of date, or says less than the person decides; a small purchase that a
      buyer may sign. Correct the title, or choose another level for that pipeline.
    - The decision maker was met and not recorded, or only put in copy.
    - The close date is a placeholder.
    """
    departures = """
    - It goes on firing when the close date has passed: the risk has not gone, it has come true.
    - Titles are read as a person would, not as a substring: "Assistant to the CEO" and "Account Director" have no
      level, nor has "chef de projet"; directeur général, managing director and DG are C-level; a bare Vice President
      is VP.
    """

    def fires_on(self, settings: Settings, clock: Clock, subject: str) -> Dated:
        return Case(
            When(top_level__gte=settings["level"], then=Value(None)),
            When(engaged_count__gt=0, titled_count=0, then=Value(None)),
            When(self._near(settings, clock) & never_read("mail"), then=Value(None)),
            When(close_on__isnull=False, then=not_before_life(clock.before(F("close_on"), settings["days"]))),
        )

    @staticmethod
    def _near(settings: Settings, clock: Clock) -> Q:
        return Q(LessThanOrEqual(clock.before(F("close_on"), settings["days"]), Value(clock.today)))

    def unknown(self, settings: Settings, clock: Clock, subject: str) -> Expression:
        near = self._near(settings, clock)
        return Case(
            When(top_level__gte=settings["level"], then=Value(None)),
            When(close_on__isnull=True, then=text("no_close_date")),
            When(near & never_read("mail"), then=text("mail_unread")),
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
            "reopened_on": F("reopened_on"),
        }
