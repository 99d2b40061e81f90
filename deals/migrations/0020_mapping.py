import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from accounts.tenancy import Wall


class Migration(migrations.Migration):
    dependencies = [("deals", "0019_history"), migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations = [
        # A constant default of the database: no row is rewritten.
        migrations.AddField(
            model_name="activity",
            name="type_ref",
            field=models.TextField(blank=True, db_default="", default=""),
        ),
        migrations.CreateModel(
            name="OwnDomains",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("version", models.IntegerField(default=1)),
                ("chosen_at", models.DateTimeField()),
                (
                    "chosen_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
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
        migrations.AddConstraint(
            model_name="owndomains",
            constraint=models.UniqueConstraint(fields=("organisation",), name="own_domains_once"),
        ),
        Wall("OwnDomains"),
    ]
