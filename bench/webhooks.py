"""From a change in the CRM to the alert, through the web server and the worker, idle and while webhooks pour in.

The processes are a child's, which has a database of its own: `python -m bench.webhooks default --seconds 10` prints its
figures as JSON.
"""

import argparse
import base64
import hashlib
import hmac
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from itertools import count
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import requests
from django.conf import settings
from django.db import connection
from django.test import override_settings

from accounts.models import Organisation
from accounts.tenancy import tenant
from alerts import queue
from alerts.models import Alert
from bench.dataset import Dataset
from bench.measure import p95, report, seconds
from crm_sync import details, sync
from crm_sync.models import Connection, WebhookEvent
from deals.models import Deal

# Deals of the CRM; webhooks a second, one rate after the other as long as it holds; for how many seconds each.
SIZES = {"tiny": (60, (20,), 5), "default": (2_000, (200, 300, 400, 600), 60), "full": (10_000, (200, 400, 800), 60)}
IDLE = 12  # changes, one after the other
SENDERS = 16
ACK, LOADED = 0.1, 10.0  # seconds: RELIABILITY's limits for an acknowledgement and for an alert under load
TOKEN, SECRET = "sandbox-hubspot-token", "secret-of-the-bench"


def webhook_ack(data: Dataset) -> None:
    """The time to acknowledge a webhook and to an alert, at each rate; the floor is an address that does nothing.

    At last the highest rate at which both limits held (`webhook_rate`; the floor is the lowest that is tried).
    """
    rates, highest = SIZES[data.size.name][1], 0
    for figures in _child(data):
        idle = figures.pop("idle", None)
        if idle:
            report("change_to_alert", unit="s p95 idle", goal=("value", "≤", 2), **idle)
            continue
        rate = figures.pop("rate")
        ack, alert = figures.pop("ack"), figures.pop("alert")
        report("webhook_ack", unit="s p95", goal=("value", "≤", ACK), rate=rate, **ack)
        report("change_to_alert", unit="s p95 loaded", goal=("value", "≤", LOADED), rate=rate, **alert)
        if ack["value"] <= ACK and alert["value"] <= LOADED:
            highest = rate
    report("webhook_rate", highest, "webhooks/s", rates[0], goal=("value", "≥", rates[0]))


def _child(data: Dataset) -> Iterator[dict[str, Any]]:
    child = [sys.executable, "-m", "bench.webhooks", data.size.name]
    with subprocess.Popen(child, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):
                yield json.loads(line)


def measure(deals: int, rates: Sequence[int], lasts: int) -> None:
    site = f"http://127.0.0.1:{_port()}"
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    options = [f"--deals={deals}", f"--hubspot-webhooks={site}/webhooks/hubspot/", f"--hubspot-secret={SECRET}"]
    command = [sys.executable, "-m", "crm_sandbox", "--port=0", "--burst=1000000", *options]
    try:
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sandbox:
            assert sandbox.stdout is not None
            crm = sandbox.stdout.readline().split()[-1]
            try:
                with override_settings(HUBSPOT_API_URL=f"{crm}/hubspot"), _processes(site, crm):
                    _measure(Storm(site, crm), rates, lasts)
            finally:
                sandbox.terminate()
    finally:
        connection.creation.destroy_test_db("", verbosity=0)


def _measure(storm: "Storm", rates: Sequence[int], lasts: int) -> None:
    idle = []
    for _ in range(IDLE):
        storm.rest()
        idle.append(storm.change())
    _tell({"idle": _figures(idle, storm.reading())})
    for rate in rates:
        took, alerts = storm.blow(rate, lasts)
        ack, alert = _figures(took, storm.doing_nothing()), _figures(alerts, storm.reading())
        _tell({"rate": rate, "ack": ack, "alert": alert})
        if ack["value"] > ACK or alert["value"] > LOADED:
            break


def _figures(values: list[float], floor: float) -> dict[str, Any]:
    return {"value": p95(values), "floor": floor, "worst": max(values), "of": len(values)}


def _tell(figures: dict[str, Any]) -> None:
    print(json.dumps(figures), flush=True)  # noqa: T201


class Storm:
    """A connected organisation; what is changed, what is posted, and how long it takes."""

    def __init__(self, site: str, crm: str) -> None:
        self.site, self.crm = site, crm
        self.organisation = Organisation.objects.create(name="Bench")
        with tenant(self.organisation):
            self.link = sync.connect(self.organisation, "hubspot", TOKEN)
        sync.pull(self.link)
        with tenant(self.organisation):
            priced = Deal.objects.open().filter(amount__gt=0, company__isnull=False)
            self.deals = list(priced.order_by("pk").values_list("external_id", flat=True))
        self.portal = int(self.link.source.account_id)
        self._numbers, self._next = count(1), iter(self.deals)
        _wait(lambda: not self._has_work(), 120)

    def _has_work(self) -> bool:
        """Histories are read, deal by deal, after a first synchronisation; then what they change is judged."""
        with tenant(self.organisation):
            return any(details.remaining(self.link).values()) or queue.is_marked(self.organisation)

    def _open(self, deal: str) -> bool:
        with tenant(self.organisation):
            return Alert.objects.filter(kind="amount_empty", deal__external_id=deal, resolved_at=None).exists()

    def rest(self) -> None:
        """Until the pause after the last evaluation is over (alerts.queue)."""
        with tenant(self.organisation):
            rests_until = self.organisation.turns.get().rests_until
        time.sleep(max(0, (rests_until - sync.now()).total_seconds()) + 0.1)

    def change(self) -> float:
        """Seconds from the change in the CRM until its alert can be seen."""
        deal = next(self._next)
        requests.post(f"{self.crm}/control/hubspot/deals/{deal}", json={"amount": None}, timeout=10)
        taken, _ = seconds(lambda: _wait(lambda: self._open(deal), 120))
        return taken

    def reading(self) -> float:
        """Seconds to read one deal from the CRM: what no webhook can do without."""
        with tenant(self.organisation):
            provider = sync.provider_of(Connection.objects.select_related("source").get())
        return seconds(lambda: provider.fetch("deals", self.deals[:1]))[0]

    def doing_nothing(self) -> float:
        return p95([seconds(lambda: requests.get(f"{self.site}/healthz", timeout=10))[0] for _ in range(50)])

    def blow(self, rate: int, lasts: int) -> tuple[list[float], list[float]]:
        """`rate` webhooks a second about all deals. Seconds to acknowledge each, from when it was due; to an alert."""
        start, took = time.monotonic() + 0.5, list[float]()
        threads = [Thread(target=self._send, args=(n, rate, lasts, start, took)) for n in range(SENDERS)]
        for thread in threads:
            thread.start()
        alerts = []
        while time.monotonic() < start + lasts - 1:
            alerts.append(self.change())
        for thread in threads:
            thread.join()
        assert len(took) == rate * lasts, f"{rate * lasts - len(took)} were not acknowledged"
        _wait(self._is_done, 120)
        return took, alerts if len(alerts) > 1 else alerts * 2

    def _is_done(self) -> bool:
        with tenant(self.organisation):
            return not WebhookEvent.objects.filter(done_at=None).exists()

    def _send(self, first: int, rate: int, lasts: int, start: float, took: list[float]) -> None:
        parts = urlsplit(self.site)
        line = HTTPConnection(parts.hostname or "", parts.port, timeout=10)
        for number in range(first, rate * lasts, SENDERS):
            due = start + number / rate
            time.sleep(max(0, due - time.monotonic()))
            body, headers = self._signed(self.deals[number % len(self.deals)])
            line.request("POST", "/webhooks/hubspot/", body, headers)
            answer = line.getresponse()
            answer.read()
            if answer.status == 200:
                took.append(time.monotonic() - due)

    def _signed(self, deal: str) -> tuple[bytes, dict[str, str]]:
        event: dict[str, object] = {
            "eventId": next(self._numbers),
            "subscriptionId": 1,
            "portalId": self.portal,
            "objectId": int(deal),
        }
        event |= {"subscriptionType": "deal.propertyChange", "occurredAt": round(time.time() * 1000)}
        body, timestamp = json.dumps([event]).encode(), str(round(time.time() * 1000))
        source = b"POST" + f"{self.site}/webhooks/hubspot/".encode() + body + timestamp.encode()
        signature = base64.b64encode(hmac.new(SECRET.encode(), source, hashlib.sha256).digest()).decode()
        headers = {"X-HubSpot-Signature-v3": signature, "X-HubSpot-Request-Timestamp": timestamp}
        return body, headers | {"Content-Type": "application/json"}


def _wait(what: Callable[[], bool], patience: float) -> None:
    end = time.monotonic() + patience
    while not what():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {patience} s")
        time.sleep(0.02)


@contextmanager
def _processes(site: str, crm: str) -> Iterator[None]:
    """Web server and worker as in production, on this process's database."""
    url, _, more = os.environ["DATABASE_URL"].partition("?")
    environ = {
        **os.environ,
        "DATABASE_URL": f"{url.rpartition('/')[0]}/{settings.DATABASES['default']['NAME']}" + (more and f"?{more}"),
        "HUBSPOT_API_URL": f"{crm}/hubspot",
        "HUBSPOT_CLIENT_SECRET": SECRET,
        "SITE_URL": site,
        "LOG_LEVEL": "ERROR",
    }
    environ.pop("DATABASE_OWNER_URL", None)
    web = ["gunicorn", "config.wsgi", f"--bind={site.removeprefix('http://')}", "--log-level=error"]
    worker = ["celery", "--app=config", "worker", "--concurrency=2", "--loglevel=ERROR"]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", *command],
            env=environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for command in (web, worker)
    ]
    try:
        _wait(lambda: _answers(site), 60)
        yield
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(60)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def _answers(site: str) -> bool:
    try:
        return requests.get(f"{site}/healthz", timeout=5).ok
    except requests.RequestException:
        return False


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    logging.disable(logging.INFO)
    parser = argparse.ArgumentParser(prog="python -m bench.webhooks", description=__doc__)
    parser.add_argument("size", choices=SIZES)
    chosen, _ = parser.parse_known_args()
    parser.add_argument("--deals", type=int, default=SIZES[chosen.size][0])
    parser.add_argument("--rates", type=int, nargs="+", default=SIZES[chosen.size][1], help="webhooks a second")
    parser.add_argument("--seconds", type=int, default=SIZES[chosen.size][2], help="for each rate")
    given = parser.parse_args()
    measure(given.deals, given.rates, given.seconds)
