from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_title_rules"),
    ]

    operations = [
        migrations.AddField(
            model_name="membership",
            name="digest",
            field=models.CharField(
                choices=[("never", "Never"), ("daily", "Every working day"), ("weekly", "Every Monday")],
                db_default="never",
                default="never",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="user",
            name="language",
            field=models.CharField(blank=True, db_default="", default="", max_length=2),
        ),
        migrations.AddField(
            model_name="user",
            name="theme",
            field=models.CharField(blank=True, db_default="", default="", max_length=5),
        ),
        migrations.AddField(
            model_name="user",
            name="time_zone",
            field=models.CharField(blank=True, db_default="", default="", max_length=64),
        ),
    ]
