import django.db.models.deletion
from django.db import migrations, models

from accounts.tenancy import Leaf


class Migration(migrations.Migration):
    """Keys and indexes that say nothing new. Only what the catalogue says changes, not a row."""

    dependencies = [
        ("accounts", "0004_sign_ins"),
        ("alerts", "0004_saved_views_and_snoozes"),
    ]

    operations = [
        migrations.AlterField(
            model_name="alert",
            name="organisation",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="%(class)ss",
                to="accounts.organisation",
            ),
        ),
        migrations.AlterField(
            model_name="feedback",
            name="organisation",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="%(class)ss",
                to="accounts.organisation",
            ),
        ),
        migrations.AlterField(
            model_name="parked",
            name="organisation",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="parked",
                to="accounts.organisation",
            ),
        ),
        migrations.AlterField(
            model_name="pending",
            name="organisation",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="pending",
                to="accounts.organisation",
            ),
        ),
        migrations.AlterField(
            model_name="snooze",
            name="organisation",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="%(class)ss",
                to="accounts.organisation",
            ),
        ),
        migrations.AlterField(
            model_name="startview",
            name="organisation",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="start_views",
                to="accounts.organisation",
            ),
        ),
        Leaf("Configuration"),
        Leaf("Pending"),
        Leaf("Turn"),
        Leaf("Parked"),
        Leaf("Run"),
        Leaf("StartView"),
        Leaf("Snooze"),
        Leaf("Feedback"),
    ]
