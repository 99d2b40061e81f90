"""A first synchronisation from the sandbox's HTTP into an empty database, in a process of its own."""

import json
import os
import resource
import subprocess
import sys
from time import perf_counter

from bench.dataset import Dataset
from bench.measure import report

DEALS = {"tiny": 300, "default": 10_000, "full": 40_000}
SEED = 7


def sync_first(data: Dataset) -> None:
    """Records per second of both CRMs' streams; the floor is the reading and mapping alone, without a database."""
    command = [sys.executable, "-m", "crm_sandbox", "--port=0", f"--deals={DEALS[data.size.name]}", f"--seed={SEED}"]
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


def synchronise(name: str) -> None:
    """Print as JSON: records/s, floor, records, peak memory of this process in MB, seconds per stream."""
    from django.db import connection

    from accounts.models import Organisation
    from accounts.tenancy import tenant
    from crm_sync import providers, sync
    from crm_sync.models import Connection, SyncRun

    token = f"sandbox-{name}-token"
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        organisation = Organisation.objects.create(name="Bench")
        with tenant(organisation):
            run = SyncRun.objects.get(connection=sync.connect(organisation, name, token))
        start = perf_counter()
        while sync.step(organisation.pk, run.pk):
            pass
        taken = perf_counter() - start
        rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        with tenant(organisation):
            run.refresh_from_db()
            assert run.finished_at, run.problem
            records = sum(stream.records for stream in run.streams.all())
            provider = sync.provider_of(Connection.objects.select_related("source").get())
        start = perf_counter()
        for stream in providers.PROVIDERS[name].streams:
            page = provider.read(stream, None, None, run.until)
            while page.cursor:
                page = provider.read(stream, page.cursor, None, run.until)
        floor = perf_counter() - start
    finally:
        connection.creation.destroy_test_db("", verbosity=0)
    figures = {"value": records / taken, "floor": records / floor, "records": records, "rss_mb": rss}
    print(json.dumps(figures))  # noqa: T201


if __name__ == "__main__":
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    synchronise(sys.argv[1])
