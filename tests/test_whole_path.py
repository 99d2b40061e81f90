"""From the CRM's API to the alert, every process real: PostgreSQL, Valkey, the sandbox, a worker that is killed."""

from pathlib import Path

import pytest
from django.test import override_settings

from accounts.models import Organisation
from accounts.tenancy import tenant
from alerts.models import Alert, Pending, Run
from alerts.settings import current, save
from alerts.tasks import start_run
from crm_sync import sync, tasks
from crm_sync.models import Connection, StreamProgress, SyncRun
from deals.clock import Clock
from deals.models import Deal
from tests.processes import wait_for, worker
from tests.sandbox import Sandbox


@pytest.mark.django_db(transaction=True)
def test_a_killed_worker_loses_nothing_on_the_way_from_the_crm_to_the_alert(tmp_path: Path) -> None:
    organisation = Organisation.objects.create(name="Test", time_zone="Europe/Paris")

    def progress() -> tuple[int, bool]:
        with tenant(organisation):
            pages = sum(StreamProgress.objects.filter(run__kind="first").values_list("pages", flat=True))
            return pages, not SyncRun.objects.filter(finished_at=None).exists()

    def evaluated() -> bool:
        with tenant(organisation):
            return not SyncRun.objects.filter(finished_at=None).exists() and not Pending.objects.exists()

    with (
        # As slow as CRMs are: what follows the first portion takes longer to read than the worker to kill.
        Sandbox.run(tmp_path, "--delay=100", deals=300) as sandbox,
        override_settings(PIPEDRIVE_API_URL=f"{sandbox.url}/pipedrive", HUBSPOT_API_URL=f"{sandbox.url}/hubspot"),
        worker(tmp_path).running() as process,
    ):
        with tenant(organisation):
            connection = sync.connect(organisation, "hubspot", "sandbox-hubspot-token")
        wait_for(lambda: progress()[0] >= 12)
        process.kill()
        pages, finished = progress()
        assert not finished
        process.start()
        tasks.sweep.delay()  # what beat rings every 30 seconds
        wait_for(evaluated, 90)
        assert progress()[0] > pages

        raw = sandbox.raw("hubspot")["tables"]["deals"]
        with tenant(organisation):
            assert set(Deal.objects.values_list("external_id", flat=True)) == {
                str(d["id"]) for d in raw if not d["archived"]
            }
            assert Alert.objects.filter(resolved_at=None).values("kind").distinct().count() >= 8
            silent = Alert.objects.filter(kind="no_activity", resolved_at=None).select_related("deal").first()
            assert silent is not None

        # A call is logged in the CRM: the alert goes, for that reason.
        sandbox.log("hubspot", {"kind": "call", "deals": [int(silent.deal.external_id)], "minutes": 12})
        tasks.pull_all.delay()

        def resolved() -> bool:
            with tenant(organisation):
                return Alert.objects.filter(pk=silent.pk, reason="fact_changed").exists()

        wait_for(resolved)

        # A rule is switched off: its alerts go for that reason, by the worker.
        with tenant(organisation):
            configuration = current(organisation)
            rules = {**configuration.rules, "no_meeting": {"enabled": False}}
            saved = save(organisation, {"rules": rules}, None, Clock.of(organisation), based_on=configuration.version)
            start_run(organisation, Run.Cause.SETTINGS, str(saved.version), Clock.of(organisation))

        def switched_off() -> bool:
            with tenant(organisation):
                return (
                    Run.objects.filter(cause="settings").exclude(finished_at=None).exists()
                    and not Alert.objects.filter(kind="no_meeting", resolved_at=None).exists()
                    and Alert.objects.filter(kind="no_meeting", reason="rule_off").exists()
                )

        wait_for(switched_off)
        with tenant(organisation):
            assert Connection.objects.get(pk=connection.pk).state == Connection.State.CONNECTED
