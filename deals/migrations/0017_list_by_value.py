"""The index of the deal list by value, built beside running writes. (Interrupted: drop the invalid index, and migrate
again.)"""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import F, Q


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("deals", "0016_fill_value")]
    operations = [
        AddIndexConcurrently(
            model_name="deal",
            index=models.Index(
                F("organisation"),
                F("alert_mask").bitrightshift(16).desc(nulls_last=True),
                F("value").desc(nulls_last=True),
                F("id"),
                include=[
                    *("alert_mask", "amount", "currency", "owner", "stage", "pipeline", "company", "close_on", "search")
                ],
                name="deal_list",
                condition=Q(status="open", archived=False, deleted=False),
            ),
        ),
    ]
