"""The index of what the list counts, built beside running writes. (Interrupted: drop the invalid index, and migrate
again.)"""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("deals", "0020_mapping")]
    operations = [
        AddIndexConcurrently(
            model_name="deal",
            index=models.Index(
                fields=["organisation"],
                include=[
                    *("id", "alert_mask", "amount", "value", "currency", "owner", "stage", "pipeline", "company"),
                    "close_on",
                ],
                name="deal_counts",
                condition=Q(status="open", archived=False, deleted=False),
            ),
        ),
    ]
