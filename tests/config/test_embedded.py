"""The bundled services, on the bundled PostgreSQL and on every Debian one of this machine, in folders of their own."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psycopg2
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from config import embedded
from config.embedded import EmbeddedError, Postgres, Valkey, services
from tests.conftest import DEBIAN_POSTGRES

VARIABLES = ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "SECRET_KEY", "ENCRYPTION_KEYS")
AS_ROOT = os.geteuid() == 0


@pytest.fixture(autouse=True)
def _unset_variables(monkeypatch):
    for name in (*VARIABLES, "VIGIE_POSTGRES_BIN", "VIGIE_PG_PORT", "VIGIE_VALKEY_PORT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "a folder with spaces and a name longer than any socket's path may be, " / ("é" * 60)


def ask(url: str, statement: str) -> list[tuple]:
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def pids(folder: Path) -> list[int]:
    """Of both servers and of their children."""
    leaders = [server.pid() for server in (Postgres(folder, {}, durable=False), Valkey(folder, {}))]
    return [pid for leader in leaders if leader for pid in (leader, *children(leader))]


def children(parent: int) -> list[int]:
    everybody = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    return [pid for pid in everybody if status(pid)[1:2] == [str(parent)]]


def alive(processes: list[int]) -> list[int]:
    return [pid for pid in processes if status(pid)[:1] not in ([], ["Z"])]


def status(pid: int) -> list[str]:
    """State, parent…; empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


@pytest.mark.parametrize("binaries", [None, *DEBIAN_POSTGRES], ids=lambda path: path.parent.name if path else "bundled")
def test_both_services_answer_keep_their_data_and_leave_no_process(folder, monkeypatch, binaries):
    if binaries:
        monkeypatch.setenv("VIGIE_POSTGRES_BIN", str(binaries))
    with services(folder, durable=False) as first:
        assert set(first) == set(VARIABLES)
        with redis.Redis.from_url(first["REDIS_URL"]) as client:
            assert client.ping()
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert ask(first["DATABASE_URL"], "SELECT current_user, current_database()") == [("vigie_app", "vigie")]
        ask(first["DATABASE_OWNER_URL"], "CREATE TABLE kept AS SELECT 'Zoé' COLLATE \"C\" AS name")
        paris = ask(first["DATABASE_URL"], "SELECT timestamptz '2026-07-01 00:00Z' AT TIME ZONE 'Europe/Paris'")
        assert paris[0][0].hour == 2
        running = pids(folder)
        assert len(running) > 5
    assert alive(running) == []
    with services(folder, durable=False) as second:
        assert ask(second["DATABASE_OWNER_URL"], "SELECT name FROM kept") == [("Zoé",)]
        for name in ("SECRET_KEY", "ENCRYPTION_KEYS"):
            assert second[name] == first[name]


def test_roles_are_as_small_as_can_be_and_the_folder_is_private(folder):
    with services(folder, durable=False) as environ:
        rights = "rolsuper, rolbypassrls, rolcreaterole, rolcreatedb"
        assert ask(
            environ["DATABASE_URL"], f"SELECT rolname, {rights} FROM pg_roles WHERE rolname ~ 'vigie' ORDER BY 1"
        ) == [("vigie_app", False, False, False, False), ("vigie_owner", False, False, False, True)]
        with pytest.raises(psycopg2.OperationalError, match="authentication failed"):
            psycopg2.connect(environ["DATABASE_URL"].replace("vigie_app:", "vigie_app:not-"))
        with pytest.raises(redis.AuthenticationError), _client(_port(environ["REDIS_URL"])) as client:
            client.ping()
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / "secrets.json").stat().st_mode & 0o077 == 0


def _client(port: int) -> redis.Redis:
    return redis.Redis(port=port, retry=Retry(NoBackoff(), 0))


def _port(url: str) -> int:
    return int(url.rpartition(":")[2].split("/")[0])


def test_a_taken_port_gets_one_sentence_and_leaves_nothing_running(folder, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for variable in ("VIGIE_PG_PORT", "VIGIE_VALKEY_PORT"):
            with monkeypatch.context() as patch:
                patch.setenv(variable, str(port))
                sentence = f"Port {port} is taken: stop what uses it, or choose another with {variable}."
                with pytest.raises(EmbeddedError) as refused, services(folder, durable=False):
                    pass
                assert str(refused.value) == sentence
                assert pids(folder) == []
    monkeypatch.setenv("VIGIE_PG_PORT", str(port))
    with services(folder, durable=False) as environ:
        assert _port(environ["DATABASE_URL"]) == port


def test_a_port_that_is_no_number_gets_one_sentence(folder, monkeypatch):
    monkeypatch.setenv("VIGIE_PG_PORT", "5432tcp")
    with pytest.raises(EmbeddedError, match="VIGIE_PG_PORT must be a port number, not '5432tcp'"):
        services(folder).__enter__()


def test_data_survives_a_kill_9_of_the_servers(folder):
    with services(folder, durable=True) as environ:
        ask(environ["DATABASE_OWNER_URL"], "CREATE TABLE kept AS SELECT 1 AS one")
        running = pids(folder)
        for pid in running:
            os.kill(pid, signal.SIGKILL)
        _wait_until(lambda: not alive(running))
    assert list(folder.glob("*/postmaster.pid"))
    with services(folder, durable=False) as environ:
        assert ask(environ["DATABASE_OWNER_URL"], "SELECT one FROM kept") == [(1,)]


def test_a_pid_file_that_names_a_stranger_is_stale(folder):
    with services(folder, durable=False):
        [pid_file] = folder.glob("*/postmaster.pid")
        content = pid_file.read_text().split("\n")
    pid_file.write_text("\n".join([str(os.getpid()), *content[1:]]))
    (folder / "valkey.pid").write_text(f"{os.getpid()}\n")
    with services(folder, durable=False) as environ:
        assert ask(environ["DATABASE_URL"], "SELECT 1") == [(1,)]


def test_a_half_made_data_folder_is_made_again(folder):
    half = folder / "postgresql-18.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    with services(folder, durable=False) as environ:
        assert ask(environ["DATABASE_URL"], "SELECT 1") == [(1,)]
    assert not half.exists()


def test_what_a_killed_starter_left_running_is_reused_and_stopped_at_the_end(folder):
    starter = subprocess.Popen([sys.executable, "-m", "config.embedded", "--folder", folder, "sleep", "60"])
    try:
        _wait_until(lambda: len(pids(folder)) > 5 and embedded.in_use(folder) and children(starter.pid))
        time.sleep(0.5)
        [sleep] = [pid for pid in children(starter.pid) if "sleep" in Path(f"/proc/{pid}/cmdline").read_text()]
    finally:
        starter.kill()
        starter.wait()
    os.kill(sleep, signal.SIGKILL)
    running = pids(folder)
    assert running
    assert not embedded.in_use(folder)
    with services(folder, durable=False) as environ:
        assert ask(environ["DATABASE_URL"], "SELECT 1") == [(1,)]
        assert set(pids(folder)) & set(running)
    _wait_until(lambda: not alive(running))


def _wait_until(condition, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_the_last_of_several_users_stops_the_services(folder):
    with services(folder, durable=False) as first:
        running = pids(folder)
        with services(folder, durable=False) as second:
            assert second == first
            assert embedded.in_use(folder)
        assert alive(running) == running
        assert embedded._first_unused(folder) == folder.with_name(f"{folder.name}-2")
    assert alive(running) == []
    assert embedded._first_unused(folder) == folder


def test_nothing_starts_for_variables_that_are_set(folder, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgres://elsewhere/vigie")
    with services(folder) as environ:
        assert set(environ) == {"REDIS_URL", "SECRET_KEY", "ENCRYPTION_KEYS"}
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere/0")
    monkeypatch.setenv("SECRET_KEY", "mine")
    with services(folder) as environ:
        assert set(environ) == {"ENCRYPTION_KEYS"}
        assert pids(folder) == []
    assert not list(folder.glob("postgresql*"))


def test_on_other_processors_nothing_starts_and_a_sentence_says_what_to_do(folder, monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(EmbeddedError, match="x86-64 Linux only: set DATABASE_URL, DATABASE_OWNER_URL and REDIS_URL"):
        services(folder).__enter__()


def test_missing_binaries_get_one_sentence(folder, monkeypatch):
    monkeypatch.setenv("VIGIE_POSTGRES_BIN", "/nowhere")
    with pytest.raises(EmbeddedError, match=r"There is no PostgreSQL in /nowhere \(VIGIE_POSTGRES_BIN\)"):
        services(folder).__enter__()


def run(folder: Path, *command: str) -> subprocess.Popen:
    arguments = [sys.executable, "-m", "config.embedded", "--folder", str(folder), *command]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_command_line_passes_variables_in_and_the_exit_code_out(folder):
    out, _ = (process := run(folder, "sh", "-c", 'echo "$DATABASE_URL"; exit 7')).communicate(timeout=30)
    assert process.returncode == 7
    assert out.startswith("postgres://vigie_app:")
    assert pids(folder) == []


def test_the_command_line_passes_signals_on_and_stops_the_services(folder):
    process = run(folder, "sh", "-c", 'trap "exit 9" TERM; echo ready; while :; do sleep 0.1; done')
    assert process.stdout.readline() == "ready\n"
    running = pids(folder)
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 9
    assert alive(running) == []


def test_an_unknown_command_gets_one_sentence(folder):
    _, error = (process := run(folder, "no-such-command")).communicate(timeout=30)
    assert (process.returncode, error) == (127, "vigie: no-such-command: no such command\n")


if AS_ROOT:  # an ordinary user has nothing to give up, and may not become somebody else

    def test_root_falls_back_to_nobody_and_changes_no_other_folder(folder, monkeypatch):
        with services(folder, durable=False) as environ:
            ask(environ["DATABASE_OWNER_URL"], "CREATE TABLE kept AS SELECT 1 AS one")
        above = [*folder.parents]
        before = [(path.stat().st_mode, path.stat().st_uid) for path in above]
        [data] = folder.glob("postgresql-*")
        forbidden, nobody = (0, ("false",)), embedded.WAYS_FROM_ROOT[1]
        monkeypatch.setattr(embedded, "WAYS_FROM_ROOT", (forbidden, nobody))
        with services(folder, durable=False) as environ:
            assert ask(environ["DATABASE_OWNER_URL"], "SELECT one FROM kept") == [(1,)]
            postmaster = Path(f"/proc/{pids(folder)[0]}/status").read_text()
            assert f"Uid:\t{embedded.NOBODY}\t{embedded.NOBODY}" in postmaster
        assert {path.lstat().st_uid for path in data.rglob("*")} == {embedded.NOBODY}
        monkeypatch.undo()
        assert [(path.stat().st_mode, path.stat().st_uid) for path in above] == before

    def test_root_begins_anew_as_nobody(folder, monkeypatch):
        monkeypatch.setattr(embedded, "WAYS_FROM_ROOT", embedded.WAYS_FROM_ROOT[1:])
        with services(folder, durable=False) as environ:
            assert ask(environ["DATABASE_URL"], "SELECT 1") == [(1,)]

    def test_root_without_any_way_gets_one_sentence(folder, monkeypatch):
        monkeypatch.setattr(embedded, "WAYS_FROM_ROOT", ((0, ("false",)), (0, ("no-such-program",))))
        with pytest.raises(EmbeddedError, match="does not run as root, and no other user could run it here"):
            services(folder).__enter__()
