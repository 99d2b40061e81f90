from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("alerts", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="configuration",
            name="overrides",
            field=models.JSONField(db_default=[], default=list),
        ),
        migrations.AddField(
            model_name="configuration",
            name="pipelines",
            field=models.JSONField(null=True),
        ),
        migrations.AddField(
            model_name="configuration",
            name="business_days",
            field=models.BooleanField(db_default=False, default=False),
        ),
    ]
