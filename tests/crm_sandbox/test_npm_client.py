"""Pipedrive's own JavaScript client reads the sandbox: what it takes for Pipedrive is near enough to it."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent / "npm_client"
FOLDER = Path(__file__).parents[2] / ".vigie" / "npm-client"
MISSING = "node and npm are not on this machine, so Pipedrive's own client was not tried: apt-get install nodejs npm"


@pytest.fixture(scope="module")
def installed():
    """The folder with the client. Without node it fails where CI is set, and is left out with the reason elsewhere."""
    if not shutil.which("node") or not shutil.which("npm"):
        print(MISSING)
        pytest.fail(MISSING) if os.environ.get("CI") else pytest.skip(MISSING)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for file in SOURCE.iterdir():
        shutil.copy(file, FOLDER)
    if not (FOLDER / "node_modules" / "pipedrive").exists():
        command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"]
        subprocess.run(command, cwd=FOLDER, check=True, timeout=300)
    return FOLDER


def read(folder, url, token="sandbox-pipedrive-token"):
    command = ["node", "read.mjs", f"{url}/pipedrive", token]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def test_pipedrives_npm_client_reads_everything(installed, crms):
    done = read(installed, crms.sandbox.url)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for name in ("deals", "persons", "activities"):
        assert found[name] == [one["id"] for one in crms.all_pipedrive(name, limit=500)]
    activities = crms.all_pipedrive("activities", limit=500, include_fields="attendees")
    assert found["attendees"] == sum(len(one["attendees"]) for one in activities)
    assert found["title"] == crms.pipedrive("deals", limit=1)["data"][0]["title"]
    assert found["me"] == "boreal-solutions"


def test_pipedrives_npm_client_understands_a_refusal(installed, crms):
    done = read(installed, crms.sandbox.url, token="wrong")
    assert done.returncode != 0
    assert "401" in done.stderr
