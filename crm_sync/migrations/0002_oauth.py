import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from accounts.tenancy import Wall


def lead_to_what_is_connected(apps, editor):
    """Every organisation's rows are behind its wall, for the owner too: entered one by one."""
    Organisation, Route = apps.get_model("accounts", "Organisation"), apps.get_model("crm_sync", "AccountRoute")
    Connection = apps.get_model("crm_sync", "Connection")
    with editor.connection.cursor() as cursor:
        for organisation in Organisation.objects.order_by("pk").values_list("pk", flat=True):
            cursor.execute("SELECT set_config('app.org_id', %s, true)", [str(organisation)])
            known = Connection.objects.filter(organisation=organisation).exclude(source__account_id="")
            Route.objects.bulk_create(
                Route(organisation_id=organisation, provider=provider, account_id=account_id)
                for provider, account_id in known.values_list("source__provider", "source__account_id")
            )
        cursor.execute("SELECT set_config('app.org_id', '', true)")


class Migration(migrations.Migration):
    dependencies = [("crm_sync", "0001_initial"), migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations = [
        migrations.AlterField(
            model_name="connection",
            name="state",
            field=models.CharField(
                choices=[
                    ("connected", "Connected"),
                    ("refused", "Token refused"),
                    ("forbidden", "Permission missing"),
                    ("uninstalled", "Uninstalled"),
                    ("disconnected", "Disconnected"),
                    ("deleting", "Data being deleted"),
                ],
                default="connected",
                max_length=12,
            ),
        ),
        migrations.AddField(
            model_name="connection",
            name="method",
            field=models.CharField(
                choices=[("token", "by token"), ("oauth", "by signing in")],
                db_default="token",
                default="token",
                max_length=5,
            ),
        ),
        migrations.AddField(
            model_name="connection", name="refresh_token", field=models.TextField(blank=True, db_default="")
        ),
        migrations.AddField(model_name="connection", name="expires_at", field=models.DateTimeField(null=True)),
        migrations.AddField(model_name="connection", name="scopes", field=models.TextField(blank=True, db_default="")),
        migrations.AddField(
            model_name="connection",
            name="api_url",
            field=models.CharField(blank=True, db_default="", max_length=200),
        ),
        migrations.AddField(
            model_name="connection",
            name="crm_user",
            field=models.CharField(blank=True, db_default="", max_length=50),
        ),
        migrations.AddField(
            model_name="connection",
            name="connected_by",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(model_name="connection", name="to_delete", field=models.IntegerField(null=True)),
        migrations.AddField(
            model_name="connection", name="deleted", field=models.IntegerField(db_default=0, default=0)
        ),
        migrations.CreateModel(
            name="AccountRoute",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("provider", models.CharField(max_length=20)),
                ("account_id", models.CharField(max_length=100)),
                (
                    "organisation",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="accounts.organisation",
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="accountroute",
            constraint=models.UniqueConstraint(
                fields=("provider", "account_id", "organisation"), name="account_route_unique"
            ),
        ),
        migrations.CreateModel(
            name="OAuthState",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("provider", models.CharField(max_length=20)),
                ("state", models.CharField(max_length=64)),
                ("session", models.CharField(max_length=64)),
                ("came_from", models.CharField(blank=True, max_length=200)),
                ("began_at", models.DateTimeField()),
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
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="oauthstate",
            constraint=models.UniqueConstraint(fields=("organisation", "state"), name="oauth_state_unique"),
        ),
        Wall("OAuthState"),
        migrations.RunPython(lead_to_what_is_connected, migrations.RunPython.noop, elidable=True),
    ]
