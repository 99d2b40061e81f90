"""Tags and filters of the templates: icons, and values in the reader's language.

Dates and distances in time need `clock` in the context (the context processor puts it there for a member).
"""

from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from django import template
from django.template import Context
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from alerts import amounts, formats
from config.icons import ICONS, digest

register = template.Library()


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """An icon of the sprite; decorative unless it has a label."""
    return _icon(name, label)


@lru_cache(maxsize=256)
def _icon(name: str, label: str) -> SafeString:
    if name not in ICONS:
        raise template.TemplateSyntaxError(f"Icon {name!r} is not in config.icons.ICONS.")
    spoken = format_html('role="img" aria-label="{}"', label) if label else SafeString('aria-hidden="true"')
    href = reverse("icons", args=[digest()])
    return format_html('<svg class="icon" {}><use href="{}#{}"/></svg>', spoken, href, name)


@register.filter
def money(amount: Decimal | None, currency: str) -> str:
    return "" if amount is None else formats.money(amount, currency)


@register.simple_tag(takes_context=True)
def converted(context: Context, deal: Any) -> str:
    """What the amount of an open deal in another currency is about worth; empty for one in the organisation's."""
    return amounts.converted(deal, context["org"].currency)


@register.filter
def about(amount: Decimal, currency: str) -> str:
    """A converted amount."""
    return formats.about(amount, currency)


@register.filter
def rate(value: Decimal) -> str:
    return formats.rate(value)


@register.filter
def number(value: Decimal | int) -> str:
    return formats.number(value)


@register.simple_tag(takes_context=True)
def day(context: Context, value: date | None) -> str:
    return formats.day(value, context["clock"].today) if value else ""


@register.simple_tag(takes_context=True)
def moment(context: Context, value: datetime | None) -> str:
    clock = context["clock"]
    return formats.moment(value, context.get("zone") or clock.zone, clock.today) if value else ""


@register.simple_tag(takes_context=True)
def day_of(context: Context, value: datetime) -> date:
    """The organisation's calendar day of a moment."""
    return value.astimezone(context["clock"].zone).date()


@register.simple_tag(takes_context=True)
def ago(context: Context, value: date | datetime | None) -> str:
    """Distance in local days for a date, down to minutes for a moment."""
    clock = context["clock"]
    if value is None:
        return ""
    if isinstance(value, datetime):
        return formats.time_apart(value, clock.now)
    return formats.days_apart(value, clock.today)


@register.filter
def initials(name: Any) -> str:
    return formats.initials(str(name))


@register.filter
def tone(pk: int | None) -> int:
    return formats.tone(pk)
