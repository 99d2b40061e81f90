import django.db.models.deletion
from django.db import migrations, models

from accounts.tenancy import Wall


class Migration(migrations.Migration):
    dependencies = [("crm_sync", "0004_reconciliation")]

    operations = [
        migrations.CreateModel(
            name="DetailProgress",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("detail", models.CharField(max_length=20)),
                ("records", models.IntegerField(default=0)),
                ("refused", models.IntegerField(default=0)),
                ("left_out", models.BooleanField(default=False)),
                ("problem", models.CharField(blank=True, max_length=30)),
                ("attempts", models.IntegerField(default=0)),
                ("retry_at", models.DateTimeField(null=True)),
                (
                    "connection",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="details",
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
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organisation", "connection", "detail"), name="detail_progress_unique"
                    )
                ],
            },
        ),
        Wall("DetailProgress"),
    ]
