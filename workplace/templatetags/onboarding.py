"""`{% set_up as progress %}`: for pages of the rooms below, which cannot ask."""

from django import template
from django.template import Context

from workplace import onboarding

register = template.Library()


@register.simple_tag(takes_context=True)
def set_up(context: Context) -> onboarding.Progress | None:
    """How far the set-up has come, for admins while something is open. One statement, none once it is over."""
    request = context["request"]
    if not request.membership.is_admin or request.session.get("set_up") == request.org.pk:
        return None
    progress = onboarding.progress(request.org)
    if progress.over:
        request.session["set_up"] = request.org.pk
        return None
    return progress
