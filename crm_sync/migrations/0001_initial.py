import django.db.models.deletion
from django.db import migrations, models

from accounts.tenancy import Wall


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0001_initial"),
        ("deals", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Connection",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("provider", models.CharField(max_length=20)),
                ("token", models.TextField(blank=True)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("connected", "Connected"),
                            ("refused", "Token refused"),
                            ("forbidden", "Permission missing"),
                            ("disconnected", "Disconnected"),
                        ],
                        default="connected",
                        max_length=12,
                    ),
                ),
                ("role_field", models.CharField(blank=True, max_length=100)),
                ("title_field", models.CharField(blank=True, max_length=100)),
                ("connected_at", models.DateTimeField()),
                ("synced_until", models.DateTimeField(null=True)),
                (
                    "organisation",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="connections",
                        to="accounts.organisation",
                    ),
                ),
                (
                    "source",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="connections",
                        to="deals.source",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="SyncRun",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("first", "first synchronisation"),
                            ("changes", "changes"),
                            ("fields", "after a change of the field mapping"),
                        ],
                        max_length=10,
                    ),
                ),
                ("until", models.DateTimeField()),
                ("started_at", models.DateTimeField()),
                ("finished_at", models.DateTimeField(null=True)),
                ("problem", models.CharField(blank=True, max_length=30)),
                ("problem_detail", models.TextField(blank=True)),
                ("attempts", models.IntegerField(default=0)),
                ("retry_at", models.DateTimeField(null=True)),
                (
                    "connection",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="runs",
                        to="crm_sync.connection",
                    ),
                ),
                (
                    "organisation",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="%(class)ss",
                        to="accounts.organisation",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="StreamProgress",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.IntegerField()),
                ("stream", models.CharField(max_length=30)),
                ("since", models.DateTimeField(null=True)),
                ("cursor", models.TextField(null=True)),
                ("pages", models.IntegerField(default=0)),
                ("records", models.IntegerField(default=0)),
                ("finished", models.BooleanField(default=False)),
                ("problem", models.CharField(blank=True, max_length=30)),
                (
                    "organisation",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="%(class)ss",
                        to="accounts.organisation",
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="streams",
                        to="crm_sync.syncrun",
                    ),
                ),
            ],
            options={
                "ordering": ["position"],
            },
        ),
        migrations.AddConstraint(
            model_name="connection",
            constraint=models.UniqueConstraint(fields=("organisation", "source"), name="connection_source_unique"),
        ),
        migrations.AddIndex(
            model_name="syncrun",
            index=models.Index(fields=["organisation", "connection", "-started_at"], name="sync_run_latest"),
        ),
        migrations.AddConstraint(
            model_name="syncrun",
            constraint=models.UniqueConstraint(
                condition=models.Q(("finished_at", None)),
                fields=("organisation", "connection"),
                name="sync_run_one_at_a_time",
            ),
        ),
        migrations.AddConstraint(
            model_name="streamprogress",
            constraint=models.UniqueConstraint(fields=("organisation", "run", "stream"), name="stream_unique"),
        ),
        Wall("Connection"),
        Wall("SyncRun"),
        Wall("StreamProgress"),
    ]
