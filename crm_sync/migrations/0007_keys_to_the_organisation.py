import django.db.models.deletion
from django.db import migrations, models

from accounts.tenancy import Leaf


class Migration(migrations.Migration):
    """Keys and indexes that say nothing new. Only what the catalogue says changes, not a row."""

    dependencies = [
        ("accounts", "0004_sign_ins"),
        ("crm_sync", "0006_mapping"),
    ]

    operations = [
        migrations.AlterField(
            model_name="activitytype",
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
            model_name="compared",
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
            model_name="connection",
            name="organisation",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="connections",
                to="accounts.organisation",
            ),
        ),
        migrations.AlterField(
            model_name="detailprogress",
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
            model_name="reapplication",
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
            model_name="reconciliation",
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
            model_name="streamprogress",
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
            model_name="syncrun",
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
            model_name="webhookevent",
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
            model_name="webhookfeed",
            name="organisation",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="%(class)ss",
                to="accounts.organisation",
            ),
        ),
        Leaf("ActivityType"),
        Leaf("Reapplication"),
        Leaf("OAuthState"),
        Leaf("StreamProgress"),
        Leaf("DetailProgress"),
        Leaf("Compared"),
        Leaf("WebhookFeed"),
        Leaf("WebhookEvent"),
    ]
