"""The short form of `make faults`: services and processes of its own, killed with SIGKILL; the oracle afterwards."""

import json
import os
import subprocess
import sys

from config.embedded import ROOT

OURS = ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "SECRET_KEY", "ENCRYPTION_KEYS")


def test_after_the_death_of_valkey_and_of_the_web_server_the_oracle_holds() -> None:
    embedded = [sys.executable, "-m", "config.embedded", "--folder", ".vigie/test-faults", "--durable"]
    rounds = ["-m", "tests.faults", "--folder=.vigie/test-faults", "--rounds=2", "--only=valkey,web", "--ring"]
    few = ["--crms=hubspot", "--faults=cut,late", "--deals=30", "--changes=60"]
    environ = {name: value for name, value in os.environ.items() if name not in OURS}
    command = [*embedded, sys.executable, *rounds, *few]
    run = subprocess.run(command, env=environ, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr
    *lines, summary = run.stdout.splitlines()
    assert json.loads(summary)["rounds"] == len(lines) == 2
    assert all("differences: none" in line and " 0 acknowledged" not in line for line in lines)
