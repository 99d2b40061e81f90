"""`{% notes_of_deal deal as notes %}`: for the page of a deal, which is of a room below and cannot ask."""

from django import template
from django.template import Context

from deals.models import Deal
from workplace.models import Note
from workplace.notes import notes_of

register = template.Library()


@register.simple_tag(takes_context=True)
def notes_of_deal(context: Context, deal: Deal) -> list[Note]:
    """One statement."""
    return notes_of(context["request"].org, [deal.pk]).get(deal.pk, [])
