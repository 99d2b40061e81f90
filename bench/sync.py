"""A first synchronisation from the sandbox's HTTP into an empty database, in a process of its own."""

import json
import logging
import os
import re
import resource
import subprocess
import sys
from math import ceil
from typing import Any

import requests
from django.db import connection

from accounts.models import Organisation
from accounts.tenancy import tenant
from bench.dataset import Dataset
from bench.measure import report, seconds
from crm_sync import sync
from crm_sync.models import Connection, SyncRun

DEALS = {"tiny": 300, "default": 10_000, "full": 40_000}
SEED = 7


def sync_first(data: Dataset) -> None:
    """Records per second of both CRMs' streams; the floor is the reading and mapping alone, without a database."""
    command = [
        sys.executable,
        "-m",
        "crm_sandbox",
        "--port=0",
        f"--deals={DEALS[data.size.name]}",
        f"--seed={SEED}",
        "--burst=1000000",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sandbox:
        try:
            assert sandbox.stdout is not None
            address = sandbox.stdout.readline().split()[-1]
            for provider in ("pipedrive", "hubspot"):
                environ = os.environ | {f"{provider.upper()}_API_URL": f"{address}/{provider}", "SANDBOX": address}
                child = [sys.executable, "-m", "bench.sync", provider]
                done = subprocess.run(child, env=environ, stdout=subprocess.PIPE, text=True, check=True)
                figures = json.loads(done.stdout.splitlines()[-1])
                calls, fewest = figures.pop("calls"), figures.pop("fewest_calls")
                report(f"api_calls_{provider}", calls, "requests", fewest, goal=("ratio", "≤", 1.02))
                report(f"sync_first_{provider}", unit="records/s", goal=("value", "≥", 8000), **figures)
        finally:
            sandbox.terminate()


def read_all(name: str, run: SyncRun) -> None:
    """Every page of every stream, mapped and thrown away."""
    with tenant(run.organisation_id):
        provider = sync.provider_of(Connection.objects.select_related("source").get())
    for stream in provider.streams:
        page = provider.read(stream, None, None, run.until)
        while page.cursor:
            page = provider.read(stream, page.cursor, None, run.until)


def synchronise(name: str) -> None:
    """Print as JSON: records/s, floor, peak memory of this process in MB, records per stream."""
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        organisation = Organisation.objects.create(name="Bench")
        with tenant(organisation):
            link = sync.connect(organisation, name, f"sandbox-{name}-token")
        requests.delete(f"{os.environ['SANDBOX']}/control/requests", timeout=10)
        taken, _ = seconds(lambda: sync.pull(link))
        asked = requests.get(f"{os.environ['SANDBOX']}/control/requests", timeout=60).json()
        rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        with tenant(organisation):
            run = SyncRun.objects.get()
            assert run.finished_at, run.problem
            streams = {stream.stream: stream.records for stream in run.streams.all()}
        floor, _ = seconds(lambda: read_all(name, run))
    finally:
        connection.creation.destroy_test_db("", verbosity=0)
    records = sum(streams.values())
    figures = {"value": records / taken, "floor": records / floor, "rss_mb": rss, "streams": streams}
    figures |= {"calls": asked["total"], "fewest_calls": fewest_calls(name, streams, asked["requests"])}
    print(json.dumps(figures))  # noqa: T201


# Rows of the largest page, the streams that are lists of many rows, and those of them whose associations are asked for
# beside them.
LISTED = {
    "pipedrive": (500, ("organizations", "persons", "deals", "archived_deals", "activities"), ()),
    "hubspot": (
        100,
        ("companies", "contacts", "deals", "calls", "emails", "meetings", "communications"),
        ("deals", "calls", "emails", "meetings", "communications"),
    ),
}


def fewest_calls(name: str, streams: dict[str, int], asked: list[dict[str, Any]]) -> int:
    """Full pages of the CRM's largest size for `streams` (records of each), full batches of associations beside them,
    and one of everything else that was asked."""
    page, large, linked = LISTED[name]
    pages = sum(max(1, ceil(streams[stream] / page)) for stream in large)
    pages += 2 * sum(max(1, ceil(streams[stream] / 1000)) for stream in linked)
    others = {each["path"] for each in asked if not re.search(r"/batch/read$", each["path"])}
    return pages + len(others) - len(large)


if __name__ == "__main__":
    logging.disable(logging.INFO)
    synchronise(sys.argv[1])
