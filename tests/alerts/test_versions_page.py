"""The history of the settings: who, when and what; compare, restore; export and import with the same validation."""

import re
from decimal import Decimal
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from alerts import settings as alert_settings
from alerts.models import Configuration, Run
from alerts.rules import RULES
from tests.pages import log_in, world_now
from tests.world import World

pytestmark = pytest.mark.django_db
VERSIONS, IMPORT = "/settings/alerts/versions/", "/settings/alerts/import/"


@pytest.fixture
def world() -> World:
    """Version 1 flags d12 alone; version 2 d8 too."""
    world = world_now()
    world.first_synced()
    for days in (8, 12):
        world.deal(f"d{days}", title=f"Quiet {days}", created_at=world.at(days), amount=Decimal(100 * days))
    world.configure(**{rule.kind: False for rule in RULES if rule.kind != "no_activity"})
    world.configure(no_activity={"days": 8})
    world.evaluate()
    return world


def in_force(world: World) -> Configuration:
    with world.inside():
        return alert_settings.current(world.organisation)


def text_of(answer: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", answer.content.decode()).split())


def statements(client: Client, path: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert client.get(path).status_code == 200
    return len(captured)


# ---- The list


def test_every_member_reads_who_changed_what_and_when(world: World) -> None:
    with world.inside():
        Configuration.objects.filter(version=2).update(saved_by=log_in(world).session["_auth_user_id"])
    answer = log_in(world, role="rep", email="bob@vigie.example").get(VERSIONS)
    page = text_of(answer)
    assert "Version 2 in force Ana Ruiz" in page
    assert "No activity, Days: 10 → 8" in page
    assert page.index("Version 2") < page.index("Version 1") < page.index("As Vigie comes")
    assert "Restore" not in page
    assert IMPORT not in answer.content.decode()


def test_before_the_first_save_the_page_says_so() -> None:
    page = text_of(log_in(world_now()).get(VERSIONS))
    assert "As Vigie comes in force" in page
    assert "Nobody has saved settings yet." in page


def test_versions_come_in_pages(world: World) -> None:
    for days in range(10, 50):
        world.configure(no_activity={"days": days})
    client = log_in(world)
    first, last = text_of(client.get(VERSIONS)), text_of(client.get(f"{VERSIONS}?page=3"))
    assert ("Version 42" in first, "Version 22" in first, "Page 1 of 3" in first) == (True, False, True)
    assert ("Version 2 " in last, "As Vigie comes" in last, "No activity, Days: 10 → 8" in last) == (True, True, True)
    for page in ("0", "99", "x", "9" * 40, "-1", "１"):
        assert client.get(f"{VERSIONS}?page={page}").status_code == 200


def test_forty_versions_take_as_many_statements_as_two(world: World) -> None:
    client = log_in(world)
    few = statements(client, VERSIONS)
    for days in range(10, 50):
        world.configure(no_activity={"days": days})
    assert statements(client, VERSIONS) == few


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("1", "2", "No activity, Days: 10 → 8"),
        ("2", "1", "No activity, Days: 8 → 10"),
        ("0", "1", "Deal too old: switched off"),
        ("2", "2", "They say the same."),
        ("2", "3", "Choose two versions that exist."),
        ("", "2", "Choose two versions that exist."),
        ("x", "2", "Choose two versions that exist."),
        ("9" * 40, "2", "Choose two versions that exist."),
    ],
)
def test_any_two_versions_are_compared(world: World, old: str, new: str, said: str) -> None:
    compared = text_of(log_in(world).get(f"{VERSIONS}?from={old}&to={new}")).partition("Tick two versions")[0]
    assert said in compared


# ---- One version


def test_a_version_says_what_restoring_it_would_change_and_do(world: World) -> None:
    client = log_in(world)
    page = text_of(client.get(f"{VERSIONS}1/"))
    assert "What restoring it would change No activity, Days: 8 → 10" in page
    assert "No activity 2 → 1 −1" in page
    behind = text_of(client.get(f"{VERSIONS}1/?show=cleared.no_activity"))
    assert ("Quiet 8" in behind, "Quiet 12" in behind) == (True, False)


def test_restoring_saves_a_new_version_and_starts_a_re_evaluation(world: World) -> None:
    answer = log_in(world).post(f"{VERSIONS}1/", {"version": "2"})
    with world.inside():
        run = Run.objects.get(organisation=world.organisation, cause=Run.Cause.SETTINGS)
    assert (answer.status_code, answer["Location"]) == (302, f"/settings/alerts/?run={run.pk}")
    assert (in_force(world).version, in_force(world).rules["no_activity"]["days"]) == (3, 10)


def test_version_0_restores_what_vigie_comes_with(world: World) -> None:
    assert log_in(world).post(f"{VERSIONS}0/", {"version": "2"}).status_code == 302
    assert in_force(world).rules == alert_settings.defaults()


@pytest.mark.parametrize("version", ["1", "", "x", "9" * 40])
def test_restoring_over_somebody_elses_change_is_told_first(world: World, version: str) -> None:
    answer = log_in(world).post(f"{VERSIONS}1/", {"version": version})
    assert answer.status_code == 409
    assert "saved other settings meanwhile" in text_of(answer)
    assert in_force(world).version == 2
    assert 'name="version" value="2"' in answer.content.decode()


@pytest.mark.parametrize("version", ["3", "99999999999", "9" * 40])
def test_a_version_that_does_not_exist_is_not_found(world: World, version: str) -> None:
    client = log_in(world)
    assert client.get(f"{VERSIONS}{version}/").status_code == 404
    assert client.post(f"{VERSIONS}{version}/", {"version": "2"}).status_code == 404


def test_versions_of_another_organisation_are_not_found(world: World) -> None:
    eve = log_in(world_now(), email="eve@elsewhere.example")
    assert eve.get(f"{VERSIONS}2/").status_code == 404
    assert "Version" not in text_of(eve.get(VERSIONS)).replace("Versions", "")


def test_only_admins_restore(world: World) -> None:
    rep = log_in(world, role="rep", email="bob@vigie.example")
    assert "Restore this version" not in text_of(rep.get(f"{VERSIONS}1/"))
    assert rep.post(f"{VERSIONS}1/", {"version": "2"}).status_code == 403
    assert in_force(world).version == 2


# ---- YAML


def file_of(text: str | bytes) -> SimpleUploadedFile:
    return SimpleUploadedFile("alerts.yaml", text if isinstance(text, bytes) else text.encode())


def test_the_export_can_be_imported_and_changes_nothing(world: World) -> None:
    client = log_in(world)
    exported = client.get("/api/v1/alerts/settings/export/").content
    answer = client.post(IMPORT, {"file": file_of(exported)})
    assert "Nothing: it says the same as the version in force." in text_of(answer)
    assert 'name="save"' not in answer.content.decode()


@pytest.mark.parametrize("by_file", [True, False])
def test_an_import_is_checked_shown_and_saved(world: World, by_file: bool) -> None:
    client, text = log_in(world), "rules:\n  no_activity:\n    days: 13\n"
    checked = client.post(IMPORT, {"file": file_of(text)} if by_file else {"text": text})
    page = text_of(checked)
    assert "No activity, Days: 8 → 13" in page
    assert "Deal too old: switched on" in page
    assert "No activity 2 → 0 −2" in page
    assert in_force(world).version == 2
    carried = checked.context["text"]
    behind = client.post(IMPORT, {"text": carried, "version": "2", "show": "cleared.no_activity"})
    assert "Quiet 12" in text_of(behind)
    assert client.post(IMPORT, {"text": carried, "version": "2", "save": "1"}).status_code == 302
    assert (in_force(world).version, in_force(world).rules["no_activity"]["days"]) == (3, 13)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "rules:\n  no_activity:\n    days: 900\n",
            "rules.no_activity.days Line 3: Enter a whole number from 1 to 365.",
        ),
        ("rules:\n  nonsense: {}\n", "rules.nonsense Line 2: There is no alert of this name."),
        ("pipelines: [Nowhere]\n", "pipelines.0 Line 1: There is none with the name “Nowhere” here."),
        ("rules: [", "this cannot be read as YAML."),
        ("", "Choose a file, or paste its text."),
        ("- 1", "This file holds no alert settings."),
    ],
)
def test_an_import_that_is_wrong_says_where_and_keeps_the_text(world: World, text: str, said: str) -> None:
    answer = log_in(world).post(IMPORT, {"text": text, "version": "2", "save": "1"})
    assert answer.status_code == 422
    assert said in text_of(answer)
    assert answer.context["text"] == text
    assert in_force(world).version == 2


@pytest.mark.parametrize("file", [b"\x00\xff\xfe", b"a: &x [1]\nb: *x\n", b"#" * 300_000, b"\xef\xbb\xbf\x00"])
def test_a_file_that_is_no_such_file_is_told_so(world: World, file: bytes) -> None:
    answer = log_in(world).post(IMPORT, {"file": file_of(file)})
    assert answer.status_code == 422
    assert "This file cannot be imported as it is." in text_of(answer)


def test_an_import_over_somebody_elses_change_is_told_first(world: World) -> None:
    text = "rules:\n  no_activity:\n    days: 13\n"
    answer = log_in(world).post(IMPORT, {"text": text, "version": "1", "save": "1"})
    assert answer.status_code == 409
    assert "No activity, Days: 10 → 8" in text_of(answer)
    assert in_force(world).version == 2


def test_only_admins_import(world: World) -> None:
    rep = log_in(world, role="rep", email="bob@vigie.example")
    assert 'name="text"' not in rep.get(IMPORT).content.decode()
    assert rep.post(IMPORT, {"text": "rules: {}", "version": "2", "save": "1"}).status_code == 403


def test_french(world: World) -> None:
    client = log_in(world, language="fr")
    assert "Versions des réglages" in text_of(client.get(VERSIONS))
    assert "Restaurer cette version" in text_of(client.get(f"{VERSIONS}1/"))
    assert "Ligne 3" in text_of(client.post(IMPORT, {"text": "rules:\n  no_activity:\n    days: 900\n"}))
