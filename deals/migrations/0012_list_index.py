"""The index of the deal list, built beside running writes. (Interrupted: drop the invalid index, and migrate again.)"""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import F, Q


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("deals", "0011_fill_search_text")]
    operations = [
        AddIndexConcurrently(
            model_name="deal",
            index=models.Index(
                F("organisation"),
                F("alert_mask").bitrightshift(16).desc(nulls_last=True),
                F("amount").desc(nulls_last=True),
                F("id"),
                include=["alert_mask", "currency", "owner", "stage", "pipeline", "close_on", "search"],
                name="deal_list",
                condition=Q(status="open", archived=False, deleted=False),
            ),
        ),
    ]
