"""What people write about a deal in a review, and read on its page."""

from collections.abc import Collection

from django.core.exceptions import ValidationError
from django.db.models import F, Window
from django.db.models.functions import RowNumber
from django.utils.translation import gettext as _

from accounts.models import Organisation, User
from alerts import formats
from deals.clock import Clock
from deals.models import Deal
from workplace.models import Note

LONGEST = 5_000  # characters
OF_A_DEAL = 200


def of_deal(organisation: Organisation, deal: int) -> list[Note]:
    """The newest first, at most OF_A_DEAL. One statement."""
    notes = organisation.notes.filter(deal=deal).select_related("written_by")
    return list(notes.order_by("-written_at", "-pk")[:OF_A_DEAL])


def of_deals(organisation: Organisation, deals: Collection[int], newest: int) -> dict[int, list[Note]]:
    """By deal, the newest first and at most `newest` of each. One statement."""
    place = Window(RowNumber(), partition_by=F("deal"), order_by=[F("written_at").desc(), F("pk").desc()])
    notes = organisation.notes.filter(deal__in=deals).annotate(place=place).filter(place__lte=newest)
    found: dict[int, list[Note]] = {}
    for note in notes.select_related("written_by").order_by("place"):
        found.setdefault(note.deal_id, []).append(note)
    return found


def write(deal: Deal, text: str, user: User, clock: Clock) -> Note:
    """Raises ValidationError with a sentence for who wrote it."""
    cleaned = text.replace("\x00", "").replace("\r\n", "\n").strip()
    if not cleaned:
        raise ValidationError(_("Write something first."))
    if len(cleaned) > LONGEST:
        sentence = _("The note has %(count)s characters; at most %(most)s fit.")
        raise ValidationError(sentence % {"count": formats.number(len(cleaned)), "most": formats.number(LONGEST)})
    return Note.objects.create(
        organisation_id=deal.organisation_id, deal=deal, text=cleaned, written_by=user, written_at=clock.now
    )
