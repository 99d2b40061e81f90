"""Public connectors, where installed, against the same sandbox in the same run as Vigie's first synchronisation.

They live in an environment of their own, named by VIGIE_CONNECTORS (a virtual environment's folder; without it, the
interpreter of the bench is asked): tap-pipedrive by pip, dlt by pip and its Pipedrive source by `dlt init pipedrive
filesystem`, whose folder `pipedrive` lies on that environment's path.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import requests

from bench.dataset import Dataset
from bench.measure import report
from bench.sync import DEALS, SEED

HERE = Path(__file__).parent
START = "2010-01-01T00:00:00Z"
CONNECTORS = {"tap_pipedrive": "tap_pipedrive", "dlt_pipedrive": "pipedrive.helpers.pages"}
PATIENCE = 3600  # seconds that one of them may take


def public_connectors(data: Dataset) -> None:
    """Vigie's records/s of a first synchronisation into Postgres; the floor is theirs, into nothing or into files."""
    command = [sys.executable, "-m", "crm_sandbox", "--port=0", "--burst=1000000"]
    command += [f"--deals={DEALS[data.size.name]}", f"--seed={SEED}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sandbox:
        try:
            assert sandbox.stdout is not None
            address = sandbox.stdout.readline().split()[-1]
            url = f"{address}/pipedrive"
            found = {name: figures for name in CONNECTORS if (figures := measure(name, url))}
            if not found:
                return
            environ = os.environ | {"PIPEDRIVE_API_URL": url, "SANDBOX": address}
            child = [sys.executable, "-m", "bench.sync", "pipedrive"]
            done = subprocess.run(child, env=environ, stdout=subprocess.PIPE, text=True, check=True)
            ours = json.loads(done.stdout.splitlines()[-1])
        finally:
            sandbox.terminate()
    for name, theirs in found.items():
        more = {
            "records": sum(ours["streams"].values()),
            "their_records": theirs["records"],
            "load": os.getloadavg()[0],
        }
        floor = theirs["records"] / theirs["seconds"]
        report(f"sync_first_against_{name}", ours["value"], "records/s", floor, goal=("ratio", "≥", 2), **more)


def measure(name: str, url: str) -> dict[str, float] | None:
    """`records` and `seconds` of one of them; None, and a line that says so, when it is not installed."""
    home = os.environ.get("VIGIE_CONNECTORS")
    python = str(Path(home) / "bin" / "python") if home else sys.executable
    # Elsewhere than here: a folder of the project is no package of theirs.
    with tempfile.TemporaryDirectory() as folder:
        probe = subprocess.run(
            [python, "-c", f"import {CONNECTORS[name]}"], cwd=folder, capture_output=True, check=False
        )
        if probe.returncode:
            print(json.dumps({"name": f"sync_first_against_{name}", "skipped": f"not installed for {python}"}))  # noqa: T201
            return None
        warm_up(url)
        script = [python, str(HERE / f"read_{name}.py"), url, START if name == "tap_pipedrive" else folder]
        done = subprocess.run(script, cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE)
        if done.returncode:
            raise RuntimeError(f"{name} failed: {done.stderr[-2000:]}")
        figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return figures


def warm_up(url: str) -> None:
    """The sandbox writes each row of v1 once and keeps it: that is no time of a connector's."""
    session = requests.Session()
    query: dict[str, str | int] = {
        "api_token": "sandbox-pipedrive-token",
        "since_timestamp": "1970-01-01 00:00:00",
        "limit": 500,
    }
    more = True
    while more:
        answer = session.get(f"{url}/v1/recents", params=query, timeout=60).json()
        paging = answer["additional_data"]["pagination"]
        more, query["start"] = paging["more_items_in_collection"], paging.get("next_start", 0)
