"""Settings → Deals → Alerts: read by every member, changed by admins, all of a draft or nothing."""

import re
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from alerts import settings as alert_settings
from alerts.models import Run
from alerts.rules import RULES
from deals.models import Pipeline, Role, Stage, Team
from deals.records import PipelineRecord, StageRecord
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


# ---- Overrides, pipelines, days


def pipelines(world: World) -> list[int]:
    """Three pipelines, by position: "Sales", "Partners", "Renewals"."""
    world.write(
        pipelines=[PipelineRecord("q", "Partners", 2), PipelineRecord("r", "Renewals", 3)],
        stages=[StageRecord("q1", "q", "Start", 1)],
    )
    with world.inside():
        return list(
            Pipeline.objects.filter(organisation=world.organisation).order_by("position").values_list("pk", flat=True)
        )


def team(world: World, name: str = "North") -> int:
    with world.inside():
        return Team.objects.create(organisation=world.organisation, name=name).pk


def in_force(world: World) -> dict[str, Any]:
    with world.inside():
        return alert_settings.draft_of(alert_settings.current(world.organisation))


def override(name: str, pipelines: list[int], **rules: Any) -> dict[str, Any]:
    return {"name": name, "pipelines": pipelines, "teams": [], "rules": rules}


def press(client: Client, data: dict[str, Any], button: str) -> tuple[dict[str, Any], Any]:
    """Press a button of the list of overrides: what the browser would send next, and the form."""
    answer = client.post(PAGE, data | {"do": button})
    assert answer.status_code == 200, answer.content
    return sent(data, answer.context["form"]), answer.context["form"]


def sent(data: dict[str, Any], form: Any) -> dict[str, Any]:
    """`data` with what the form holds of the overrides, as a browser would send it."""
    data = {name: value for name, value in data.items() if not name.startswith("o.")}
    data |= {"overrides": form.as_json, "open": "" if form.open is None else str(form.open)}
    if form.editor:
        data |= {
            "o.name": form.editor.name.value,
            "o.pipelines": [str(option.value) for option in form.editor.pipelines if option.chosen],
            "o.teams": [str(option.value) for option in form.editor.teams if option.chosen],
        }
        for each in form.editor.rules:
            data |= {field.name: field.value for field in each.every()}
            if each.own and each.own.value:
                data[each.own.name] = "on"
    return data


def test_an_override_is_added_filled_in_and_saved_without_javascript(world: World) -> None:
    client, (_sales, partners, _renewals), north = log_in(world), pipelines(world), team(world)
    data, form = press(client, draft(client), "add")
    assert form.open == 0
    data |= {
        "o.name": "  Our   partners ",
        "o.pipelines": [str(partners)],
        "o.teams": [str(north)],
        "o.no_activity.days": "20",
        "o.deal_too_old.enabled": "off",
        "o.amount_empty.zero": "off",
        "o.power_map.level": "3",
        "o.stuck_in_stage.stages.own": "on",
        f"o.stuck_in_stage.stages.{_stage(world, 'q1')}": "44",
        "o.key_role.roles.own": "on",
    }
    data, form = press(client, data, "close")
    [item] = form.items
    assert (form.open, item.name) == (None, "Our partners")
    assert item.where == [("Pipelines", ["Partners"]), ("Teams", ["North"])]
    assert "No activity, Days: 20" in item.says
    assert client.post(PAGE, data).status_code == 302
    assert in_force(world)["overrides"] == [
        {
            "name": "Our partners",
            "pipelines": [partners],
            "teams": [north],
            "rules": {
                "no_activity": {"days": 20},
                "key_role": {"roles": {}},
                "power_map": {"level": 3},
                "stuck_in_stage": {"stages": {str(_stage(world, "q1")): 44}},
                "amount_empty": {"zero": False},
                "deal_too_old": {"enabled": False},
            },
        }
    ]


def test_what_an_override_leaves_empty_is_as_for_everybody(world: World) -> None:
    client, [sales, *_] = log_in(world), pipelines(world)
    world.configure(overrides=[override("A", [sales], no_activity={"days": 20}, single_contact={"enabled": False})])
    data, form = press(client, draft(client), "edit.0")
    fields = {field.name: field for each in form.editor.rules for field in each.every()}
    assert (fields["o.no_activity.days"].value, fields["o.no_activity.days"].everybody) == (20, "10")
    assert fields["o.deal_too_old.days"].value == ""
    assert ("", "As for everybody: On", True) in fields["o.no_activity.enabled"].options
    data |= {"o.no_activity.days": "", "o.single_contact.enabled": ""}
    assert client.post(PAGE, data).status_code == 302
    assert in_force(world)["overrides"] == [override("A", [sales])]


@pytest.mark.parametrize(
    ("button", "order", "focus"),
    [
        ("up.2", "ACB", "up-1"),
        ("up.1", "BAC", "down-0"),
        ("up.0", "ABC", ""),
        ("down.0", "BAC", "down-1"),
        ("down.1", "ACB", "up-2"),
        ("down.2", "ABC", ""),
        ("remove.0", "BC", "remove-0"),
        ("remove.2", "AB", "remove-1"),
        ("remove.7", "ABC", ""),
        ("up.x", "ABC", ""),
        ("nonsense", "ABC", ""),
        ("edit.99999999", "ABC", ""),
    ],
)
def test_overrides_are_moved_and_removed_and_the_focus_follows(
    world: World, button: str, order: str, focus: str
) -> None:
    [sales, *_] = pipelines(world)
    world.configure(overrides=[override(name, [sales]) for name in "ABC"])
    client = log_in(world)
    _data, form = press(client, draft(client) | {"no_activity.days": "33"}, button)
    assert "".join(each["name"] for each in form.overrides) == order
    assert (form.focus, form.open) == (focus, None)
    assert form.rules[0].fields[0].value == "33"
    assert [each["name"] for each in in_force(world)["overrides"]] == ["A", "B", "C"]


def test_the_open_override_stays_as_typed_while_others_move(world: World) -> None:
    [sales, *_] = pipelines(world)
    world.configure(overrides=[override(name, [sales]) for name in "ABC"])
    client = log_in(world)
    data, _form = press(client, draft(client), "edit.0")
    data, form = press(client, data | {"o.name": "", "o.no_activity.days": "x"}, "down.0")
    assert (form.open, [each.get("name") for each in form.overrides]) == (1, ["B", None, "C"])
    data, form = press(client, data, "remove.0")
    assert form.open == 0
    assert form.editor.rules[0].fields[1].value == "x"
    data, form = press(client, data, "edit.1")  # it is not valid, so it stays open
    assert form.open == 0
    assert {"o.name", "o.no_activity.days"} <= {each.name for each in form.wrong}
    answer = client.post(PAGE, data)
    assert answer.status_code == 422
    assert "Give it a name of at most 100 characters." in answer.content.decode()


def test_an_override_for_nobody_in_particular_is_refused(world: World) -> None:
    client = log_in(world)
    data, _form = press(client, draft(client), "add")
    answer = client.post(PAGE, data | {"o.name": "A"})
    assert answer.status_code == 422
    assert "Choose the pipelines or the teams for which it counts." in answer.content.decode()


def test_twenty_overrides_are_the_most(world: World) -> None:
    [sales, *_] = pipelines(world)
    world.configure(overrides=[override("A" * 100, [sales]) for _n in range(20)])
    client = log_in(world)
    page = client.get(f"{PAGE}?edit=1").content.decode()
    assert "There are as many overrides as there may be." in page
    _data, form = press(client, draft(client), "add")
    assert (len(form.overrides), form.open) == (20, None)


@pytest.mark.parametrize(
    ("overrides", "opened"),
    [
        ("", ""), ("{", ""), ("3", ""), ("{}", ""), ("[3]", ""), ('["\\ud800"]', ""), ("[]", "0"), ("[]", "x"),
        ("[{}]", ""), ('[{"name": "A", "pipelines": [999999999], "rules": {}}]', ""), ("[" * 100_000, ""),
        ('[{"name": "A", "pipelines": [1e999], "rules": {"no_activity": 3}}]', ""), ("[{}]", "9" * 30),
    ],
)  # fmt: skip
def test_overrides_that_did_not_come_from_the_page_are_refused(world: World, overrides: str, opened: str) -> None:
    client = log_in(world)
    answer = client.post(PAGE, draft(client) | {"overrides": overrides, "open": opened})
    assert answer.status_code == 422
    assert "The overrides could not be read. Here are those in force." in answer.content.decode()
    assert in_force(world)["overrides"] == []


def test_watched_pipelines_and_the_count_of_days_are_saved(world: World) -> None:
    client, (sales, partners, _renewals) = log_in(world), pipelines(world)
    data = draft(client) | {
        "watched": "chosen",
        "pipelines": [str(sales), str(partners), "999999999"],
        "days": "business",
    }
    assert client.post(PAGE, data).status_code == 302
    assert (in_force(world)["pipelines"], in_force(world)["business_days"]) == ([sales, partners], True)
    page = client.get(PAGE).content.decode()
    assert "weekends and public holidays are left out (France)" in page
    answer = client.post(PAGE, draft(client) | {"watched": "chosen"})
    assert answer.status_code == 422
    assert "Choose at least one pipeline, or all of them." in answer.content.decode()
    assert client.post(PAGE, draft(client) | {"watched": "all", "days": "calendar"}).status_code == 302
    assert (in_force(world)["pipelines"], in_force(world)["business_days"]) == (None, False)


def test_what_has_vanished_is_told_kept_and_can_be_dropped(world: World) -> None:
    (sales, partners, _renewals), north = pipelines(world), team(world)
    stage = _stage(world, "q1")
    world.configure(
        pipelines=[sales, partners],
        stuck_in_stage={"stages": {str(stage): 30}},
        overrides=[{"name": "A", "pipelines": [], "teams": [north], "rules": {}}],
    )
    before = in_force(world)
    with world.inside():
        Pipeline.objects.filter(pk=partners).update(deleted=True)
        Team.objects.filter(pk=north).update(stale=True)
    client = log_in(world)
    page = client.get(PAGE).content.decode()
    assert "Pipeline “Partners”, in the watched pipelines" in page
    assert "Team “North”, in the override “A”" in page
    data = draft(client) | {"watched": "chosen", "pipelines": [str(sales), str(partners)]}
    assert client.post(PAGE, data).status_code == 302
    assert in_force(world) == before
    data |= {"version": draft(client)["version"], "pipelines": [str(sales)], f"stuck_in_stage.stages.{stage}": ""}
    data, _form = press(client, data, "remove.0")
    assert client.post(PAGE, data).status_code == 302
    assert "no longer has" not in client.get(PAGE).content.decode()


# ---- The effect of the draft


@pytest.fixture
def quiet(world: World) -> World:
    """Deals without interaction for 5, 8 and 12 days; the last is flagged."""
    world.first_synced()
    for days, amount in ((5, 100), (8, 2000), (12, 30000)):
        world.deal(f"d{days}", title=f"Quiet {days}", created_at=world.at(days), amount=Decimal(amount))
    world.configure(**{rule.kind: False for rule in RULES if rule.kind != "no_activity"})
    world.evaluate()
    return world


def effect(client: Client, **data: Any) -> str:
    answer = client.post(f"{PAGE}preview/", draft(client) | data, headers={"hx-request": "true"})
    assert answer.status_code == 200
    return " ".join(re.sub(r"<[^>]+>", " ", answer.content.decode()).split())


def test_the_read_view_says_what_is_flagged_now_with_its_amount(quiet: World) -> None:
    page = " ".join(re.sub(r"<[^>]+>", " ", log_in(quiet).get(PAGE).content.decode()).split())
    assert "Deals at risk 1 €30,000" in page
    assert "No activity 1 €30,000" in page


@pytest.mark.parametrize(
    ("days", "said"),
    [
        ("13", "No activity 1 → 0 −1 €30,000 → 0"),
        ("12", "No activity 1 €30,000"),
        ("9", "No activity 1 €30,000"),
        ("8", "No activity 1 → 2 +1 €30,000 → €32,000"),
        ("5", "No activity 1 → 3 +2 €30,000 → €32,100"),
    ],
)
def test_the_effect_of_a_limit_is_told_before_it_is_saved(quiet: World, days: str, said: str) -> None:
    assert said in effect(log_in(quiet), **{"no_activity.days": days})
    assert current(quiet)["no_activity"]["days"] == 10


def test_without_javascript_a_button_shows_the_effect_and_keeps_the_draft(quiet: World) -> None:
    client = log_in(quiet)
    page = client.post(PAGE, draft(client) | {"no_activity.days": "5", "do": "effect"}).content.decode()
    assert "1 alert changes if you save." in page
    assert 'name="no_activity.days" id="no_activity-days" value="5"' in page
    page = client.post(PAGE, draft(client) | {"no_activity.days": "5", "show": "flagged.no_activity"}).content.decode()
    assert page.index("Quiet 8") < page.index("Quiet 5")
    assert "Quiet 12" not in page
    assert current(quiet)["no_activity"]["days"] == 10


@pytest.mark.parametrize(
    ("show", "deals"),
    [
        ("now.no_activity", {"Quiet 12"}),
        ("after.risk", {"Quiet 5", "Quiet 8", "Quiet 12"}),
        ("flagged.no_activity.1", {"Quiet 5", "Quiet 8"}),
        ("flagged.no_activity.2", set()),
        ("cleared.no_activity", set()),
    ],
)
def test_the_deals_behind_each_number(quiet: World, show: str, deals: set[str]) -> None:
    text = effect(log_in(quiet), **{"no_activity.days": "5", "show": show})
    assert {name for name in ("Quiet 5", "Quiet 8", "Quiet 12") if name in text} == deals


@pytest.mark.parametrize("show", ["", "x", "flagged", "flagged.nonsense", "nonsense.risk", "....", "<b>"])
def test_a_number_that_does_not_exist_shows_the_effect(quiet: World, show: str) -> None:
    assert "1 alert changes if you save." in effect(log_in(quiet), **{"no_activity.days": "5", "show": show})


def test_a_draft_that_is_not_valid_has_no_effect_yet(quiet: World) -> None:
    text = effect(log_in(quiet), **{"no_activity.days": "900"})
    assert "No activity, Days: Enter a whole number from 1 to 365." in text


def test_the_effect_takes_as_many_statements_for_many_overrides_as_for_one(quiet: World) -> None:
    client, [sales, *_] = log_in(quiet), pipelines(quiet)

    def statements(path: str, **data: Any) -> int:
        body = draft(client) | data
        with CaptureQueriesContext(connection) as captured:
            assert client.post(path, body).status_code == 200
        return len(captured)

    counts = []
    for most in (1, 20):
        quiet.configure(overrides=[override(f"O{n}", [sales], no_activity={"days": 5 + n}) for n in range(most)])
        with CaptureQueriesContext(connection) as captured:
            client.get(f"{PAGE}?edit=1")
        counts.append(
            (len(captured), statements(f"{PAGE}preview/"), statements(PAGE, do="add" if most < 20 else "edit.1"))
        )
    assert counts[0] == counts[1]


# ---- One deal


def test_one_deal_is_found_and_told_now_and_under_the_draft(quiet: World) -> None:
    client, deal = log_in(quiet), quiet.stored("d8")
    assert "Quiet 8" in effect(client, pick="", find="quiet 8")
    assert "No open deal matches." in effect(client, pick="", find="elsewhere")
    text = effect(client, pick=str(deal.pk), **{"no_activity.days": "8"})
    assert "No activity clear → becomes fires" in text
    assert "8 days ago (limit: 8 days)" in text
    text = effect(client, deal=str(deal.pk), **{"no_activity.days": "8"})  # the draft goes on being typed
    assert "1 alert changes if you save." in text
    assert "No activity clear → becomes fires" in text
    assert "No activity fires" not in effect(client, pick=str(deal.pk), **{"no_activity.days": "9"})


def test_a_deal_page_leads_to_what_the_settings_say_of_it(quiet: World) -> None:
    client, deal = log_in(quiet), quiet.stored("d8")
    page = client.get(f"{PAGE}?edit=1&deal={deal.pk}").content.decode()
    assert f'name="deal" value="{deal.pk}"' in page
    assert f'href="/settings/alerts/?edit=1&amp;deal={deal.pk}"' in client.get(f"/deals/{deal.pk}/").content.decode()


@pytest.mark.parametrize("pk", ["0", "999999999999999999", "9" * 40, "-1", "x", "１"])
def test_a_deal_that_is_not_here_is_not_told(quiet: World, pk: str) -> None:
    client = log_in(quiet)
    assert client.get(f"{PAGE}?edit=1&deal={pk}").status_code == 200
    assert "Quiet" not in effect(client, pick=pk)
    other = world_now()
    other.deal("foreign", title="Foreign")
    assert "This deal is not here." in effect(client, pick=str(other.stored("foreign").pk))


def test_members_who_are_no_admins_see_neither_preview_nor_its_fields(quiet: World) -> None:
    data = draft(log_in(quiet))
    rep = log_in(quiet, role="rep", email="bob@vigie.example")
    assert rep.post(f"{PAGE}preview/", data).status_code == 403
    assert rep.post(PAGE, data | {"do": "add"}).status_code == 403
    assert 'name="find"' not in rep.get(f"{PAGE}?edit=1&deal=1").content.decode()


def test_only_the_part_that_changed_is_sent_to_a_browser_with_javascript(world: World) -> None:
    client = log_in(world)
    answer = client.post(PAGE, draft(client) | {"do": "add"}, headers={"hx-request": "true"})
    assert answer["HX-Trigger-After-Settle"] == '{"draft": {}}'
    assert "<html" not in answer.content.decode()
    assert 'id="o-name"' in answer.content.decode()
