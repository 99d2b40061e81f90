"""Names of teams beside each colleague give way to `Team`, which the next reading of the owners, an hour later at most,
fills. That reading fills the column again too, should this be reversed. Neither way rewrites a row.
"""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("deals", "0007_title_keys")]

    operations = [migrations.RemoveField(model_name="colleague", name="teams")]
