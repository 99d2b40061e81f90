"""The names that the deal list searches, beside each deal. A constant default: no row is rewritten."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("deals", "0009_ids_of_roles")]

    operations = [
        migrations.AddField(
            model_name="deal",
            name="search",
            field=models.TextField(blank=True, db_default="", default=""),
        ),
    ]
