"""A first synchronisation from the sandbox's HTTP into an empty database, in a process of its own."""

import json
import logging
import os
import resource
import subprocess
import sys

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
                environ = os.environ | {f"{provider.upper()}_API_URL": f"{address}/{provider}"}
                child = [sys.executable, "-m", "bench.sync", provider]
                done = subprocess.run(child, env=environ, stdout=subprocess.PIPE, text=True, check=True)
                figures = json.loads(done.stdout.splitlines()[-1])
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
        taken, _ = seconds(lambda: sync.pull(link))
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
    print(json.dumps(figures))  # noqa: T201


if __name__ == "__main__":
    logging.disable(logging.INFO)
    synchronise(sys.argv[1])
