from django.db.models import Case, Expression, F, TextField, Value, When
from django.db.models.functions import Greatest
from django.utils.translation import gettext_lazy as _

from alerts.rules.base import Dated, Family, Number, Rule, Settings, days, never_read, not_before_life, text
from deals.clock import Clock


class SingleContact(Rule):
    """All exchanges are with one and the same person. The streak is a fact of the deal (deals.summaries)."""

    kind, bit, family, icon = "single_contact", 2, Family.ACTIVITY, "user-round"
    title = _("One contact only")
    description = _("Every interaction is with the same person.")
    action = _("Ask who else decides, and bring a second person into the conversation.")
    parameters = {
        "days": days(10),
        "minimum": Number(_("Minimum interactions"), default=2, min=1, max=10, unit=_("interactions")),
    }

    meaning = """
    Fires when all recent exchanges are with one and the same person. The streak: going back from the newest
    interaction, as long as the external people engaged are exactly that one person. It fires on the later of
    - the day of the oldest interaction of the streak plus the limit, and
    - the day on which the streak reached the minimum number of interactions.

    What makes a streak:
    - An interaction with a second engaged person ends it, also when the first took part. People in copy and invitees
      who declined are not engaged: they end nothing.
    - An interaction that engages nobody neither ends nor lengthens it. Interactions at the very same time count as
      one.
    - The same person is one contact after merges, and all contacts that share an address.
    - Creation and reopening do not cut it, but no day before the creation counts, and it never holds since before the
      last reopening.
    """
    facts = {
        "person": "the one person",
        "since": "the day of the oldest interaction of the streak",
        "count": "how many interactions the streak has",
        "minimum": "how many it needs",
        "enough_on": "the day on which it had that many",
        "reopened_on": "the day of the last reopening, if any",
    }
    clear = """
    While the streak is shorter than the minimum (also when the newest interaction engages several people, or when
    there is no interaction at all), or younger than the limit.
    """
    reasons = {"mail_unread": "the e-mails of the deal have not been read yet: one of them may engage a second person"}
    false_alarms = """
    - The company is one person, or one person decides and says so.
    - Others take part without being recorded: in copy only, on a call logged with one contact, in the same room.
    - Two people share one mailbox (info@…): they are taken for one.
    """
    departures = """
    - It needs two interactions: one e-mail is no pattern.
    - It looks at the streak up to now, not at all interactions since the creation: a second person a year ago does
      not help today.
    """

    def fires_on(self, settings: Settings, clock: Clock, subject: str) -> Dated:
        oldest = Greatest(F("streak_on__0"), F("created_on"))
        enough = F(f"streak_on__{settings['minimum'] - 1}")
        return Case(
            When(never_read("mail"), then=Value(None)),
            When(
                streak_count__gte=settings["minimum"],
                then=not_before_life(clock.after(oldest, settings["days"]), enough),
            ),
        )

    def unknown(self, settings: Settings, clock: Clock, subject: str) -> Expression:
        return Case(When(never_read("mail"), then=text("mail_unread")), output_field=TextField())

    def evidence(self, settings: Settings, subject: str) -> dict[str, Dated]:
        return {
            "person": F("streak_person_id"),
            "since": F("streak_on__0"),
            "count": F("streak_count"),
            "minimum": Value(settings["minimum"]),
            "enough_on": F(f"streak_on__{settings['minimum'] - 1}"),
            "reopened_on": F("reopened_on"),
        }
