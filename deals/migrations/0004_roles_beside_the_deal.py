from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("deals", "0003_teams")]

    operations = [
        # A constant default: no row is rewritten.
        migrations.AddField(
            model_name="deal",
            name="roles",
            field=models.JSONField(db_default={}, default=dict),
        ),
    ]
