from typing import Any

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from accounts.tenancy import Wall


def key(to: str, name: str = "%(class)ss", walled: bool = False) -> "models.ForeignKey[Any, Any]":
    return models.ForeignKey(
        db_constraint=not walled,
        db_index=False,
        on_delete=django.db.models.deletion.CASCADE,
        related_name=name,
        to=to,
    )


class Migration(migrations.Migration):
    dependencies = [
        ("crm_sync", "0003_webhooks"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="streamprogress",
            name="deletions",
            field=models.JSONField(db_default={}, default=dict),
        ),
        migrations.CreateModel(
            name="Reconciliation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("stream", models.CharField(max_length=30)),
                ("position", models.IntegerField()),
                ("key", models.CharField(max_length=40)),
                (
                    "phase",
                    models.CharField(
                        choices=[("reading", "being read"), ("repairing", "being repaired"), ("done", "done")],
                        default="reading",
                        max_length=10,
                    ),
                ),
                ("is_latest", models.BooleanField(default=False)),
                ("cursor", models.TextField(null=True)),
                ("pages", models.IntegerField(default=0)),
                ("asked_at", models.DateTimeField()),
                ("started_at", models.DateTimeField(null=True)),
                ("read_at", models.DateTimeField(null=True)),
                ("finished_at", models.DateTimeField(null=True)),
                ("in_crm", models.IntegerField(default=0)),
                ("here", models.IntegerField(default=0)),
                ("missing", models.IntegerField(default=0)),
                ("extra", models.IntegerField(default=0)),
                ("stale", models.IntegerField(default=0)),
                ("repaired", models.IntegerField(default=0)),
                ("left", models.IntegerField(default=0)),
                ("held", models.IntegerField(default=0)),
                ("named", models.JSONField(default=dict)),
                ("released_at", models.DateTimeField(null=True)),
                ("problem", models.CharField(blank=True, max_length=30)),
                ("attempts", models.IntegerField(default=0)),
                ("retry_at", models.DateTimeField(null=True)),
                ("connection", key("crm_sync.connection", "reconciliations", walled=True)),
                ("organisation", key("accounts.organisation")),
                (
                    "released_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Compared",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("external_id", models.CharField(max_length=100)),
                ("updated_at", models.DateTimeField(null=True)),
                ("archived", models.BooleanField(default=False)),
                (
                    "difference",
                    models.CharField(
                        blank=True,
                        choices=[("missing", "missing"), ("extra", "extra"), ("stale", "stale")],
                        max_length=7,
                    ),
                ),
                ("organisation", key("accounts.organisation")),
                ("reconciliation", key("crm_sync.reconciliation", "ids", walled=True)),
            ],
        ),
        migrations.AddConstraint(
            model_name="reconciliation",
            constraint=models.UniqueConstraint(
                fields=("organisation", "connection", "stream", "key"), name="reconciliation_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="reconciliation",
            constraint=models.UniqueConstraint(
                condition=models.Q(("finished_at", None)),
                fields=("organisation", "connection", "stream"),
                name="reconciliation_one_at_a_time",
            ),
        ),
        migrations.AddConstraint(
            model_name="reconciliation",
            constraint=models.UniqueConstraint(
                condition=models.Q(("is_latest", True)),
                fields=("organisation", "connection", "stream"),
                name="reconciliation_latest",
            ),
        ),
        migrations.AddConstraint(
            model_name="compared",
            constraint=models.UniqueConstraint(
                fields=("organisation", "reconciliation", "external_id"), name="compared_unique"
            ),
        ),
        Wall("Reconciliation"),
        Wall("Compared"),
    ]
