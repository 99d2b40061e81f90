"""People who open pages: members of a World's organisation, each with a client that is logged in."""

from datetime import UTC, datetime

from django.test import Client

from accounts.models import Membership, User
from tests.world import World

PASSWORD = "correct horse battery"


def world_now() -> World:
    """A world whose today is the machine's: what the pages take for now."""
    return World(now=datetime.now(UTC))


def log_in(world: World, role: str = "admin", email: str = "ana@vigie.example", language: str = "en") -> Client:
    user = User.objects.filter(email=email).first() or User.objects.create_user(email, name="Ana Ruiz")
    Membership.objects.get_or_create(user=user, organisation=world.organisation, defaults={"role": role})
    client = Client(headers={"accept-language": language})
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    client.get("/healthz")  # the first page of a session notes where it is from; the next ones cost what they cost
    return client


def scripted(world: World, **options: str) -> Client:
    """A browser that runs the script."""
    client = log_in(world, **options)
    client.cookies["script"] = "1"
    return client
