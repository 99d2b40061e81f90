"""Settings → Deals → Alerts: read by every member, changed by admins, all of a draft or nothing."""

import re
from typing import Any

import pytest
from django.test import Client

from alerts import settings as alert_settings
from alerts.models import Run
from deals.models import Role, Stage
from tests.pages import log_in, world_now
from tests.world import World

pytestmark = pytest.mark.django_db
PAGE = "/settings/alerts/"


@pytest.fixture
def world() -> World:
    return world_now()


def draft(client: Client) -> dict[str, Any]:
    """What a browser would send of the edit page, unchanged."""
    form = client.get(f"{PAGE}?edit=1").context["form"]
    data: dict[str, Any] = {"version": client.get(f"{PAGE}?edit=1").context["version"]}
    for each in form.rules:
        if each.enabled:
            data[f"{each.rule.kind}.enabled"] = "on"
        for field in each.every():
            if field.widget != "flag":
                data[field.name] = field.value
            elif field.value:
                data[field.name] = "on"
        if chosen := [field.key for field in each.roles if field.chosen]:
            data[f"{each.rule.kind}.roles"] = chosen
    return data


def current(world: World) -> dict[str, Any]:
    with world.inside():
        return alert_settings.current(world.organisation).rules


def _stage(world: World, ref: str) -> int:
    with world.inside():
        return Stage.objects.get(external_id=ref).pk


def test_the_read_view_is_the_form_disabled(world: World) -> None:
    page = log_in(world).get(PAGE).content.decode()
    inputs = re.findall(r"<(?:input|select)[^>]*name=\"[a-z_]+\.[^>]*>", page)
    assert len(inputs) > 15
    assert all("disabled" in tag for tag in inputs)
    assert 'href="?edit=1"' in page
    assert ">Save</button>" not in page


def test_saving_applies_everything_at_once_and_starts_a_re_evaluation(world: World) -> None:
    client = log_in(world)
    stage = str(_stage(world, "s2"))
    data = draft(client) | {
        "no_activity.days": "7",
        "power_map.level": "3",
        f"stuck_in_stage.stages.{stage}": "30",
        "key_role.roles": ["champion"],
        "key_role.roles.champion": "5",
    }
    del data["deal_too_old.enabled"], data["amount_empty.zero"]
    answer = client.post(PAGE, data)
    assert answer.status_code == 302
    rules = current(world)
    assert rules["no_activity"] == {"enabled": True, "days": 7}
    assert rules["power_map"]["level"] == 3
    assert rules["stuck_in_stage"]["stages"] == {stage: 30}
    assert rules["key_role"]["roles"] == {"champion": 5}
    assert rules["deal_too_old"] == {"enabled": False, "days": 50}
    assert rules["amount_empty"]["zero"] is False
    with world.inside():
        run = Run.objects.get(organisation=world.organisation, cause=Run.Cause.SETTINGS)
    assert answer["Location"] == f"{PAGE}?run={run.pk}"
    page = client.get(answer["Location"]).content.decode()
    assert "Alerts are being recalculated" in page
    assert "Version 1, saved by Ana Ruiz" in page


@pytest.mark.parametrize("value", ["0", "366", "-1", "ten", "", "1.5", "1e2", "999999", "<b>"])
def test_a_limit_out_of_bounds_is_refused_beside_its_field_and_nothing_is_saved(world: World, value: str) -> None:
    client = log_in(world)
    answer = client.post(PAGE, draft(client) | {"no_activity.days": value, "deal_too_old.days": "20"})
    assert answer.status_code == 422
    page = answer.content.decode()
    assert "Enter a whole number from 1 to 365." in page
    assert re.search(r'id="no_activity-days"[^>]*aria-invalid="true"', page)
    assert 'name="deal_too_old.days" id="deal_too_old-days" value="20"' in page
    assert current(world) == alert_settings.defaults()


def test_a_wrong_limit_for_one_stage_is_told_at_that_stage(world: World) -> None:
    client = log_in(world)
    stage = _stage(world, "s1")
    answer = client.post(PAGE, draft(client) | {f"stuck_in_stage.stages.{stage}": "0"})
    assert answer.status_code == 422
    [wrong] = answer.context["form"].errors
    assert wrong.name == f"stuck_in_stage.stages.{stage}"


def test_stages_of_another_organisation_and_unknown_fields_are_left_out(world: World) -> None:
    client, foreign = log_in(world), _stage(world_now(), "s1")
    data = {f"stuck_in_stage.stages.{foreign}": "5", "nonsense.days": "5", "no_activity.nonsense": "5"}
    assert client.post(PAGE, draft(client) | data).status_code == 302
    assert current(world) == alert_settings.defaults()


def test_members_who_are_no_admins_read_and_cannot_change(world: World) -> None:
    data = draft(log_in(world))
    rep = log_in(world, role="rep", email="bob@vigie.example")
    page = rep.get(f"{PAGE}?edit=1").content.decode()
    assert "Only admins can change them." in page
    assert ">Save</button>" not in page
    answer = rep.post(PAGE, data | {"no_activity.days": "3"})
    assert answer.status_code == 403
    assert "Only an admin of your organisation may do this." in answer.content.decode()
    assert current(world) == alert_settings.defaults()


def test_the_later_of_two_admins_is_told_what_changed_and_keeps_the_draft(world: World) -> None:
    ana, bob = log_in(world), log_in(world, email="bob@vigie.example")
    first, second = draft(ana), draft(bob)
    assert ana.post(PAGE, first | {"no_activity.days": "7"}).status_code == 302
    answer = bob.post(PAGE, second | {"no_activity.days": "9", "deal_too_old.days": "99"})
    assert answer.status_code == 409
    page = answer.content.decode()
    assert "Ana Ruiz saved other settings meanwhile" in page
    assert "No activity, Days: 10 → 7" in page
    assert 'name="no_activity.days" id="no_activity-days" value="9"' in page
    assert current(world)["no_activity"]["days"] == 7
    again = second | {"no_activity.days": "9", "deal_too_old.days": "99", "version": answer.context["version"]}
    assert bob.post(PAGE, again).status_code == 302
    assert current(world)["deal_too_old"]["days"] == 99


@pytest.mark.parametrize("version", ["", "-1", "abc", "99999999999"])
def test_a_draft_that_does_not_say_what_it_was_made_from_is_not_saved(world: World, version: str) -> None:
    client = log_in(world)
    assert client.post(PAGE, draft(client) | {"version": version}).status_code == 409


def test_a_role_that_the_crm_no_longer_has_is_marked_and_can_be_dropped(world: World) -> None:
    world.configure(key_role={"roles": {"champion": 12}})
    with world.inside():
        Role.objects.filter(key="champion").update(stale=True)
    client = log_in(world)
    page = client.get(f"{PAGE}?edit=1").content.decode()
    assert "No longer in the CRM: not watched" in page
    data = draft(client)
    assert data["key_role.roles"] == ["champion"]
    del data["key_role.roles"]
    assert client.post(PAGE, data).status_code == 302
    assert current(world)["key_role"]["roles"] == {}
    assert "No longer in the CRM" not in client.get(f"{PAGE}?edit=1").content.decode()


def test_progress_is_polled_until_286(world: World) -> None:
    client = log_in(world)
    client.post(PAGE, draft(client) | {"no_activity.days": "7"})
    with world.inside():
        run = Run.objects.get(cause=Run.Cause.SETTINGS)
    going = client.get(f"{PAGE}progress/{run.pk}/")
    assert (going.status_code, "every 2s" in going.content.decode()) == (200, True)
    with world.inside():
        Run.objects.update(finished_at=world.clock.now)
    done = client.get(f"{PAGE}progress/{run.pk}/")
    assert (done.status_code, "every 2s" in done.content.decode()) == (286, False)
    assert "The deal list is up to date." in done.content.decode()
    other = log_in(world_now(), email="eve@elsewhere.example")
    assert other.get(f"{PAGE}progress/{run.pk}/").status_code == 404


def test_french(world: World) -> None:
    client = log_in(world, language="fr")
    answer = client.post(PAGE, draft(client) | {"no_activity.days": "0"})
    assert "Saisissez un nombre entier de 1 à 365." in answer.content.decode()
