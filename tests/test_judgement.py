"""The oracle holds after a synchronisation, and notices each thing that it is there to notice."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.db.models import F
from django.test import override_settings

from accounts.models import Organisation
from accounts.tenancy import tenant
from alerts import engine
from alerts.models import Alert, Pending
from crm_sync import details, sync
from crm_sync.models import WebhookEvent
from deals.clock import Clock
from deals.models import Contact, Deal, DealContact
from tests.judgement import TOKENS, judge
from tests.sandbox import Sandbox


def test_the_oracle_notices_what_is_wrong_and_nothing_else(db: None, tmp_path: Path) -> None:
    organisation = Organisation.objects.create(name="Test", time_zone="Europe/Paris")
    ago = (datetime.now(UTC) - timedelta(hours=6)).isoformat(timespec="seconds")
    with (
        Sandbox.run(tmp_path, "--now", ago, deals=20) as sandbox,
        override_settings(PIPEDRIVE_API_URL=f"{sandbox.url}/pipedrive"),
    ):
        with tenant(organisation):
            connection = sync.connect(organisation, "pipedrive", TOKENS["pipedrive"])
        sync.pull(connection)
        details.read_all(connection)
        with tenant(organisation):
            engine.evaluate(organisation, Deal.objects.filter(organisation=organisation), Clock.of(organisation))
            Pending.objects.all().delete()
        before = judge(organisation, sandbox, "pipedrive")
        assert before.differences == []
        assert min(before.counts[kind] for kind in ("deals", "contacts", "activities", "stages", "alerts")) > 0

        with tenant(organisation):
            Contact.objects.filter(pk=Contact.objects.earliest("pk").pk).update(job_title="Another")
            open_deal = Deal.objects.open().earliest("pk")
            DealContact.objects.filter(deal=open_deal).delete()
            Deal.objects.filter(pk=open_deal.pk).update(alert_mask=F("alert_mask").bitxor(1))
            Alert.objects.filter(resolved_at=None).exclude(deal=open_deal).earliest("pk").delete()
            Pending.objects.create(organisation=organisation, deal=open_deal, generation=1)
            WebhookEvent.objects.create(
                organisation=organisation,
                connection=connection,
                key="nobody told it",
                stream="deals",
                ref=open_deal.external_id,
                action="change",
                occurred_at=sync.now(),
                received_at=sync.now(),
                done_at=sync.now(),
            )
        found = judge(organisation, sandbox, "pipedrive").by_kind()
    assert found["contacts"] == found["participants"] == found["left"] == found["deliveries"] == 1
    assert found["deals"] == 1
    assert found["doubled"] == 2  # the mask without its alert, and the alert without its mask
    assert found["alerts"] >= 1
