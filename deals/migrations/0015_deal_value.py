"""What deals are worth in the organisation's currency. Nullable, so that no row is rewritten; the old index steps aside."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("deals", "0014_owner_links_and_exchange_rates")]

    operations = [
        migrations.AddField(
            model_name="deal",
            name="value",
            field=models.DecimalField(decimal_places=2, max_digits=20, null=True),
        ),
        migrations.AddField(
            model_name="source",
            name="valued_by",
            field=models.CharField(blank=True, db_default="", default="", max_length=32),
        ),
        migrations.RenameIndex(model_name="deal", new_name="deal_list_by_amount", old_name="deal_list"),
    ]
