import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from accounts.tenancy import Wall


def organisation():
    return models.ForeignKey(
        db_index=False,
        on_delete=django.db.models.deletion.CASCADE,
        related_name="%(class)ss",
        to="accounts.organisation",
    )


def connection(related_name):
    return models.ForeignKey(
        db_constraint=False,
        db_index=False,
        on_delete=django.db.models.deletion.CASCADE,
        related_name=related_name,
        to="crm_sync.connection",
    )


def pk():
    return models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")


class Migration(migrations.Migration):
    dependencies = [("crm_sync", "0005_history"), migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations = [
        migrations.AddField(
            model_name="connection",
            name="mapping_version",
            field=models.IntegerField(db_default=0, default=0),
        ),
        migrations.CreateModel(
            name="ActivityType",
            fields=[
                ("id", pk()),
                ("key", models.CharField(max_length=100)),
                ("name", models.CharField(max_length=200)),
                (
                    "kind",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("call", "Call"),
                            ("meeting", "Meeting"),
                            ("message", "Message"),
                            ("", "Does not count"),
                        ],
                        max_length=10,
                    ),
                ),
                ("active", models.BooleanField(default=True)),
                ("is_new", models.BooleanField(default=False)),
                ("found_at", models.DateTimeField()),
                ("chosen_at", models.DateTimeField(null=True)),
                (
                    "chosen_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("connection", connection("activity_types")),
                ("organisation", organisation()),
            ],
        ),
        migrations.CreateModel(
            name="Reapplication",
            fields=[
                ("id", pk()),
                ("types", models.BooleanField(default=False)),
                ("domains", models.JSONField(default=list)),
                ("total", models.IntegerField(null=True)),
                ("done", models.IntegerField(default=0)),
                ("last", models.BigIntegerField(default=0)),
                ("asked_at", models.DateTimeField()),
                ("finished_at", models.DateTimeField(null=True)),
                ("connection", connection("reapplications")),
                ("organisation", organisation()),
            ],
        ),
        migrations.AddConstraint(
            model_name="activitytype",
            constraint=models.UniqueConstraint(
                fields=("organisation", "connection", "key"), name="activity_type_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="reapplication",
            constraint=models.UniqueConstraint(
                condition=models.Q(("finished_at", None)),
                fields=("organisation", "connection"),
                name="reapplication_one_at_a_time",
            ),
        ),
        Wall("ActivityType"),
        Wall("Reapplication"),
    ]
