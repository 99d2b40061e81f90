"""PostgreSQL with two logins: the app role for everything, the owner for `migrate` and for the set-up of tests.

The app role owns nothing, so row level security binds it. A process whose role could see past it is refused at its
first connection.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import environ
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.postgresql import base, creation

# Also what the role could become by SET ROLE. Temporary tables are the session's own business.
FIND_POWERS = """
WITH me AS (SELECT oid, rolname, rolsuper, rolbypassrls FROM pg_roles WHERE pg_has_role(current_user, oid, 'MEMBER'))
SELECT bool_or(rolsuper),
       bool_or(rolbypassrls),
       (SELECT min(c.oid::regclass::text)
          FROM pg_class c JOIN me ON me.oid = c.relowner JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'
           AND n.nspname NOT IN ('pg_catalog', 'information_schema'))
  FROM me
"""


class DatabaseCreation(creation.DatabaseCreation):
    connection: "DatabaseWrapper"

    def create_test_db(self, *args: Any, **kwargs: Any) -> str:
        with self.connection.as_owner():
            name: str = super().create_test_db(*args, **kwargs)
            self._grant_what_only_tests_may()
        return name

    def _clone_test_db(self, *args: Any, **kwargs: Any) -> None:
        with self.connection.as_owner():
            super()._clone_test_db(*args, **kwargs)  # type: ignore[misc]  # the stubs leave it out

    def _destroy_test_db(self, test_database_name: str, *args: Any, **kwargs: Any) -> None:
        # A process that a test has killed may leave a session behind for a while. Only its own role may end it.
        with self._nodb_cursor() as cursor:  # type: ignore[attr-defined]
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = %s AND usename = current_user AND pid <> pg_backend_pid()",
                [test_database_name],
            )
        with self.connection.as_owner():
            super()._destroy_test_db(test_database_name, *args, **kwargs)  # type: ignore[misc]

    def _grant_what_only_tests_may(self) -> None:
        """Emptying tables between tests. TRUNCATE ignores row level security: never granted outside a test database."""
        app = self.connection.ops.quote_name(self.connection.app_role)
        with self.connection.cursor() as cursor:
            cursor.execute(f"GRANT TRUNCATE ON ALL TABLES IN SCHEMA public TO {app}")
            cursor.execute(f"GRANT UPDATE ON ALL SEQUENCES IN SCHEMA public TO {app}")


class DatabaseWrapper(base.DatabaseWrapper):
    creation_class = DatabaseCreation
    creation: DatabaseCreation

    _checked: set[tuple[str, str, str]] = set()  # logins that this process has found powerless: (host, database, role)

    @property
    def is_owner(self) -> bool:
        return "APP_LOGIN" in self.settings_dict

    @property
    def app_role(self) -> str:
        """The name of the role of DATABASE_URL, also inside `as_owner()`."""
        return str(self.settings_dict.get("APP_LOGIN", self.settings_dict)["USER"])

    @contextmanager
    def as_owner(self) -> Iterator[None]:
        """Log in as the owner of the tables (DATABASE_OWNER_URL) until the block ends.

        Closes the connection on both sides, so never inside a transaction. Not thread-safe: every thread shares the
        credentials. For management commands and the set-up of tests only. ImproperlyConfigured without the variable.
        """
        if self.is_owner:
            yield
            return
        if not settings.DATABASE_OWNER_URL:
            raise ImproperlyConfigured(
                "DATABASE_OWNER_URL is not set: the role that owns the tables is needed to migrate and to set up tests."
            )
        login = ("USER", "PASSWORD", "HOST", "PORT")
        app = {key: self.settings_dict[key] for key in login}
        owner = environ.Env.db_url_config(settings.DATABASE_OWNER_URL)
        self.close()
        self.settings_dict.update({key: owner[key] for key in login}, APP_LOGIN=app)
        try:
            yield
        finally:
            self.close()
            self.settings_dict.update(self.settings_dict.pop("APP_LOGIN"))

    def connect(self) -> None:
        super().connect()
        login = (self.settings_dict["HOST"], self.settings_dict["NAME"] or "postgres", self.settings_dict["USER"])
        if self.is_owner or login in self._checked:
            return
        if powers := self.find_powers():
            self.close()
            raise ImproperlyConfigured(
                f"The role {login[2]} of DATABASE_URL {powers[0]}, so it could see every organisation's data: "
                "give it a role that owns nothing, and the owner's login to DATABASE_OWNER_URL."
            )
        self._checked.add(login)

    def find_powers(self) -> list[str]:
        """What lets the connected role see past row level security, in words; empty, as it must be."""
        with self.cursor() as cursor:
            cursor.execute(FIND_POWERS)
            superuser, bypasses, table = cursor.fetchone()
        claims = {
            "is a superuser": superuser,
            "may bypass row level security": bypasses,
            f"owns the table {table}": table,
        }
        return [claim for claim, true in claims.items() if true]
