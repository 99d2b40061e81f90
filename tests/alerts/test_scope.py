"""Scope of the settings: overrides for pipelines and teams, watched pipelines, all inside the one evaluation."""

import pytest
from django.core.exceptions import ValidationError

from alerts import engine
from alerts import settings as alert_settings
from deals.models import Colleague, Deal, Pipeline, Stage, Team, TeamMember
from deals.records import ColleagueRecord, PipelineRecord, StageRecord
from tests.world import World

pytestmark = pytest.mark.django_db


@pytest.fixture
def w():
    """Four deals, 15 days without activity: pipelines p and q, sold by me (no team) or by bo (team North)."""
    w = World()
    w.write(
        colleagues=[ColleagueRecord("bo", "Bo", "bo@vigie.example", True)],
        pipelines=[PipelineRecord("q", "Renewals", 2)],
        stages=[StageRecord("q1", "q", "Talk", 1)],
    )
    for pipeline, stage in (("p", "s1"), ("q", "q1")):
        for owner in ("me", "bo"):
            w.deal(f"{pipeline}-{owner}", pipeline=pipeline, stage=stage, owner=owner, created_at=w.at(15))
    with w.inside():
        team = Team.objects.create(organisation=w.organisation, name="North")
        TeamMember.objects.create(
            organisation=w.organisation, team=team, colleague=Colleague.objects.get(external_id="bo")
        )
    return w


def ids(w, model, *refs):
    with w.inside():
        return [model.objects.get(external_id=ref).pk for ref in refs]


def north(w):
    with w.inside():
        return [Team.objects.get(name="North").pk]


def override(name="Special", pipelines=(), teams=(), **rules):
    return {"name": name, "pipelines": list(pipelines), "teams": list(teams), "rules": rules}


def inactive(w):
    """The deals on which no_activity is open."""
    w.evaluate()
    with w.inside():
        return set(
            Deal.objects.filter(alerts__kind="no_activity", alerts__resolved_at=None).values_list(
                "external_id", flat=True
            )
        )


ALL = {"p-me", "p-bo", "q-me", "q-bo"}


@pytest.mark.parametrize(
    ("of_q", "of_north", "left_alone"),
    [
        (True, False, {"q-me", "q-bo"}),
        (False, True, {"p-bo", "q-bo"}),
        (True, True, {"q-bo"}),
    ],
)
def test_an_override_counts_for_its_pipelines_and_teams_alone(w, of_q, of_north, left_alone):
    where = {"pipelines": ids(w, Pipeline, "q") if of_q else [], "teams": north(w) if of_north else []}
    w.configure(overrides=[override(**where, no_activity={"days": 16})])
    assert inactive(w) == ALL - left_alone


@pytest.mark.parametrize(("days", "fires"), [(14, True), (15, True), (16, False)])
def test_the_limit_of_an_override_is_reached_on_its_day(w, days, fires):
    w.configure(no_activity={"days": 30}, overrides=[override(teams=north(w), no_activity={"days": days})])
    assert inactive(w) == ({"p-bo", "q-bo"} if fires else set())


def test_the_first_override_that_matches_wins_as_a_whole(w):
    first = override("First", pipelines=ids(w, Pipeline, "q"), deal_too_old={"days": 300})
    second = override("Second", teams=north(w), no_activity={"days": 20})
    w.configure(overrides=[first, second])
    assert inactive(w) == ALL - {"p-bo"}  # q-bo is of the first, which says nothing of no_activity
    w.configure(overrides=[second, first])
    assert inactive(w) == ALL - {"p-bo", "q-bo"}


def test_a_rule_may_be_off_in_an_override_or_on_in_it_alone(w):
    w.configure(overrides=[override(teams=north(w), no_activity={"enabled": False})])
    assert inactive(w) == {"p-me", "q-me"}
    with w.inside():
        [(_pk, verdicts)] = engine.verdicts(w.organisation, Deal.objects.filter(external_id="p-bo"), w.clock)
    assert "no_activity" not in {v.rule.kind for v in verdicts}
    w.configure(no_activity=False, overrides=[override(teams=north(w), no_activity={"enabled": True})])
    assert inactive(w) == {"p-bo", "q-bo"}


def test_switching_off_in_an_override_resolves_with_that_reason(w):
    assert inactive(w) == ALL
    w.configure(overrides=[override(teams=north(w), no_activity={"enabled": False})])
    w.evaluate()
    assert ("no_activity", "rule_off") in w.reasons("p-bo")
    assert w.reasons("p-me") == []


def test_another_limit_in_an_override_resolves_with_that_reason(w):
    inactive(w)
    w.configure(overrides=[override(teams=north(w), no_activity={"days": 20})])
    w.evaluate()
    assert ("no_activity", "settings_changed") in w.reasons("p-bo")


def test_evidence_names_the_override_that_set_the_limit(w):
    w.configure(overrides=[override("Patient", teams=north(w), no_activity={"days": 12})])
    assert inactive(w) == ALL
    with w.inside():
        said = {
            deal.external_id: (alert.evidence["limit"], alert.evidence["override"])
            for deal in Deal.objects.all()
            for alert in deal.alerts.filter(kind="no_activity")
        }
    assert said["p-bo"] == (12, "Patient")
    assert said["p-me"] == (10, None)


def test_each_override_has_limits_of_its_own_for_stages(w):
    [s1, q1] = ids(w, Stage, "s1", "q1")
    w.configure(
        stuck_in_stage={"days": 15, "stages": {str(s1): 20}},
        overrides=[override(teams=north(w), stuck_in_stage={"stages": {str(q1): 40}})],
    )
    w.evaluate()
    stuck = {ref: w.alerts(ref).get("stuck_in_stage") for ref in ALL}
    assert stuck == {"p-me": None, "q-me": w.day(0), "p-bo": w.day(0), "q-bo": None}


def test_key_roles_differ_between_overrides(w):
    for ref in ALL:
        w.contact(f"ana-{ref}", "CEO", ("Champion", "Decision maker"))
        w.on_deal(
            f"ana-{ref}",
            ref=ref,
            pipeline=ref[0],
            stage={"p": "s1", "q": "q1"}[ref[0]],
            owner=ref[2:],
            created_at=w.at(15),
            updated_at=w.at(1),
        )
    w.configure(
        key_role={"roles": {"champion": 15}},
        overrides=[override(teams=north(w), key_role={"roles": {"decision maker": 14}})],
    )
    roles = {ref: {kind for kind in w.alerts(ref) if kind.startswith("key_role")} for ref in ALL}
    assert roles["p-me"] == roles["q-me"] == {"key_role:champion"}
    assert roles["p-bo"] == roles["q-bo"] == {"key_role:decision maker"}


def test_a_deal_that_changes_hands_is_judged_by_the_settings_of_its_new_team(w):
    w.configure(overrides=[override(teams=north(w), no_activity={"days": 20})])
    assert inactive(w) == {"p-me", "q-me"}
    w.deal("p-me", pipeline="p", stage="s1", owner="bo", created_at=w.at(15), updated_at=w.at(0))
    assert inactive(w) == {"q-me"}


def test_a_team_without_members_matches_nothing(w):
    with w.inside():
        TeamMember.objects.all().delete()
    w.configure(overrides=[override(teams=north(w), no_activity={"days": 300})])
    assert inactive(w) == ALL


def test_a_team_that_is_gone_from_the_crm_matches_nothing_and_is_told(w):
    w.configure(overrides=[override(teams=north(w), no_activity={"days": 300})])
    with w.inside():
        Team.objects.update(stale=True)
        draft = alert_settings.draft_of(alert_settings.current(w.organisation))
        assert alert_settings.vanished(w.organisation, draft) == [
            alert_settings.Vanished("overrides.0", "team", "North")
        ]
    assert inactive(w) == ALL


# ---- Watched pipelines


def test_only_deals_of_watched_pipelines_have_alerts(w):
    assert inactive(w) == ALL
    w.configure(pipelines=ids(w, Pipeline, "p"))
    assert inactive(w) == {"p-me", "p-bo"}
    assert ("no_activity", "settings_changed") in w.reasons("q-me")
    with w.inside():
        assert Deal.objects.get(external_id="q-me").alert_mask == 0
        assert {d.external_id for d in alert_settings.open_deals(w.organisation)} == {"p-me", "p-bo"}
        found = dict(engine.verdicts(w.organisation, w.organisation.deals.all(), w.clock))
        assert set(found) == set(ids(w, Deal, "p-me", "p-bo"))


def test_a_deal_that_moves_to_a_watched_pipeline_is_judged(w):
    w.configure(pipelines=ids(w, Pipeline, "p"))
    inactive(w)
    w.deal("q-me", pipeline="p", stage="s1", owner="me", created_at=w.at(15), updated_at=w.at(0))
    assert "q-me" in inactive(w)


def test_a_deal_without_a_pipeline_is_watched_unless_the_admin_narrows(w):
    w.deal("none", pipeline=None, stage=None, created_at=w.at(15))
    assert "none" in inactive(w)
    w.configure(pipelines=ids(w, Pipeline, "p", "q"))
    assert "none" not in inactive(w)


def test_a_draft_that_is_not_saved_can_be_judged(w):
    inactive(w)
    with w.inside():
        draft = alert_settings.draft_of(alert_settings.current(w.organisation))
        draft["rules"]["no_activity"]["days"] = 100
        found = engine.verdicts(w.organisation, w.organisation.deals.all(), w.clock, draft)
        assert not [
            v for _pk, verdicts in found for v in verdicts if v.rule.kind == "no_activity" and v.outcome == "fires"
        ]
    assert inactive(w) == ALL


# ---- What cannot be saved


@pytest.mark.parametrize(
    ("draft", "path"),
    [
        ({"overrides": [override("", pipelines=[1])]}, "overrides.0.name"),
        ({"overrides": [override(pipelines=[999_999])]}, "overrides.0.pipelines"),
        ({"overrides": [override(teams=[999_999])]}, "overrides.0.teams"),
        ({"overrides": [override(teams=["North"])]}, "overrides.0.teams"),
        ({"overrides": [override()]}, "overrides.0"),
        ({"overrides": ["North"]}, "overrides.0"),
        ({"overrides": {"North": {}}}, "overrides"),
        ({"overrides": [{**override(teams=[1]), "colour": "red"}]}, "overrides.0.colour"),
        ({"overrides": [override(teams=[1], no_activity={"days": 0})]}, "overrides.0.rules.no_activity.days"),
        ({"overrides": [override(teams=[1], no_activity={"hours": 1})]}, "overrides.0.rules.no_activity.hours"),
        ({"overrides": [override(teams=[1], no_smoking={})]}, "overrides.0.rules.no_smoking"),
        (
            {"overrides": [override(teams=[1], stuck_in_stage={"stages": {"999999": 3}})]},
            "overrides.0.rules.stuck_in_stage.stages",
        ),
        ({"overrides": [override("x", teams=[1])] * 21}, "overrides"),
        ({"pipelines": []}, "pipelines"),
        ({"pipelines": [999_999]}, "pipelines"),
        ({"pipelines": "all"}, "pipelines"),
        ({"pipelines": [True]}, "pipelines"),
        ({"business_days": "yes"}, "business_days"),
        ({"colour": "red"}, "colour"),
        ({"rules": {"no_activity": {"days": 366}}}, "rules.no_activity.days"),
        ({"rules": []}, "rules"),
    ],
)
def test_a_wrong_draft_is_refused_with_the_place_of_the_error(w, draft, path):
    with w.inside(), pytest.raises(ValidationError) as refused:
        alert_settings.save(w.organisation, draft, None, w.clock, based_on=0)
    assert path in refused.value.message_dict
    with w.inside():
        assert alert_settings.current(w.organisation).version == 0


def test_an_override_may_switch_off_a_rule_that_can_be_impossible_to_judge(w):
    w.configure(
        key_role={"roles": {"champion": 15}},
        overrides=[override(teams=north(w), key_role={"roles": {}}, power_map={"enabled": False})],
    )
    with w.inside():
        found = dict(engine.verdicts(w.organisation, w.organisation.deals.all(), w.clock))
        [bo] = ids(w, Deal, "p-bo")
        assert not {"key_role", "power_map"} & {v.rule.kind for v in found[bo]}
    w.evaluate()
