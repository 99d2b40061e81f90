"""The web server as a process that is killed while deliveries come in: what it acknowledged is there."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from django.test import override_settings

from accounts.models import Organisation
from accounts.tenancy import tenant
from crm_sync import sync, webhooks
from crm_sync.models import SyncRun, WebhookEvent
from deals.models import Deal
from tests.processes import Process, _answers, wait_for
from tests.sandbox import Sandbox

TOKEN, SECRET = "sandbox-hubspot-token", "a-secret-of-this-test"


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def sandbox(tmp_path: Path, port: int) -> Iterator[Sandbox]:
    options = (f"--hubspot-webhooks=http://127.0.0.1:{port}/webhooks/hubspot/", f"--hubspot-secret={SECRET}")
    with ExitStack() as stack:
        found = stack.enter_context(Sandbox.run(tmp_path, *options, deals=60))
        stack.enter_context(override_settings(HUBSPOT_API_URL=f"{found.url}/hubspot"))
        yield found


def test_what_was_acknowledged_survives_the_death_of_the_web_server(
    transactional_db: None, sandbox: Sandbox, tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    organisation = Organisation.objects.create(name="Test", time_zone="Europe/Paris")
    with tenant(organisation):
        connection = sync.connect(organisation, "hubspot", TOKEN)
        SyncRun.objects.update(finished_at=sync.now())
    deals = [str(row["id"]) for row in sandbox.raw("hubspot")["tables"]["deals"] if not row["archived"]][:40]
    monkeypatch.setenv("SITE_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("HUBSPOT_CLIENT_SECRET", SECRET)
    sandbox._control("POST", "hubspot/webhooks", {"pace": 0.00005, "duplicates": 0.2, "shuffle": 0.1})

    def told() -> dict[str, int]:
        return dict(sandbox._control("GET", "hubspot/webhooks")["counts"])

    def kept() -> set[str]:
        with tenant(organisation):
            return set(WebhookEvent.objects.filter(stream="deals").values_list("ref", flat=True))

    with Process(tmp_path, "gunicorn", "config.wsgi", f"--bind=127.0.0.1:{port}").running() as web:
        wait_for(lambda: _answers(f"http://127.0.0.1:{port}/healthz"), 30)
        for number, ref in enumerate(deals):
            sandbox.change("hubspot", "deals", ref, {"dealname": f"Told {ref}"})
            if number == 20:
                wait_for(lambda: told().get("delivered"), 5)
                web.kill()
        wait_for(lambda: told().get("failed"), 5)
        acknowledged = told()["delivered"]
        assert acknowledged > 0
        assert kept() < set(deals)
        web.start()
        wait_for(lambda: kept() == set(deals), 30)
    with tenant(organisation):
        rows = WebhookEvent.objects.filter(stream="deals")
        assert rows.values("key").distinct().count() == rows.count() == 40  # a duplicate is no row
    webhooks.drain(organisation.pk, connection.pk)
    with tenant(organisation):
        assert set(Deal.objects.values_list("title", flat=True)) == {f"Told {ref}" for ref in deals}
        assert not WebhookEvent.objects.filter(done_at=None).exists()
