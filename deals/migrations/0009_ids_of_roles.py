"""What a role is at the CRM, beside it. A constant default: no row is rewritten; the next hourly reading fills it."""

import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("deals", "0008_drop_team_names_of_colleagues")]

    operations = [
        migrations.AddField(
            model_name="role",
            name="refs",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.TextField(), db_default=[], default=list, size=None
            ),
        ),
    ]
