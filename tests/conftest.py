"""The suite runs on real services: `make test`, or `python -m config.embedded pytest …` for some of it.

It is logged in as the app role, as the product is. The test database is made by the owner (config/postgres/base.py).
Three processes share the files of tests, each with a database of its own in PostgreSQL and in Valkey: two left two
cores idle a fifth of the time.
"""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import redis
from django.apps import apps
from django.conf import settings
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.core.management import call_command
from django.db import connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.test import TransactionTestCase
from django.utils import translation

from crm_sync.providers import http

# The same examples each time, however busy the machine: a test that fails must fail again.
hypothesis.settings.register_profile(
    "vigie", derandomize=True, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("vigie")

if process := os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw"):
    # The environment is for the web servers and workers that a test starts.
    os.environ["REDIS_URL"] = f"{settings.REDIS_URL.rpartition('/')[0]}/{int(process) + 1}"
    settings.REDIS_URL = settings.CELERY_BROKER_URL = os.environ["REDIS_URL"]

# Each test client loads the middleware anew, and WhiteNoise would list all static files each time (40 ms).
settings.WHITENOISE_AUTOREFRESH = True

# A CRM that is down is asked again after a twentieth of a second. tests/crm_sync/test_http.py waits as long as is real.
http.PAUSE /= 10
# A hash of a test's password need not withstand anybody; a real one takes a tenth of a second.
Argon2PasswordHasher.time_cost, Argon2PasswordHasher.memory_cost, Argon2PasswordHasher.parallelism = 1, 8, 1

DEBIAN_POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take minutes go first, so that no process is still at one when the others have ended."""
    items.sort(key=lambda item: item.path.parent != Path(__file__).parent)


def pytest_report_header() -> str:
    found = ", ".join(map(str, DEBIAN_POSTGRES))
    return f"second PostgreSQL: {found or 'none in /usr/lib/postgresql, so the bundled one only (apt: postgresql)'}"


@pytest.fixture(autouse=True, scope="session")
def _static_files() -> None:
    """Pages name their files by hash, so the manifest must be there; `make test` keeps it up to date."""
    if not (settings.STATIC_ROOT / "staticfiles.json").exists():
        call_command("collectstatic", interactive=False, verbosity=0)


@pytest.fixture(autouse=True, scope="session")
def _no_old_budgets() -> None:
    """What earlier runs have left of connections that had the same ids in their databases."""
    client = redis.Redis.from_url(settings.REDIS_URL)
    for key in client.scan_iter("vigie:budget:*"):
        client.delete(key)


KEPT = {"django_content_type", "auth_permission"}  # rows of Django's own set-up
LARGE = 256 << 10  # bytes of the largest table, dead rows included, from which TRUNCATE is quicker
_truncate_tables = TransactionTestCase._fixture_teardown


def _empty_tables(case: TransactionTestCase) -> None:
    """After a test that commits: DELETE, a twentieth of the time of TRUNCATE where few of sixty tables have a few rows.

    One organisation at a time, as row level security wants it; what belongs to none comes last.
    """
    from accounts.models import Organisation
    from accounts.tenancy import TenantModel, tenant

    models = [model for model in reversed(list(apps.get_models(include_auto_created=True))) if model._meta.managed]
    walled = [model._meta.db_table for model in models if issubclass(model, TenantModel)]
    others = [model._meta.db_table for model in models if not issubclass(model, TenantModel)]
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(pg_relation_size(format('%%I', t)::regclass)) FROM unnest(%s) t", [walled])
        if cursor.fetchone()[0] > LARGE:
            return _truncate_tables(case)
        with transaction.atomic():
            for organisation in Organisation.objects.order_by("pk"):
                with tenant(organisation):
                    cursor.execute("; ".join(f"DELETE FROM {table}" for table in walled))
            cursor.execute("; ".join(f"DELETE FROM {table}" for table in others if table not in KEPT))


TransactionTestCase._fixture_teardown = _empty_tables


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The temporary tables of `deals.copy` live as long as a database session. Tests that are rolled back would make
    them again each time, a quarter of what they take; so each session of this thread begins with them."""
    from tests.world import World

    tables: list[str] = []

    def remember(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith("CREATE TEMP TABLE"):
            tables.append(sql)
        return execute(sql, *rest)

    def make(connection: BaseDatabaseWrapper, **_: Any) -> None:
        if threading.current_thread() is threading.main_thread() and connection.settings_dict == ours:
            with connection.cursor() as cursor:
                cursor.execute("; ".join(tables))

    with django_db_blocker.unblock():
        with transaction.atomic(), connection.execute_wrapper(remember):
            world = World()
            world.contact("ana")
            world.deal()
            world.activity("call", 3, "ana")
            transaction.set_rollback(True)
        ours = dict(connection.settings_dict)
        make(connection)
    connection_created.connect(make)
    yield
    connection_created.disconnect(make)


@pytest.fixture(autouse=True)
def _own_language() -> Iterator[None]:
    """A page that a test asked for leaves its reader's language behind in the thread."""
    yield
    translation.deactivate()
