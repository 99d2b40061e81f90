"""The role of DATABASE_URL must be bound by row level security: a system check, and a refusal at the start of web and
worker. Any other process is refused at its first connection (config/postgres/base.py)."""

import logging
from collections.abc import Sequence
from typing import Any

from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connection, connections

from config.postgres.base import DatabaseWrapper

logger = logging.getLogger(__name__)


@checks.register(checks.Tags.database)
def check_app_role(databases: Sequence[str] | None = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """Run by `manage.py check --database default`."""
    errors: list[checks.CheckMessage] = []
    for alias in databases or ():
        wrapper = connections[alias]
        assert isinstance(wrapper, DatabaseWrapper)
        if wrapper.is_owner:
            continue
        try:
            claims = wrapper.find_powers()
        except ImproperlyConfigured as error:  # the connection itself was refused
            errors.append(checks.Error(str(error), id="config.E001"))
        else:
            errors += [checks.Error(f"The app role {wrapper.app_role} {claim}.", id="config.E001") for claim in claims]
    return errors


def refuse_privileged_role() -> None:
    """Raises ImproperlyConfigured now rather than in the middle of somebody's request.

    A database that is not there yet is no reason to refuse: it is checked when it comes.
    """
    try:
        connection.ensure_connection()
    except OperationalError as error:
        logger.warning("The database does not answer yet: %s", str(error).strip())
    finally:
        connection.close()
