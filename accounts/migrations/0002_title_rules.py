from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]

    operations = [
        # A constant default: no row is rewritten. Empty differs from every release, so the worker judges all titles.
        migrations.AddField(
            model_name="organisation",
            name="title_rules",
            field=models.CharField(blank=True, db_default="", default="", max_length=16),
        ),
    ]
