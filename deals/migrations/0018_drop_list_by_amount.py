"""The index that `deal_list` replaces."""

from django.contrib.postgres.operations import RemoveIndexConcurrently
from django.db import migrations


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("deals", "0017_list_by_value")]
    operations = [RemoveIndexConcurrently(model_name="deal", name="deal_list_by_amount")]
