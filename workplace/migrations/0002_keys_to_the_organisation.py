import django.db.models.deletion
from django.db import migrations, models

from accounts.tenancy import Leaf


class Migration(migrations.Migration):
    """Keys and indexes that say nothing new. Only what the catalogue says changes, not a row."""

    dependencies = [
        ("accounts", "0004_sign_ins"),
        ("workplace", "0001_initial"),
    ]

    operations = [
        migrations.AlterField(
            model_name="note",
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
            model_name="revieweddeal",
            name="organisation",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="%(class)ss",
                to="accounts.organisation",
            ),
        ),
        Leaf("Invitation"),
        Leaf("ReviewedDeal"),
        Leaf("Note"),
        Leaf("CalendarFeed"),
        Leaf("Onboarding"),
    ]
