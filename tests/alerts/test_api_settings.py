"""The alert settings by the API: read by every member, changed by admins, all of a draft or nothing."""

import json
import re
from copy import deepcopy
from typing import Any

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from alerts import settings as alert_settings
from alerts.api import urls as api_urls
from alerts.models import Run
from deals.models import Pipeline, Role, Stage, Team
from tests.api import Api
from tests.pages import log_in, world_now
from tests.world import World

pytestmark = pytest.mark.django_db
SETTINGS, VERSIONS = "alerts/settings/", "alerts/settings/versions/"


@pytest.fixture
def world() -> World:
    return world_now()


@pytest.fixture
def api(world: World) -> Api:
    return Api(world)


def draft_in_force(api: Api) -> dict[str, Any]:
    return deepcopy(api("get", SETTINGS)[1]["draft"])


def with_days(draft: dict[str, Any], days: Any) -> dict[str, Any]:
    return draft | {"rules": draft["rules"] | {"no_activity": {"enabled": True, "days": days}}}


def current(world: World) -> dict[str, Any]:
    with world.inside():
        return alert_settings.draft_of(alert_settings.current(world.organisation))


# ---- Read and save


def test_every_member_reads_the_version_in_force(world: World) -> None:
    status, told = Api(world, role="rep")("get", SETTINGS)
    assert status == 200
    assert told["version"] == 0
    assert told["draft"]["rules"] == alert_settings.defaults()
    assert (told["saved_by"], told["saved_at"], told["run"], told["vanished"]) == (None, None, None, [])


def test_what_is_read_can_be_saved_as_it_is(world: World, api: Api) -> None:
    draft = draft_in_force(api)
    status, told = api("put", SETTINGS, {"based_on": 0, **draft})
    assert (status, told["version"], told["saved_by"]) == (200, 1, "Ana Ruiz")
    assert draft_in_force(api) == draft


def test_saving_starts_a_run_whose_progress_can_be_followed(world: World, api: Api) -> None:
    world.first_synced()
    world.deal()
    _status, told = api("put", SETTINGS, {"based_on": 0, **with_days(draft_in_force(api), 3)})
    assert current(world)["rules"]["no_activity"]["days"] == 3
    run = told["run"]
    assert (run["done"], run["total"], run["finished_at"]) == (0, 1, None)
    assert api("get", run["url"]) == (200, run)
    assert api("get", SETTINGS)[1]["run"] == run
    with world.inside():
        Run.objects.update(finished_at=world.clock.now, done=1)
    assert api("get", run["url"])[1]["finished_at"] is not None
    assert api("get", SETTINGS)[1]["run"] is None


def test_members_who_are_no_admins_change_nothing(world: World, api: Api) -> None:
    for role in ("rep", "manager"):
        other = Api(world, role, f"{role}@vigie.example")
        for method, path in (
            ("put", SETTINGS),
            ("post", f"{VERSIONS}0/restore/"),
            ("post", "alerts/settings/import/"),
            ("post", "alerts/teams/"),
        ):
            status, told = other(method, path, {"based_on": 0})
            assert (status, told["code"]) == (403, "permission_denied")
            assert "Only an admin" in told["detail"]
    assert current(world)["rules"] == alert_settings.defaults()
    assert api("get", VERSIONS)[1]["count"] == 0


def test_without_a_login_or_an_organisation_nothing_is_told(client: Client, world: World) -> None:
    answer = client.get(f"/api/v1/{SETTINGS}")
    assert (answer.status_code, answer.json()) == (401, {"code": "not_authenticated", "detail": "Log in first."})
    assert client.get("/api/v1/nothing/").status_code == 401
    stranger = User.objects.create_user("eve@elsewhere.example")
    client.force_login(stranger, backend="django.contrib.auth.backends.ModelBackend")
    answer = client.get(f"/api/v1/{SETTINGS}")
    assert (answer.status_code, answer.json()["code"]) == (403, "no_organisation")


def test_a_change_needs_the_csrf_token(world: World) -> None:
    log_in(world)
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get(), backend="django.contrib.auth.backends.ModelBackend")
    body = {"based_on": 0}
    answer = strict.put(f"/api/v1/{SETTINGS}", body, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (403, "csrf")
    strict.get("/settings/alerts/?edit=1")
    token = strict.cookies["csrftoken"].value
    answer = strict.put(f"/api/v1/{SETTINGS}", body, content_type="application/json", headers={"X-CSRFToken": token})
    assert answer.status_code == 200


def test_the_later_of_two_admins_is_told_in_words_what_the_other_changed(world: World, api: Api) -> None:
    with world.inside():
        sales = Pipeline.objects.get().pk
        stage = Stage.objects.get(external_id="s1").pk
        team = Team.objects.create(organisation=world.organisation, name="Nord").pk
    first = draft_in_force(api)
    draft = with_days(deepcopy(first), 7)
    draft["rules"]["deal_too_old"] = {"enabled": False, "days": 50}
    draft["rules"]["key_role"]["roles"] = {"champion": 5}
    draft["rules"]["stuck_in_stage"]["stages"] = {str(stage): 4}
    draft["rules"]["power_map"]["level"] = 3
    draft |= {"pipelines": [sales], "business_days": True}
    draft["overrides"] = [{"name": "North", "pipelines": [], "teams": [team], "rules": {"no_activity": {"days": 3}}}]
    assert api("put", SETTINGS, {"based_on": 0, **draft})[0] == 200
    bob = Api(world, email="bob@vigie.example")
    status, told = bob("put", SETTINGS, {"based_on": 0, **first})
    assert (status, told["code"]) == (409, "conflict")
    assert told["detail"] == "Ana Ruiz saved other settings meanwhile; nothing was saved."
    assert told["current"]["version"] == 1
    assert told["current"]["draft"] == draft
    assert told["changes"] == [
        "No activity, Days: 10 → 7",
        "Key role silent, Roles: none → Champion 5",
        "No decision maker engaged, Level: Director → C-level",
        "Stuck in stage, Limit for each stage: none → Sales / Demo 4",
        "Deal too old: switched off",
        "The override “North” was added",
        "Override “North”: Teams: none → Nord",
        "Override “North”: No activity, Days: as everywhere → 3",
        "Watched pipelines: all → Sales",
        "Days are counted as: calendar days → business days",
    ]
    assert current(world) == draft


@pytest.mark.parametrize("version", [None, "", "x", True, 1.0, [0], {}])
def test_a_change_must_say_what_it_was_made_from(world: World, api: Api, version: Any) -> None:
    status, told = api("put", SETTINGS, {"based_on": version})
    assert (status, told["errors"]) == (422, {"based_on": ["Say from which version this was made."]})


@pytest.mark.parametrize("version", [-1, 1, 10**12])
def test_a_version_that_never_was_is_a_conflict_without_differences(api: Api, version: int) -> None:
    status, told = api("put", SETTINGS, {"based_on": version})
    assert (status, told["changes"]) == (409, [])


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("rules.no_activity.days", {"rules": {"no_activity": {"days": 0}}}),
        ("rules.no_activity.days", {"rules": {"no_activity": {"days": 366}}}),
        ("rules.no_activity.days", {"rules": {"no_activity": {"days": None}}}),
        ("rules.no_activity.hours", {"rules": {"no_activity": {"hours": 1}}}),
        ("rules.no_such", {"rules": {"no_such": {}}}),
        ("rules", {"rules": []}),
        ("overrides.0.name", {"overrides": [{"name": "\u0000 ", "pipelines": ["p"]}]}),
        ("pipelines", {"pipelines": [10**30]}),
        ("pipelines", {"pipelines": "all"}),
        ("business_days", {"business_days": "yes"}),
        ("colour", {"colour": 1}),
    ],
)
def test_what_is_not_valid_is_told_by_path_and_nothing_is_saved(
    world: World, api: Api, path: str, change: dict[str, Any]
) -> None:
    status, told = api("put", SETTINGS, {"based_on": 0, **change})
    assert (status, told["code"]) == (422, "invalid")
    assert told["errors"][path]
    assert api("get", SETTINGS)[1]["version"] == 0


def test_a_pipeline_or_stage_of_another_organisation_is_as_unknown_as_any(world: World, api: Api) -> None:
    other = world_now()
    with other.inside():
        pipeline, stage = Pipeline.objects.get().pk, Stage.objects.first().pk
    for foreign, unknown in ((pipeline, 10**15), (stage, 10**15)):
        drafts = [
            {
                "based_on": 0,
                "pipelines": [pk],
                "rules": {"stuck_in_stage": {"stages": {str(pk): 5}}},
                "overrides": [{"name": "x", "pipelines": [pk], "teams": [pk], "rules": {}}],
            }
            for pk in (foreign, unknown)
        ]
        mine, theirs = (api("put", SETTINGS, draft) for draft in drafts)
        assert mine[0] == theirs[0] == 422
        assert str(mine[1]).replace(str(foreign), "N") == str(theirs[1]).replace(str(unknown), "N")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 422, "invalid"),
        (b"{", 400, "parse_error"),
        (b"[]", 400, "parse_error"),
        (b'"x"', 400, "parse_error"),
        (b'{"based_on": NaN}', 400, "parse_error"),
        (b'{"based_on": ' + b"9" * 5000 + b"}", 400, "parse_error"),
        (b'{"a": "\\ud800"}', 400, "parse_error"),
        (b"\xff\xff", 400, "parse_error"),
        (b"[" * 100_000, 400, "parse_error"),
        (b" " * (1024 * 1024 + 1), 413, "too_large"),
    ],
    ids=range(10),
)
def test_a_body_that_cannot_be_read_is_refused_in_plain_words(api: Api, body: bytes, status: int, code: str) -> None:
    answer = api.client.put(f"/api/v1/{SETTINGS}", body, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_other_methods_kinds_and_addresses_are_refused_in_json(api: Api) -> None:
    assert api("delete", SETTINGS)[0] == 405
    assert api("options", SETTINGS)[1]["code"] == "method_not_allowed"
    answer = api.client.put(f"/api/v1/{SETTINGS}", "x=1", content_type="application/x-www-form-urlencoded")
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    for path in ("", "nothing/", "alerts/settings", "alerts/runs/x/", f"{VERSIONS}-1/"):
        assert api("get", path)[1]["code"] == "not_found"
    answer = api.client.get(f"/api/v1/{SETTINGS}", headers={"accept": "text/html"})
    assert answer["Content-Type"] == "application/json"


def test_refusals_are_in_the_readers_language(world: World) -> None:
    french = Api(world, language="fr")
    _status, told = french("put", SETTINGS, {"based_on": 0, "rules": {"no_activity": {"days": 0}}})
    assert told["errors"] == {"rules.no_activity.days": ["Saisissez un nombre entier de 1 à 365."]}
    assert french("get", "nothing/")[1]["detail"].startswith("Rien ne se trouve à cette adresse")


def test_what_settings_name_in_vain_is_told(world: World, api: Api) -> None:
    world.configure(key_role={"roles": {"champion": 5}})
    with world.inside():
        Role.objects.filter(key="champion").update(stale=True)
    gone = {"where": "rules.key_role", "what": "role", "name": "Champion"}
    assert api("get", SETTINGS)[1]["vanished"] == [gone]


def test_the_choices_are_what_a_draft_may_say(world: World, api: Api) -> None:
    told = api("get", "alerts/settings/choices/")[1]
    [sales] = told["pipelines"]
    draft = {
        "based_on": 0,
        "rules": {
            rule["kind"]: {name: p["default"] for name, p in rule["parameters"].items()} for rule in told["rules"]
        },
        "pipelines": [sales["id"]],
    }
    draft["rules"]["key_role"]["roles"] = {role["key"]: 5 for role in told["roles"]}
    draft["rules"]["stuck_in_stage"]["stages"] = {stage["id"]: 5 for stage in sales["stages"]}
    assert [stage["name"] for stage in sales["stages"]] == ["Demo", "Offer"]
    assert api("put", SETTINGS, draft)[0] == 200
    assert set(current(world)["rules"]["key_role"]["roles"]) == {"champion", "decision maker"}


# ---- Versions


def test_versions_tell_who_when_and_what_changed(world: World, api: Api) -> None:
    for version, days in enumerate((7, 8)):
        api("put", SETTINGS, {"based_on": version, **with_days(draft_in_force(api), days)})
    told = api("get", VERSIONS)[1]
    assert [(v["version"], v["saved_by"], v["changes"]) for v in told["results"]] == [
        (2, "Ana Ruiz", ["No activity, Days: 7 → 8"]),
        (1, "Ana Ruiz", ["No activity, Days: 10 → 7"]),
    ]
    status, first = api("get", told["results"][1]["url"])
    assert (status, first["draft"]["rules"]["no_activity"]["days"]) == (200, 7)
    assert api("get", f"{VERSIONS}3/") == api("get", f"{VERSIONS}99999999999999999999999/")


def test_versions_come_in_pages_and_each_knows_the_one_before(world: World, api: Api) -> None:
    for days in range(1, 8):
        world.configure(no_activity={"days": days})
    path, changes = f"{VERSIONS}?page_size=3", []
    while path:
        status, told = api("get", path)
        assert (status, told["count"]) == (200, 7)
        changes += [change for version in told["results"] for change in version["changes"]]
        path = told["next"]
    assert changes == [f"No activity, Days: {n - 1 or 10} → {n}" for n in range(7, 0, -1)]
    assert told["previous"].endswith("?page_size=3&page=2")
    for query in ("page=0", "page=x", "page_size=201", "page=9999999", "page_size=-1"):
        assert api("get", f"{VERSIONS}?{query}")[0] == 422
    assert api("get", f"{VERSIONS}?page=9")[1]["results"] == []


def statements(api: Api, *request: Any) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert api(*request)[0] == 200
    return len(captured)


def test_one_version_and_thirty_cost_the_same_statements(world: World, api: Api) -> None:
    world.configure(no_activity={"days": 1})
    one = statements(api, "get", VERSIONS)
    for days in range(2, 31):
        world.configure(no_activity={"days": days})
    assert statements(api, "get", VERSIONS) == one
    assert one <= 12


def test_restoring_makes_a_new_version_equal_to_the_old_one(world: World, api: Api) -> None:
    api("put", SETTINGS, {"based_on": 0, **with_days(draft_in_force(api), 7)})
    old = draft_in_force(api)
    api("put", SETTINGS, {"based_on": 1, **with_days(draft_in_force(api), 8), "business_days": True})
    assert api("post", f"{VERSIONS}1/restore/", {"based_on": 1})[0] == 409
    status, told = api("post", f"{VERSIONS}1/restore/", {"based_on": 2})
    assert (status, told["version"], told["draft"]) == (200, 3, old)
    assert told["run"]["url"]
    assert api("post", f"{VERSIONS}0/restore/", {"based_on": 3})[1]["draft"]["rules"] == alert_settings.defaults()
    assert api("post", f"{VERSIONS}9/restore/", {"based_on": 4})[0] == 404
    assert api("post", f"{VERSIONS}1/restore/", {})[0] == 422


def test_what_has_vanished_stays_in_a_restored_version_and_is_told(world: World, api: Api) -> None:
    with world.inside():
        stage = str(Stage.objects.get(external_id="s2").pk)
    world.configure(stuck_in_stage={"stages": {stage: 4}})
    world.configure(stuck_in_stage={"stages": {}})
    with world.inside():
        Stage.objects.filter(pk=stage).update(deleted=True)
    _status, told = api("post", f"{VERSIONS}1/restore/", {"based_on": 2})
    assert told["draft"]["rules"]["stuck_in_stage"]["stages"] == {stage: 4}
    assert told["vanished"] == [{"where": "rules.stuck_in_stage", "what": "stage", "name": "Offer"}]


# ---- YAML


def test_the_export_can_be_imported_as_text_and_as_a_file(world: World, api: Api) -> None:
    world.configure(no_activity={"days": 3}, business_days=True)
    answer = api.client.get("/api/v1/alerts/settings/export/")
    assert answer["Content-Type"] == "application/yaml; charset=utf-8"
    assert answer["Content-Disposition"] == 'attachment; filename="alerts-1.yaml"'
    text, before = answer.content, current(world)
    status, told = api("post", "alerts/settings/import/?dry_run", text)
    assert (status, told["based_on"], told["changes"], told["draft"]) == (200, 1, [], before)
    status, told = api("post", "alerts/settings/import/?based_on=1", text.replace(b"days: 3", b"days: 4", 1))
    assert (status, told["version"], told["draft"]["rules"]["no_activity"]["days"]) == (200, 2, 4)
    file = SimpleUploadedFile("alerts.yaml", text, "application/octet-stream")
    answer = api.client.post("/api/v1/alerts/settings/import/?based_on=2", {"file": file})
    assert answer.json()["version"] == 3
    assert current(world) == before


def test_an_import_is_dry_checked_and_never_overwrites_silently(world: World, api: Api) -> None:
    path = "alerts/settings/import/"
    _status, told = api("post", f"{path}?dry_run", b"rules: {no_activity: {days: 4}}")
    assert told["changes"] == ["No activity, Days: 10 → 4"]
    assert api("get", SETTINGS)[1]["version"] == 0
    assert api("post", path, b"business_days: true")[0] == 422
    assert api("post", f"{path}?based_on=1", b"business_days: true")[0] == 409
    status, told = api("post", f"{path}?based_on=0", b"rules:\n  no_activity:\n    days: 0")
    assert (status, list(told["errors"])) == (422, ["rules.no_activity.days"])
    assert api("post", f"{path}?dry_run", b"#" * (256 * 1024 + 1))[0] == 413
    assert api.client.post(f"/api/v1/{path}?dry_run", {"other": "x"}).json()["errors"] == {"file": ["Choose a file."]}
    for kind in ("application/yaml", "text/yaml", "text/plain; charset=utf-8"):
        answer = api.client.post(f"/api/v1/{path}?dry_run", b"business_days: true", content_type=kind)
        assert answer.json()["draft"]["business_days"] is True
    assert api("get", SETTINGS)[1]["version"] == 0


# ---- The documentation


def test_every_address_and_method_is_documented_and_no_other() -> None:
    text = (settings.BASE_DIR / "docs" / "api.md").read_text()
    documented = set(re.findall(r"^### `([A-Z]+) (\S+)`$", text, re.MULTILINE))
    served = set()
    for pattern in api_urls.urlpatterns:
        if pattern.name:
            path = "/api/v1/" + re.sub(r"<int:pk>", "{id}", str(pattern.pattern)).replace("<int:version>", "{version}")
            view = pattern.callback.view_class
            allowed = {name for name in view.http_method_names if hasattr(view, name)} - {"head", "options"}
            served |= {(method.upper(), path) for method in allowed}
    assert documented == served


def test_the_documented_examples_are_valid(api: Api) -> None:
    text = (settings.BASE_DIR / "docs" / "api.md").read_text()
    [example] = [block for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL) if '"business_days"' in block]
    status, told = api("put", SETTINGS, {"based_on": 0, **json.loads(example)})
    assert (status, set(told["errors"])) == (422, {"overrides.0.pipelines", "rules.stuck_in_stage.stages"})
    [written] = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    status, told = api("post", "alerts/settings/import/?dry_run", written.encode())
    assert (status, set(told["errors"])) == (422, {"overrides.0.pipelines.0"})
