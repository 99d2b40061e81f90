"""`stuck_in_stage`: days since the last entry into the current stage."""

import pytest

from deals.models import Stage
from deals.records import PipelineRecord, StageRecord
from tests.world import World

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("entered", "since"), [(11, None), (12, 0), (13, 1)])
def test_stuck_in_stage(entered, since):
    w = World()
    w.deal(created_at=w.at(60), stage_entered_at=w.at(entered))
    assert w.alerts().get("stuck_in_stage") == (None if since is None else w.day(since))


# stages seen: (days ago, stage, entered as the CRM tells it, None: it does not) · entered (days ago) · exactly known
SEEN = {
    "no history": ([(60, "s1", None)], 60, False),
    "told by the CRM": ([(60, "s1", 40)], 40, True),
    "seen to move": ([(60, "s1", None), (15, "s2", None)], 15, True),
    "re-entered": ([(60, "s1", None), (30, "s2", None), (14, "s1", None)], 14, True),
    "re-entered, told by the CRM": ([(60, "s1", 60), (30, "s2", 30), (14, "s1", 16)], 16, True),
    "edited without a move": ([(60, "s1", None), (3, "s1", None)], 60, False),
    "into another pipeline": ([(60, "s1", None), (13, "q1", None)], 13, True),
    "without stage": ([(60, None, None)], 60, False),
}


@pytest.mark.parametrize(("seen", "entered", "exact"), SEEN.values(), ids=SEEN)
def test_the_last_entry_into_the_stage(seen, entered, exact):
    w = World()
    w.write(pipelines=[PipelineRecord("q", "Renewals", 2)], stages=[StageRecord("q1", "q", "Talk", 1)])
    for days_ago, stage, told in seen:
        w.deal(
            created_at=w.at(60),
            stage=stage,
            pipeline="q" if stage == "q1" else "p",
            stage_entered_at=None if told is None else w.at(told),
            updated_at=w.at(days_ago),
        )
    assert w.alerts()["stuck_in_stage"] == w.day(entered - 12)
    with w.inside():
        evidence = w.stored().alerts.get(kind="stuck_in_stage").evidence
        stage = w.stored().stage_id
    assert evidence == {
        "entered_on": w.day(entered).isoformat(),
        "exact": exact,
        "stage": stage,
        "reopened_on": None,
        "limit": 12,
    }


def test_reopening_is_an_entry_into_the_stage():
    w = World()
    old = {"created_at": w.at(60), "stage_entered_at": w.at(60)}
    w.deal(**old, status="lost", updated_at=w.at(14))
    w.deal(**old, updated_at=w.at(13))
    assert w.alerts()["stuck_in_stage"] == w.day(1)


def test_a_renamed_stage_is_no_entry():
    w = World()
    w.deal(created_at=w.at(60), stage_entered_at=None)
    w.write(stages=[StageRecord("s1", "p", "Demonstration", 1)])
    with w.inside():
        assert w.stored().stage.name == "Demonstration"
    assert w.alerts()["stuck_in_stage"] == w.day(48)


def test_each_stage_may_have_its_own_limit():
    w = World()
    with w.inside():
        offer = Stage.objects.get(external_id="s2").pk
    w.configure(stuck_in_stage={"days": 12, "stages": {str(offer): 30}})
    w.deal("d", created_at=w.at(60), stage_entered_at=w.at(20))
    w.deal("below", created_at=w.at(60), stage="s2", stage_entered_at=w.at(29))
    w.deal("at", created_at=w.at(60), stage="s2", stage_entered_at=w.at(30))
    assert w.alerts("d")["stuck_in_stage"] == w.day(8)
    assert "stuck_in_stage" not in w.alerts("below")
    assert w.alerts("at")["stuck_in_stage"] == w.day(0)
    assert (w.verdict("stuck_in_stage", "below").on, w.verdict("stuck_in_stage", "below").limit) == (w.day(-1), 30)


def test_a_stage_that_arrives_after_the_deal_gets_its_limit():
    w = World()
    w.deal(created_at=w.at(60), stage="s9", stage_entered_at=w.at(20))
    w.write(stages=[StageRecord("s9", "p", "Late", 9)])
    with w.inside():
        late = Stage.objects.get(external_id="s9").pk
    w.configure(stuck_in_stage={"days": 12, "stages": {str(late): 30}})
    assert w.stored().stage_id == late
    assert "stuck_in_stage" not in w.alerts()


def test_a_change_of_pipeline_is_an_entry_even_without_a_stage():
    w = World()
    w.write(pipelines=[PipelineRecord("q", "Renewals", 2)])
    w.deal(stage=None, pipeline="p", created_at=w.at(40), stage_entered_at=None, updated_at=w.at(40))
    w.deal(stage=None, pipeline="q", created_at=w.at(40), stage_entered_at=None, updated_at=w.at(11))
    assert "stuck_in_stage" not in w.alerts()
