from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import connections

from config.postgres.base import DatabaseWrapper


class Command(migrate.Command):
    help = f"{migrate.Command.help} Runs as the owner of the tables (DATABASE_OWNER_URL)."

    def handle(self, *args: Any, **options: Any) -> None:
        connection = connections[options["database"]]
        assert isinstance(connection, DatabaseWrapper)
        try:
            with connection.as_owner():
                self._grant_to_app(connection)
                super().handle(*args, **options)
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error

    def _grant_to_app(self, connection: DatabaseWrapper) -> None:
        """The app role reads and writes rows of each new table; a migration may take that back from one."""
        app = connection.ops.quote_name(connection.app_role)
        alter = "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT"
        with connection.cursor() as cursor:
            cursor.execute(f"{alter} SELECT, INSERT, UPDATE, DELETE ON TABLES TO {app}")
            if connection.pg_version >= 170000:  # to refresh the planner's statistics after a bulk load
                cursor.execute(f"{alter} MAINTAIN ON TABLES TO {app}")
            cursor.execute(f"{alter} USAGE, SELECT ON SEQUENCES TO {app}")
