"""Every address that holds an id, asked for another organisation's: as if it were unknown."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.urls import URLPattern, get_resolver

from accounts.models import Membership, SignIn, User
from alerts.models import Run, SavedView
from crm_sync.models import Connection
from deals import teams
from deals.models import Deal
from tests.pages import log_in, world_now
from tests.world import World
from workplace.models import Invitation, Note, Review

pytestmark = pytest.mark.django_db
METHODS = ("get", "post", "put", "patch", "delete")


def addresses(patterns: Any, prefix: str = "") -> Iterator[str]:
    """As the URL configuration has them."""
    for pattern in patterns:
        here = prefix + str(pattern.pattern)
        if isinstance(pattern, URLPattern):
            yield here
        else:
            yield from addresses(pattern.url_patterns, here)


NUMBERED = [address for address in addresses(get_resolver().url_patterns) if "<int:" in address]


def inhabited() -> World:
    """An organisation with versions of its settings and one of everything that an address may name."""
    w = world_now()
    w.first_synced()
    w.deal()
    w.configure(no_activity={"days": 3})
    return w


def named(w: World) -> dict[str, int]:
    """An id for the last word before it in an address. A new kind of address needs a line here."""
    with w.inside():
        mine = {"organisation": w.organisation}
        run = Run.objects.create(**mine, cause=Run.Cause.DAILY, key="x", started_at=w.clock.now)
        user = User.objects.create_user(f"{w.organisation.pk}@elsewhere.example")
        session = Session.objects.create(session_key=f"{w.organisation.pk:032}", expire_date=w.clock.now)
        link = Connection.objects.create(**mine, source=w.source, provider="hubspot", connected_at=w.clock.now)
        return {
            "deals": w.stored().pk,
            "runs": run.pk,
            "progress": run.pk,
            "teams": teams.create(w.organisation, "Nord").pk,
            "crm": link.pk,
            "members": Membership.objects.create(**mine, user=user).pk,
            "invitations": Invitation.objects.create(
                **mine, email="x@y.example", invited_at=w.clock.now, expires_at=w.clock.now
            ).pk,
            "owners": w.organisation.colleagues.get().pk,
            "sessions": SignIn.objects.create(user=user, session=session, began_at=w.clock.now, seen_at=w.clock.now).pk,
            "views": SavedView.objects.create(**mine, user=user, name="x", shared=True, created_at=w.clock.now).pk,
            "review": Review.objects.create(**mine, began_at=w.clock.now).pk,
            "notes": Note.objects.create(**mine, deal=w.stored(), text="x", written_at=w.clock.now).pk,
            # Every organisation counts its own: 2 is a version that only the other one has.
            "versions": 2,
        }


def plain(answer: Any) -> tuple[int, str]:
    """An answer without the token that differs each time."""
    return answer.status_code, re.sub(r'value="[A-Za-z0-9]{64}"', "", answer.content.decode())


@pytest.mark.parametrize("address", NUMBERED)
def test_another_organisations_id_is_answered_as_an_unknown_one(address: str) -> None:
    """By every method: 404 with the same body, or that the method does not exist."""
    mine, other = inhabited(), inhabited()
    other.configure(no_activity={"days": 4})
    [before] = re.findall(r"(\w+)/<int:\w+>", address)
    client = log_in(mine)
    paths = ["/" + re.sub(r"<int:\w+>", str(n), address) for n in (named(other)[before], 10**15, 10**30)]
    statuses = set()
    for method in METHODS:
        body = {"based_on": 1, "name": "x"}
        answers = [getattr(client, method)(path, body, content_type="application/json") for path in paths]
        theirs, unknown, huge = map(plain, answers)
        assert theirs == unknown == huge
        statuses.add(theirs[0])
    assert 404 in statuses <= {404, 405}
    with other.inside():
        assert Deal.objects.count() == 1


def test_the_walk_finds_pages_and_api() -> None:
    assert {"deals/<int:pk>/", "api/v1/deals/<int:pk>/verdicts/", "settings/crm/<int:pk>/disconnect/"} <= set(NUMBERED)
