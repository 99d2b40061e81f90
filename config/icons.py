"""One sprite of the icons in use, from the `lucide` package: built once per process, served under its content hash."""

import hashlib
from functools import cache

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import cache_control
from django.views.decorators.gzip import gzip_page
from lucide.templatetags.lucide import lucide

ICONS = frozenset(
    """
    alarm-clock arrow-down arrow-down-up arrow-left arrow-up badge-euro ban banknote bell bookmark building-2
    calendar-check calendar-clock calendar-x-2 chart-column chevron-down chevron-left chevron-right circle-alert
    circle-check circle-dashed circle-question-mark coins crown download ellipsis external-link flag history hourglass
    id-card info keyboard languages layout-list list-checks lock log-out mail message-square milestone monitor moon
    pencil phone phone-missed phone-off plug plus presentation printer refresh-cw search sun thumbs-down thumbs-up
    trash-2 triangle-alert trophy unplug upload user-round user-star users x
    """.split()  # noqa: SIM905
)


@cache
def sprite() -> bytes:
    """An SVG with one symbol an icon; a name that lucide does not know raises."""
    symbols = (f'<symbol id="{name}" viewBox="0 0 24 24">{_paths(name)}</symbol>' for name in sorted(ICONS))
    return f'<svg xmlns="http://www.w3.org/2000/svg">{"".join(symbols)}</svg>'.encode()


def _paths(name: str) -> str:
    """What is inside lucide's <svg>, on one line."""
    inside = lucide(name).partition(">")[2].removesuffix("</svg>")
    return "".join(line.strip() for line in inside.splitlines())


@cache
def digest() -> str:
    return hashlib.sha256(sprite()).hexdigest()[:12]


@login_not_required
@cache_control(public=True, max_age=31_536_000, immutable=True)
@gzip_page
def icons(request: HttpRequest, version: str) -> HttpResponse:
    return HttpResponse(sprite(), content_type="image/svg+xml")
