"""The Celery application. Redis is a doorbell: what a lost ring leaves behind is found in Postgres by these sweeps."""

import os
import sys
from typing import Any

from celery import Celery
from celery.schedules import crontab
from celery.signals import worker_init
from kombu.transport import TRANSPORT_ALIASES

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), "config.broker:Transport"))
app = Celery("vigie")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.autodiscover_tasks(related_name="webhook_tasks")
app.conf.beat_schedule = {
    "pull what changed": {"task": "crm_sync.tasks.pull_all", "schedule": crontab(minute="*/5")},
    "compare with the CRM": {"task": "crm_sync.tasks.start_reconciliations", "schedule": crontab(minute="*/5")},
    "find interrupted syncs": {"task": "crm_sync.tasks.sweep", "schedule": 30.0},
    "find webhooks not worked off": {"task": "crm_sync.webhook_tasks.sweep", "schedule": 30.0},
    "forget old webhooks": {"task": "crm_sync.webhook_tasks.forget_old", "schedule": crontab(hour="3", minute="20")},
    "find unevaluated deals": {"task": "alerts.tasks.sweep", "schedule": 30.0},
    "start the daily evaluation": {"task": "alerts.tasks.start_daily", "schedule": crontab(minute="*/5")},
    "send the morning's digests": {"task": "workplace.tasks.send_digests", "schedule": crontab(minute="*/10")},
}


@worker_init.connect
def refuse_privileged_role(**kwargs: Any) -> None:
    from django.core.exceptions import ImproperlyConfigured

    from config import checks

    try:
        checks.refuse_privileged_role()
    except ImproperlyConfigured as error:
        sys.exit(str(error))  # any other exception is only logged by Celery's signals
