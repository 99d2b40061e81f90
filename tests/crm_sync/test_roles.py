"""Roles from where the CRM keeps them, all the way: served, mapped, synchronised, judged, renamed, deleted.

One deal of 60 days ago on which nobody was ever engaged: every role that a contact of it holds is silent too long.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import override_settings

from accounts.models import Organisation
from accounts.tenancy import tenant
from alerts import engine
from alerts import settings as alert_settings
from alerts.models import Alert
from crm_sync import sync
from crm_sync.models import Connection, SyncRun
from deals.clock import Clock
from deals.models import Deal, Role, Team
from tests.crm_sandbox.shapes import published
from tests.sandbox import Sandbox

Json = dict[str, Any]
NOW = datetime.now(UTC)
PARIS = ZoneInfo("Europe/Paris")
# A noon there, so that it is sixty days of its calendar on both sides of a change of the clock.
CREATED = (NOW.astimezone(PARIS).replace(hour=12) - timedelta(days=60)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Account:
    """An organisation connected to a served account, which has been read once."""

    def __init__(self, crm: str, sandbox: Sandbox) -> None:
        self.crm, self.sandbox = crm, sandbox
        self.organisation = Organisation.objects.create(name="Test", time_zone=PARIS.key)
        with tenant(self.organisation):
            self.connection = sync.connect(self.organisation, crm, f"sandbox-{crm}-token")
        sync.pull(self.connection)
        self.choose(*self.offered())

    def offered(self) -> set[str]:
        with tenant(self.organisation):
            return set(Role.objects.filter(stale=False).values_list("label", flat=True))

    def stale(self) -> set[str]:
        with tenant(self.organisation):
            return set(Role.objects.filter(stale=True).values_list("label", flat=True))

    def choose(self, *labels: str) -> None:
        """Watch these roles, with a limit of 12 days."""
        with tenant(self.organisation):
            keys = Role.objects.filter(label__in=labels).values_list("key", flat=True)
            current = alert_settings.current(self.organisation)
            draft = alert_settings.draft_of(current)
            draft["rules"]["key_role"] |= {"roles": dict.fromkeys(keys, 12)}
            clock = Clock.of(self.organisation)
            alert_settings.save(self.organisation, draft, None, clock, based_on=current.version)

    def told(self) -> set[str]:
        """The roles of which the settings tell the admin that they are gone."""
        with tenant(self.organisation):
            draft = alert_settings.draft_of(alert_settings.current(self.organisation))
            return {one.name for one in alert_settings.vanished(self.organisation, draft) if one.what == "role"}

    def silent(self) -> dict[str, int]:
        """{label: days since when the alert holds}, open alerts."""
        with tenant(self.organisation):
            clock = Clock.of(self.organisation)
            engine.evaluate(self.organisation, Deal.objects.filter(organisation=self.organisation), clock)
            labels = dict(Role.objects.values_list("key", "label"))
            found = Alert.objects.filter(kind="key_role", resolved_at=None)
            return {labels[alert.subject]: (clock.today - alert.holds_since).days for alert in found}

    def ended(self) -> set[tuple[str, str]]:
        with tenant(self.organisation):
            found = Alert.objects.filter(kind="key_role").exclude(resolved_at=None)
            return set(found.values_list("subject", "reason"))

    def pull_an_hour_later(self) -> None:
        with tenant(self.organisation):
            for run in SyncRun.objects.all():
                SyncRun.objects.filter(pk=run.pk).update(until=run.until - timedelta(hours=2))
        sync.pull(self.connection)

    def map(self, role_field: str) -> None:
        """Choose where the roles are kept, as the page does, and read."""
        with tenant(self.organisation):
            self.connection.refresh_from_db()
            sync.save_fields(self.connection, role_field, self.connection.title_field)
        sync.pull(self.connection)

    def rename(self, list_name: str, code: str, option: int | None, name: str | None) -> None:
        """Of Pipedrive's fields or their options; None deletes it."""
        fields = self.sandbox.raw(self.crm)["fixed"][list_name]
        [field] = [field for field in fields if field["field_code"] == code]
        if option is None and name:
            field["field_name"] = name
        elif option is None:
            fields.remove(field)
        else:
            field["options"] = [one for one in field["options"] if name or one["id"] != option]
            for one in field["options"]:
                one["label"] = name if one["id"] == option else one["label"]
        self.sandbox.change_account(self.crm, {list_name: fields})


@contextmanager
def account(folder: Path, crm: str, served: Json) -> Iterator[Account]:
    (folder / "scenario.json").write_text(json.dumps({crm: served}))
    with (
        Sandbox.run(folder, "--scenario", str(folder / "scenario.json")) as sandbox,
        override_settings(**{f"{crm.upper()}_API_URL": f"{sandbox.url}/{crm}"}),
    ):
        yield Account(crm, sandbox)


# ---- Pipedrive

ROLE, NOTE, BUYER, SIGNER, SELLER = ("a" * 40, "b" * 40, "c" * 40, "d" * 40, "e" * 40)
ANA, BEA = 11, 12
TEXT = "Prescriptrice; Relais\n" + "trop long pour un rôle " * 3


def field(name: str, code: str, kind: str, options: dict[int, str] | None = None) -> Json:
    [example] = [one for one in published("pipedrive", "v2_person_fields")["data"] if one["is_custom_field"]]
    listed = [{"id": id, "label": label} for id, label in options.items()] if options else None
    own = code != "label_ids"
    return example | {
        "field_name": name,
        "field_code": code,
        "field_type": kind,
        "options": listed,
        "is_custom_field": own,
    }


def pipedrive(**changes: Any) -> Json:
    """Ana is the deal's contact; Bea is named by two of its fields only."""
    times = {"add_time": CREATED, "update_time": CREATED}
    [deal] = published("pipedrive", "v2_deals_list")["data"]
    [person] = published("pipedrive", "v2_persons_list")["data"]
    people = {"emails": [], "phones": [], "org_id": None, "label_ids": [], **times}
    return {
        "personFields": [
            field("Étiquettes", "label_ids", "set", {4: "Client", 5: "Relais interne"}),
            field("Rôle d'achat", ROLE, "set", {31: "Champion", 32: "Décideur", 33: "Utilisateur"}),
            field("Notes", NOTE, "varchar"),
        ],
        "dealFields": [
            field("Acheteuse", BUYER, "people"),
            field("Signataire", SIGNER, "people"),
            field("Apporteur", SELLER, "user"),
        ],
        "pipelines": published("pipedrive", "v2_pipelines"),
        "stages": published("pipedrive", "v2_stages"),
        "persons": [
            person
            | people
            | {
                "id": ANA,
                "name": "Ana",
                "label_ids": [5],
                "custom_fields": {
                    ROLE: [31, 32],
                    NOTE: TEXT,
                },
            },
            person | people | {"id": BEA, "name": "Bea", "custom_fields": {ROLE: [33], NOTE: None}},
        ],
        "deals": [
            deal
            | times
            | {"person_id": ANA, "expected_close_date": None, "stage_change_time": None}
            | {"custom_fields": {BUYER: BEA, SIGNER: BEA, SELLER: ANA}}
        ],
    } | changes


def test_pipedrives_roles_are_found_by_themselves_before_the_first_reading_and_known_since_creation(
    transactional_db: None, tmp_path: Path
) -> None:
    with account(tmp_path, "pipedrive", pipedrive()) as it:
        with tenant(it.organisation):
            assert Connection.objects.get().role_field == ROLE
        assert it.offered() == {"Champion", "Décideur", "Utilisateur"}
        # Bea is no contact of the deal: that its fields name her is not looked at. Sixty days less the limit.
        assert it.silent() == {"Champion": 48, "Décideur": 48}


@pytest.mark.parametrize(
    ("source", "offered", "silent"),
    [
        ("label_ids", {"Client", "Relais interne"}, {"Relais interne"}),
        (NOTE, {"Prescriptrice", "Relais"}, {"Prescriptrice", "Relais"}),
        ("deal_people", {"Acheteuse", "Signataire"}, {"Acheteuse", "Signataire"}),
        ("", set(), set()),
    ],
)
def test_an_admin_says_where_pipedrive_keeps_roles_and_all_are_read_again(
    transactional_db: None, tmp_path: Path, source: str, offered: set[str], silent: set[str]
) -> None:
    with account(tmp_path, "pipedrive", pipedrive()) as it:
        assert it.silent().keys() == {"Champion", "Décideur"}
        it.map(source)
        assert it.offered() == offered
        assert it.stale() == {"Champion", "Décideur", "Utilisateur"}
        assert it.silent() == {}  # those chosen are gone, those there now are not chosen
        assert it.ended() == {("champion", "role_deleted"), ("decideur", "role_deleted")}
        assert it.told() == {"Champion", "Décideur", "Utilisateur"}
        it.choose(*offered)
        # Not known before: since this synchronisation, so in twelve days at the earliest.
        assert it.silent() == {}
        with tenant(it.organisation):
            [(_, verdicts)] = engine.verdicts(it.organisation, Deal.objects.all(), Clock.of(it.organisation))
            held = {one.subject for one in verdicts if one.rule.kind == "key_role" and one.outcome == "clear"}
            assert {Role.objects.get(key=key).label for key in held} == silent


def test_whom_a_field_of_the_deal_names_is_a_contact_of_it(transactional_db: None, tmp_path: Path) -> None:
    served = pipedrive(personFields=[])
    with account(tmp_path, "pipedrive", served) as it:  # the only roles that are there
        assert it.silent() == {"Acheteuse": 48, "Signataire": 48}
        [deal] = it.sandbox.raw("pipedrive")["tables"]["deals"]
        it.sandbox.change("pipedrive", "deals", "1", {"custom_fields": deal["fields"]["custom_fields"] | {BUYER: None}})
        sync.pull(it.connection)
        assert it.silent() == {"Signataire": 48}


def test_a_role_renamed_in_case_accents_or_punctuation_keeps_its_setting(
    transactional_db: None, tmp_path: Path
) -> None:
    with account(tmp_path, "pipedrive", pipedrive()) as it:
        before = it.silent()
        it.rename("personFields", ROLE, 31, "CHAMPION !")
        it.rename("personFields", ROLE, 32, "decideur")
        it.pull_an_hour_later()
        assert it.offered() == {"CHAMPION !", "decideur", "Utilisateur"}
        assert it.silent() == {"CHAMPION !": before["Champion"], "decideur": before["Décideur"]}
        assert it.ended() == set()
        assert it.told() == set()


@pytest.mark.parametrize(
    ("source", "list_name", "code", "option", "old"),
    [
        (ROLE, "personFields", ROLE, 31, "Champion"),
        ("label_ids", "personFields", "label_ids", 5, "Relais interne"),
        ("deal_people", "dealFields", SIGNER, None, "Signataire"),
    ],
)
@pytest.mark.parametrize("name", ["Sponsor", None])
def test_another_name_is_another_role_and_a_deleted_one_is_told(
    transactional_db: None,
    tmp_path: Path,
    source: str,
    list_name: str,
    code: str,
    option: int | None,
    old: str,
    name: str | None,
) -> None:
    """Nobody who holds it changes at the CRM, and yet they hold the new one; of the old one the admin is told."""
    with account(tmp_path, "pipedrive", pipedrive()) as it:
        it.map(source)
        it.choose(*it.offered())
        it.rename(list_name, code, option, name)
        it.pull_an_hour_later()
        assert old in it.stale()
        assert (name in it.offered()) == bool(name)
        assert it.told() == {old}
        with tenant(it.organisation):
            roles = Deal.objects.get().roles
        assert ("sponsor" in roles) == bool(name)
        assert Role(key=old.lower()).key not in roles
        assert old not in it.silent()


def test_two_roles_that_exchange_their_names_exchange_their_holders(transactional_db: None, tmp_path: Path) -> None:
    with account(tmp_path, "pipedrive", pipedrive()) as it:
        it.rename("personFields", ROLE, 31, "Utilisateur")
        it.rename("personFields", ROLE, 33, "Champion")
        it.pull_an_hour_later()
        with tenant(it.organisation):
            assert Deal.objects.get().roles.keys() == {"utilisateur", "decideur"}


def test_a_mapping_that_changes_during_a_run_is_read_whole_by_that_run(transactional_db: None, tmp_path: Path) -> None:
    with account(tmp_path, "pipedrive", pipedrive()) as it:
        with tenant(it.organisation):
            run = sync.start(Connection.objects.get())
        reader = sync.Reader(it.organisation.pk, run.pk)
        while reader.step():  # the people have been read, with the old mapping
            with tenant(it.organisation):
                if run.streams.filter(stream="persons", finished=True).exists():
                    break
        with tenant(it.organisation):
            sync.save_fields(Connection.objects.get(), "label_ids", "")
            assert SyncRun.objects.filter(finished_at=None).get() == run
        while reader.step():
            pass
        assert it.offered() == {"Client", "Relais interne"}
        with tenant(it.organisation):
            assert Deal.objects.get().roles.keys() == {"relais interne"}


def test_a_page_that_was_asked_for_with_the_old_mapping_is_not_written(transactional_db: None, tmp_path: Path) -> None:
    with account(tmp_path, "pipedrive", pipedrive()) as it:
        with tenant(it.organisation):
            connection = Connection.objects.select_related("source").get()
            sync.save_fields(connection, "label_ids", "")
            run = SyncRun.objects.select_related("connection__source", "organisation").get(finished_at=None)
            progress = run.streams.get(stream="persons")
            page = sync.provider_of(connection).read("persons", None, None, run.until)
            sync.save_fields(connection, "", "")
            sync._write(run, progress, page)
        sync.pull(it.connection)
        with tenant(it.organisation):
            assert Deal.objects.get().roles == {}


# ---- HubSpot: Ana has a label on the deal, and a buying role; labels and roles are one list.

LABEL = {"category": "USER_DEFINED", "typeId": 36, "label": "Decision maker"}
PLAIN = {"category": "HUBSPOT_DEFINED", "typeId": 3, "label": None}


def buying_roles(**labels: str) -> Json:
    definition = published("hubspot", "property_hs_buying_role")
    [example, *_] = definition["options"]
    return definition | {"options": [example | {"value": value, "label": label} for value, label in labels.items()]}


def hubspot() -> Json:
    record = {"createdAt": CREATED, "updatedAt": CREATED, "archived": False}
    deal = published("hubspot", "deal_create_request")["properties"]
    definitions = {"contacts": [buying_roles(CHAMPION="Champion", DECISION_MAKER="Decision Maker", END_USER="User")]}
    return {
        "account": published("hubspot", "account_info_details_response"),
        "owners": published("hubspot", "owners_list_response")["results"],
        "properties": definitions,
        "labels": {"deals/contacts": [LABEL, PLAIN]},
        "contacts": [{"id": str(ANA), "properties": {"hs_buying_role": ";CHAMPION;END_USER"}, **record}],
        "deals": [{"id": "1", "properties": deal | {"createdate": CREATED}, **record}],
        "associations": {
            "deals/contacts": [
                {"from": {"id": "1"}, "to": [{"toObjectId": str(ANA), "associationTypes": [LABEL, PLAIN]}]}
            ]
        },
    }


def test_hubspots_labels_and_buying_roles_are_one_list_and_a_contact_may_have_several(
    transactional_db: None, tmp_path: Path
) -> None:
    with account(tmp_path, "hubspot", hubspot()) as it:
        assert {label.casefold() for label in it.offered()} == {"champion", "decision maker", "user"}
        assert {label.casefold(): days for label, days in it.silent().items()} == {
            "champion": 48,
            "decision maker": 48,
            "user": 48,
        }


@pytest.mark.parametrize(
    ("lists", "offered", "silent", "told"),
    [
        (  # the value of the buying role stays, its label is another
            {"properties": {"contacts": [buying_roles(CHAMPION="Relais", DECISION_MAKER="DM", END_USER="User")]}},
            {"relais", "dm", "user", "decision maker"},
            {"decision maker", "user"},
            {"champion"},
        ),
        (
            {"labels": {"deals/contacts": [LABEL | {"label": "Signs"}, PLAIN]}},
            {"champion", "decision maker", "user", "signs"},
            {"champion", "user"},
            set(),  # a buying role of that name is still offered, and nobody holds it
        ),
        (
            {"labels": {"deals/contacts": [LABEL | {"label": "DECISION-MAKER"}, PLAIN]}},
            {"champion", "decision maker", "decision-maker", "user"},
            {"champion", "decision maker", "user"},
            set(),
        ),
        (  # deleted
            {"properties": {"contacts": [buying_roles(DECISION_MAKER="Decision Maker", END_USER="User")]}},
            {"decision maker", "user"},
            {"decision maker", "user"},
            {"champion"},
        ),
    ],
)
def test_hubspots_roles_are_renamed_and_deleted(
    transactional_db: None, tmp_path: Path, lists: Json, offered: set[str], silent: set[str], told: set[str]
) -> None:
    with account(tmp_path, "hubspot", hubspot()) as it:
        assert len(it.silent()) == 3
        it.sandbox.change_account("hubspot", lists)
        it.pull_an_hour_later()
        assert {label.casefold() for label in it.offered()} <= offered
        assert {label.casefold().replace("-", " ") for label in it.silent()} == silent
        assert {label.casefold() for label in it.told()} == told


def test_hubspots_teams_are_read_and_a_team_that_nobody_is_in_any_more_is_stale(
    transactional_db: None, tmp_path: Path
) -> None:
    with account(tmp_path, "hubspot", hubspot()) as it:
        with tenant(it.organisation):
            team = Team.objects.get()
            assert (team.name, team.external_id, team.stale, team.members.count()) == ("Sales Team", "368389", False, 2)
        owners = [owner | {"teams": []} for owner in it.sandbox.raw("hubspot")["fixed"]["owners"]]
        it.sandbox.change_account("hubspot", {"owners": owners})
        it.pull_an_hour_later()
        with tenant(it.organisation):
            team.refresh_from_db()
            assert (team.stale, team.members.count()) == (True, 0)
