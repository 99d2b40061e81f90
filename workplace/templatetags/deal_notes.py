"""`{% notes_of_deal deal as notes %}`: for the page of a deal, which is of a room below and cannot ask."""

from django import template
from django.template import Context

from deals.models import Deal
from workplace.models import Note
from workplace.notes import of_deal

register = template.Library()


@register.simple_tag(takes_context=True)
def notes_of_deal(context: Context, deal: Deal) -> list[Note]:
    """One statement."""
    return of_deal(context["request"].org, deal.pk)
