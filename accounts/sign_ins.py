"""Where somebody is logged in: one row a session, for the list in their profile."""

import re
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import SignIn, User

EVERY = timedelta(minutes=5)  # how exactly "last seen" is kept: a page writes nothing in between
KEY = "seen"

# The first that is found: most browsers also claim to be others.
BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Firefox|FxiOS", "Firefox"),
    ("Chrome|CriOS", "Chrome"),
    ("Safari", "Safari"),
)
SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X|Macintosh", "Mac"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def device_in_words(agent: str) -> str:
    """ "Firefox on Windows", from a User-Agent header."""
    browser, system = (
        next((name for part, name in known if re.search(part, agent)), "") for known in (BROWSERS, SYSTEMS)
    )
    if browser and system:
        return _("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    return browser or system or _("Unknown device")


def see(request: HttpRequest) -> None:
    """Keep "last seen", for a user who is logged in; the first page of a session begins its row."""
    now = timezone.now()
    if now.timestamp() - request.session.get(KEY, 0) >= EVERY.total_seconds():
        assert isinstance(request.user, User)
        note(request, request.user, now)


def note(request: HttpRequest, user: User, now: datetime) -> None:
    """Say of a session, which may have got another key just now, that its user is there."""
    request.session[KEY] = int(now.timestamp())
    key = request.session.session_key
    assert key is not None
    device = request.headers.get("User-Agent", "")[:300]
    mine = SignIn.objects.filter(session=key, user=user)
    if not mine.update(seen_at=now, device=device):
        try:
            with transaction.atomic():
                SignIn.objects.create(session_id=key, user=user, device=device, began_at=now, seen_at=now)
        except IntegrityError:  # two pages at once, or the session has just been ended elsewhere
            pass
