"""The exact title beside each contact. A constant default: no row is rewritten; the worker fills it (deals.titles)."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("deals", "0006_drop_deal_role")]

    operations = [
        migrations.AddField(
            model_name="contact",
            name="title_key",
            field=models.TextField(blank=True, db_default="", default=""),
        ),
    ]
