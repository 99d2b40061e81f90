"""What the types of an account's activities are: found by key, suggested by name, kept, corrected."""

from datetime import timedelta

import pytest

from accounts.models import User
from crm_sync import activity_types
from crm_sync.activity_types import Conflict, choose, learn
from crm_sync.models import ActivityType, Connection, Reapplication, StreamProgress, SyncRun
from crm_sync.providers.base import TypeOfActivity
from crm_sync.providers.pipedrive.types import read, suggested
from tests.crm_sync.test_pipedrive_mapping import published
from tests.world import NOON, World


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("call", ["Discovery call", "Appel", "Appel de qualification", "Coup de fil", "Phone", "COLD CALL", "Tél."]),
        ("meeting", ["Rendez-vous", "RDV client", "Réunion", "Démo", "Visio", "Appel visio", "Video call", "Déjeuner"]),
        ("meeting", ["Product demo", "Workshop", "On-site visit", "Une visite", "Coffee", "Entretien", "Webinar"]),
        ("message", ["WhatsApp", "SMS", "LinkedIn message", "InMail", "Message"]),
        ("", ["Missed call", "Unanswered call", "Appel manqué", "Sans réponse", "Call cancelled", "Messagerie"]),
        ("", ["Préparer le rendez-vous", "Prise de RDV", "Schedule a call", "Relance appel", "Send a message"]),
        (
            "",
            ["Meeting notes", "Compte rendu de réunion", "Task", "Follow-up call", "Appel d’offres", "Invitation démo"],
        ),
        ("", ["Recall", "Callout", "Democracy", "Contract", "Support", "Telecom", "日本語", "", "💥"]),
    ],
)
def test_a_type_of_the_accounts_own_is_suggested_by_its_name(kind, names):
    assert {name: suggested("own_type", name) for name in names} == dict.fromkeys(names, kind)


@pytest.mark.parametrize(
    ("key", "kind"),
    [("call", "call"), ("meeting", "meeting"), ("lunch", "meeting"), ("email", ""), ("task", ""), ("deadline", "")],
)
def test_a_type_that_every_account_has_is_found_by_its_key_whatever_it_is_called(account, key, kind):
    account.learn(TypeOfActivity(key, "Meeting", True))
    assert account.types() == {key: (kind, True, False, False)}
    with account.world.inside():
        assert ActivityType.objects.get().suggestion == ""


def test_the_published_types_are_read_and_those_without_a_key_are_not():
    one = published("v1_activity_types")
    told = [one, one | {"key_string": "demo", "name": "Démo"}, {"name": "No key"}]
    told += [one | {"key_string": "demo_2", "name": None, "active_flag": False}]
    assert read(told) == (
        TypeOfActivity("deadline", "Deadline", True),
        TypeOfActivity("demo", "Démo", True),
        TypeOfActivity("demo_2", "demo_2", False),
    )


CALL = TypeOfActivity("call", "Call", True)
TASK = TypeOfActivity("task", "Task", True)
DEMO = TypeOfActivity("demo", "Démo", True)


class Account:
    """A Pipedrive account with a run that has come to its types, and its activities still to be read."""

    def __init__(self) -> None:
        self.world = World()
        mine = {"organisation": self.world.organisation}
        with self.world.inside():
            self.connection = Connection.objects.create(
                **mine, source=self.world.source, provider="pipedrive", connected_at=NOON
            )
        self.admin = User.objects.create_user("ana@vigie.example")
        self.run(None)

    def run(self, since) -> None:
        """A new run; what it reads of types and activities begins at `since`."""
        with self.world.inside():
            SyncRun.objects.update(finished_at=NOON)
            mine = {"organisation": self.world.organisation}
            run = SyncRun.objects.create(
                **mine, connection=self.connection, kind=SyncRun.Kind.CHANGES, until=NOON, started_at=NOON
            )
            activities = None if since is None else NOON - timedelta(minutes=5)
            StreamProgress.objects.create(**mine, run=run, position=9, stream="activities", since=activities)
            self.progress = StreamProgress.objects.create(
                **mine, run=run, position=1, stream="activity_types", since=since
            )

    def learn(self, *types: TypeOfActivity) -> None:
        with self.world.inside():
            learn(self.progress, types, NOON)

    def choose(self, based_on: int | None = None, **kinds: str) -> bool:
        with self.world.inside():
            ids = dict(ActivityType.objects.values_list("key", "pk"))
            version = Connection.objects.get().mapping_version if based_on is None else based_on
            return choose(self.connection, {ids[key]: kind for key, kind in kinds.items()}, self.admin, NOON, version)

    def types(self) -> dict[str, tuple[str, bool, bool, bool]]:
        """By key: kind, active, new, chosen."""
        with self.world.inside():
            found = ActivityType.objects.order_by("key")
            return {one.key: (one.kind, one.active, one.is_new, one.chosen_by == self.admin) for one in found}

    def since(self):
        with self.world.inside():
            return StreamProgress.objects.get(run=self.progress.run, stream="activities").since

    def version(self) -> int:
        with self.world.inside():
            return Connection.objects.get().mapping_version


@pytest.fixture
def account(db) -> Account:
    return Account()


def test_the_first_types_are_not_new_and_what_is_found_of_them_is_what_readers_take_them_for(account):
    account.learn(CALL, TASK)
    assert account.types() == {"call": ("call", True, False, False), "task": ("", True, False, False)}
    assert account.version() == 0
    account.run(None)
    account.learn(CALL, TASK)
    assert account.version() == 0


def test_a_type_of_ones_own_is_suggested_and_counts_only_when_an_admin_says_so(account):
    account.learn(CALL)
    account.run(NOON - timedelta(hours=1))
    account.learn(CALL, DEMO, TASK)
    assert account.types()["demo"] == account.types()["task"] == ("", True, True, False)
    with account.world.inside():
        assert dict(ActivityType.objects.values_list("key", "kind")) == {"call": "call", "demo": "", "task": ""}
        assert {one.key: one.suggestion for one in ActivityType.objects.all()} == {
            "call": "",
            "demo": "meeting",
            "task": "",
        }
    assert account.choose(demo="meeting", task="") is True
    assert account.types()["demo"] == ("meeting", True, False, True)


def test_a_suggestion_that_is_refused_is_not_made_again(account):
    account.learn(CALL, DEMO)
    assert account.choose(call="call", demo="") is False
    assert account.types()["demo"] == ("", True, False, True)
    with account.world.inside():
        assert ActivityType.objects.get(key="demo").suggestion == ""


def test_types_that_are_learnt_after_activities_were_read_have_these_read_again_whole(account):
    with account.world.inside():
        account.progress.run.streams.filter(stream="activities").update(since=NOON)
    account.learn(CALL)
    assert account.since() is None


def test_a_type_keeps_what_it_is_when_it_is_renamed_deactivated_or_gone(account):
    account.learn(CALL, DEMO, TASK)
    account.choose(call="message", demo="meeting")
    account.learn(TypeOfActivity("call", "Appel", True), TypeOfActivity("demo", "Todo", False))
    assert account.types() == {
        "call": ("message", True, False, True),
        "demo": ("meeting", False, False, True),
        "task": ("", False, False, False),
    }
    with account.world.inside():
        assert ActivityType.objects.get(key="call").name == "Appel"


def test_saving_without_a_change_says_that_new_types_were_seen_and_applies_nothing(account):
    account.learn(CALL)
    account.learn(CALL, TASK)
    before = account.version()
    assert account.choose(call="call", task="") is False
    assert account.types()["task"] == ("", True, False, False)
    with account.world.inside():
        assert (account.version(), Reapplication.objects.count()) == (before, 0)


def test_what_counted_is_applied_to_what_is_stored_and_what_did_not_is_read_again(account):
    account.learn(CALL, DEMO, TASK)
    account.choose(demo="meeting")
    with account.world.inside():
        account.progress.run.streams.filter(stream="activities").update(cursor="0:x")
    assert account.choose(demo="call") is True
    with account.world.inside():
        assert Reapplication.objects.get().types
        assert account.progress.run.streams.get(stream="activities").cursor == "0:x"
    assert account.choose(task="message") is True
    with account.world.inside():
        assert Reapplication.objects.count() == 1
        assert account.progress.run.streams.get(stream="activities").cursor is None
        assert activity_types.kinds(account.connection) == {"call": "call", "demo": "call", "task": "message"}


def test_of_two_admins_the_second_is_told_and_nothing_is_lost(account):
    account.learn(CALL, DEMO)
    account.choose(demo="meeting")
    seen = account.version()
    account.choose(based_on=seen, call="message")
    with pytest.raises(Conflict):
        account.choose(based_on=seen, call="meeting", demo="")
    assert account.types() == {"call": ("message", True, False, True), "demo": ("meeting", True, False, True)}


def test_a_kind_that_there_is_not_is_refused(account):
    account.learn(CALL)
    with pytest.raises(ValueError, match="email"):
        account.choose(call="email")
