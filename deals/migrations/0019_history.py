"""What is read of single deals. One statement with constant defaults: no row is rewritten, and it can be run again.

Deals that are here already are to be read once (`unread` 7), and no rule waits for that: they have been judged without.
The index is built beside running writes. (Interrupted: drop the invalid index, and migrate again.)
"""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Q

ADD = """
ALTER TABLE deals_deal
    ADD COLUMN IF NOT EXISTS participants_told text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS mail_told text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS unread smallint NOT NULL DEFAULT 7,
    ADD COLUMN IF NOT EXISTS waits smallint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS history_known boolean NOT NULL DEFAULT false;
ALTER TABLE deals_deal ALTER COLUMN unread SET DEFAULT 0;
ALTER TABLE deals_dealcontact ADD COLUMN IF NOT EXISTS participant boolean NOT NULL DEFAULT false;
"""
DROP = """
ALTER TABLE deals_dealcontact DROP COLUMN participant;
ALTER TABLE deals_deal DROP COLUMN participants_told, DROP COLUMN mail_told, DROP COLUMN unread, DROP COLUMN waits,
    DROP COLUMN history_known;
"""


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("deals", "0018_drop_list_by_amount")]

    operations = [
        migrations.RunSQL(
            ADD,
            DROP,
            state_operations=[
                migrations.AddField(
                    "deal", "participants_told", models.TextField(blank=True, db_default="", default="")
                ),
                migrations.AddField("deal", "mail_told", models.TextField(blank=True, db_default="", default="")),
                migrations.AddField("deal", "unread", models.SmallIntegerField(db_default=0, default=0)),
                migrations.AddField("deal", "waits", models.SmallIntegerField(db_default=0, default=0)),
                migrations.AddField("deal", "history_known", models.BooleanField(db_default=False, default=False)),
                migrations.AddField("dealcontact", "participant", models.BooleanField(db_default=False, default=False)),
            ],
        ),
        AddIndexConcurrently(
            model_name="deal",
            index=models.Index(
                fields=["organisation", "source", "status", "closed_at"], name="deal_unread", condition=Q(unread__gt=0)
            ),
        ),
    ]
