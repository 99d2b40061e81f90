import django.db.models.deletion
from django.db import migrations, models

from accounts.tenancy import Wall


def organisation(related_name="%(class)ss"):
    return models.ForeignKey(
        db_index=False,
        on_delete=django.db.models.deletion.CASCADE,
        related_name=related_name,
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
    dependencies = [("crm_sync", "0002_oauth")]

    operations = [
        migrations.CreateModel(
            name="WebhookFeed",
            fields=[
                ("id", pk()),
                ("secret", models.TextField(blank=True)),
                (
                    "polled",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("unchecked", "Unchecked"),
                            ("address", "Address"),
                            ("permission", "Permission"),
                            ("token", "Token"),
                            ("refused", "Refused"),
                        ],
                        default="unchecked",
                        max_length=12,
                    ),
                ),
                ("checked_at", models.DateTimeField(null=True)),
                ("failures", models.IntegerField(default=0)),
                ("problem", models.CharField(blank=True, max_length=30)),
                ("retry_at", models.DateTimeField(null=True)),
                ("connection", connection("feeds")),
                ("organisation", organisation()),
            ],
        ),
        migrations.CreateModel(
            name="WebhookRoute",
            fields=[
                ("id", pk()),
                ("account_id", models.CharField(max_length=100)),
                ("address", models.CharField(max_length=64, unique=True)),
                ("login", models.CharField(max_length=64)),
                ("connection", connection("+")),
                ("organisation", organisation("+")),
            ],
        ),
        migrations.CreateModel(
            name="WebhookEvent",
            fields=[
                ("id", pk()),
                ("key", models.CharField(max_length=64)),
                ("stream", models.CharField(max_length=30)),
                ("ref", models.CharField(max_length=100)),
                ("action", models.CharField(max_length=10)),
                ("into", models.CharField(blank=True, max_length=100)),
                ("occurred_at", models.DateTimeField()),
                ("received_at", models.DateTimeField()),
                ("attempts", models.SmallIntegerField(default=0)),
                ("retry_at", models.DateTimeField(null=True)),
                ("done_at", models.DateTimeField(null=True)),
                ("problem", models.CharField(blank=True, max_length=30)),
                ("connection", connection("events")),
                ("organisation", organisation()),
            ],
        ),
        migrations.AddConstraint(
            model_name="webhookfeed",
            constraint=models.UniqueConstraint(fields=("organisation", "connection"), name="webhook_feed_unique"),
        ),
        migrations.AddConstraint(
            model_name="webhookroute",
            constraint=models.UniqueConstraint(fields=("organisation", "connection"), name="webhook_route_unique"),
        ),
        migrations.AddConstraint(
            model_name="webhookevent",
            constraint=models.UniqueConstraint(
                fields=("organisation", "connection", "key"), name="webhook_event_unique"
            ),
        ),
        migrations.AddIndex(
            model_name="webhookevent",
            index=models.Index(
                condition=models.Q(("done_at", None)),
                fields=["organisation", "connection", "id"],
                name="webhook_event_open",
            ),
        ),
        migrations.AddIndex(
            model_name="webhookevent",
            index=models.Index(fields=["organisation", "received_at"], name="webhook_event_old"),
        ),
        Wall("WebhookFeed"),
        Wall("WebhookEvent"),
        # The route itself is outside the walls; that it leads to a connection of its own organisation is certain.
        migrations.RunSQL(
            "ALTER TABLE crm_sync_webhookroute ADD CONSTRAINT crm_sync_webhookroute_connection_id_org_fk "
            "FOREIGN KEY (organisation_id, connection_id) REFERENCES crm_sync_connection (organisation_id, id) "
            "ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED",
            "ALTER TABLE crm_sync_webhookroute DROP CONSTRAINT crm_sync_webhookroute_connection_id_org_fk",
        ),
    ]
