"""The set-up of a new organisation: what facts say, what an admin says, and who is led there."""

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from accounts.models import Membership, User
from alerts import settings as alert_settings
from crm_sync.models import Connection, StreamProgress, SyncRun
from deals import titles
from tests.alerts.test_deal_list import statements
from tests.pages import log_in, world_now
from tests.world import World
from workplace import onboarding

pytestmark = pytest.mark.django_db
PAGE = "/welcome/"


@pytest.fixture
def world() -> World:
    return world_now()


def states(world: World) -> list[str]:
    with world.inside():
        return [step.state for step in onboarding.progress(world.organisation).steps]


def connect(world: World, **fields: str) -> Connection:
    with world.inside():
        return Connection.objects.create(
            organisation=world.organisation,
            source=world.source,
            provider="pipedrive",
            token="sealed",
            connected_at=world.clock.now,
            **fields,
        )


def run(world: World, connection: Connection) -> SyncRun:
    with world.inside():
        mine = {"organisation": world.organisation}
        found = SyncRun.objects.create(
            **mine, connection=connection, kind=SyncRun.Kind.FIRST, until=timezone.now(), started_at=timezone.now()
        )
        StreamProgress.objects.create(**mine, run=found, position=0, stream="deals", records=1234)
        return found


def text(client: Client, address: str = PAGE) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return answer.content.decode()


def test_each_step_is_done_by_a_fact(world: World) -> None:
    admin = User.objects.create_user("ana@vigie.example")
    assert states(world) == ["open"] * 5
    connection = connect(world)
    assert states(world) == ["done", "open", "open", "open", "open"]
    world.first_synced()
    assert states(world)[1] == "done"
    world.contact("zoe", title="Grand Vizier")
    with world.inside():
        titles.correct(world.organisation, "Grand Vizier", 3, admin, world.clock)
    assert states(world)[2] == "done"
    world.configure(no_activity={"days": 3})
    assert states(world)[3] == "open"  # nobody saved that
    with world.inside():
        draft = alert_settings.draft_of(alert_settings.current(world.organisation))
        alert_settings.save(world.organisation, draft, admin, world.clock, based_on=1)
    Membership.objects.create(organisation=world.organisation, user=admin, role="admin")
    assert states(world)[3:] == ["done", "open"]
    Membership.objects.create(organisation=world.organisation, user=User.objects.create_user("b@vigie.example"))
    assert states(world) == ["done"] * 5
    with world.inside():
        Connection.objects.filter(pk=connection.pk).update(state="disconnected")
    assert states(world)[0] == "open"


def test_choosing_the_fields_of_the_crm_is_checking_roles_and_titles(world: World) -> None:
    connect(world, title_field="title")
    assert states(world)[2] == "done"


def test_an_admin_of_a_new_organisation_is_led_to_the_set_up_and_nobody_else(world: World) -> None:
    assert log_in(world).get("/").url == PAGE
    assert log_in(world, role="rep", email="rep@vigie.example").get("/").url == "/deals/"
    with world.inside():
        onboarding.end(world.organisation, world.clock.now)
    assert log_in(world).get("/").url == "/deals/"


def test_steps_are_skipped_confirmed_and_opened_again(world: World) -> None:
    admin = log_in(world)
    connect(world)
    world.first_synced()
    assert 'aria-current="step"' in text(admin)
    assert admin.post(PAGE, {"step": "people", "state": "done"}).url == PAGE
    admin.post(PAGE, {"step": "thresholds", "state": "skipped"})
    assert states(world) == ["done", "done", "done", "skipped", "open"]
    assert "4 of 5 steps" in text(admin)
    admin.post(PAGE, {"step": "thresholds", "state": "open"})
    assert states(world)[3] == "open"
    for step in ("thresholds", "invite"):
        admin.post(PAGE, {"step": step, "state": "done"})
    assert "Everything is set up." in text(admin)
    assert admin.get("/").url == "/deals/"
    admin.post(PAGE, {"again": "1"})
    assert states(world) == ["done", "done", "open", "open", "open"]


def test_it_can_be_ended_at_once_and_reopened(world: World) -> None:
    admin = log_in(world)
    assert "Set-up: 0 of 5 steps" in text(admin, "/deals/")
    assert admin.post(PAGE, {"end": "1"}).url == "/deals/"
    assert "Set-up:" not in text(admin, "/deals/")
    assert "Go through it again" in text(admin)
    admin.post(PAGE, {"again": "1"})
    assert "Set-up: 0 of 5 steps" in text(log_in(world), "/deals/")


def test_once_the_set_up_is_over_the_list_asks_no_more_of_it(world: World) -> None:
    admin = log_in(world)
    world.deal()
    text(admin, "/deals/")
    before = statements(admin, "/deals/")
    admin.post(PAGE, {"end": "1"})
    text(admin, "/deals/")
    assert statements(admin, "/deals/") == before - 1


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"step": "dance", "state": "done"},
        {"step": "people", "state": "great"},
        {"step": "connect", "state": "done"},  # facts alone can say so
        {"step": "people\x00", "state": "done"},
    ],
)
def test_what_cannot_be_said_is_refused(world: World, sent: dict[str, str]) -> None:
    answer = log_in(world).post(PAGE, sent)
    assert answer.status_code == 422
    assert "This step is not known." in answer.content.decode()
    assert states(world) == ["open"] * 5


@pytest.mark.parametrize("address", ["?step=dance", "?step=%00", "?step=sync", "?step=invite&step=people"])
def test_any_address_is_answered(world: World, address: str) -> None:
    assert log_in(world).get(PAGE + address).status_code == 200


def test_others_see_what_is_missing_and_who_can_do_it(world: World) -> None:
    log_in(world)
    rep = log_in(world, role="rep", email="rep@vigie.example")
    for step in onboarding.STEPS:
        page = text(rep, f"{PAGE}?step={step}")
        assert "This admin can do it:" in page
        assert "ana@vigie.example" in page
        assert f'action="{PAGE}"' not in page
    assert rep.post(PAGE, {"end": "1"}).status_code == 403
    assert "Set-up:" not in text(rep, "/deals/")


def test_the_first_synchronisation_is_watched_live_until_it_has_ended(world: World) -> None:
    admin = log_in(world)
    run(world, connect(world))
    page = text(admin)
    assert 'hx-trigger="every 2s"' in page
    assert "1,234" in page
    part = admin.get(f"{PAGE}?step=sync", headers={"HX-Request": "true"}).content.decode()
    assert part.strip().startswith('<div id="welcome"')
    world.first_synced()
    with world.inside():
        world.source.synced_at = world.clock.now
        world.source.save()
        SyncRun.objects.update(finished_at=timezone.now())
    assert "every 2s" not in admin.get(f"{PAGE}?step=sync", headers={"HX-Request": "true"}).content.decode()


def test_connecting_from_the_set_up_leads_back_there_and_never_elsewhere(world: World) -> None:
    admin = log_in(world)
    assert f'name="next" value="{PAGE}?step=connect"' in text(admin)
    refused = admin.post("/settings/crm/", {"provider": "pipedrive", "token": "", "next": f"{PAGE}?step=connect"})
    assert refused.status_code == 422
    assert f'name="next" value="{PAGE}?step=connect"' in refused.content.decode()


def test_the_thresholds_show_their_impact_and_the_titles_what_is_unknown(world: World) -> None:
    admin = log_in(world)
    world.contact("zoe", title="<i>Grand Vizier</i>", roles=("Champion",))
    world.deal("late", close_on=world.day(3))
    world.evaluate()
    assert "1 of 1 open deal is at risk" in text(admin, f"{PAGE}?step=thresholds")
    people = text(admin, f"{PAGE}?step=people")
    assert "&lt;i&gt;Grand Vizier&lt;/i&gt;" in people
    assert "Champion" in people


def test_the_page_takes_the_same_statements_whatever_there_is(world: World) -> None:
    admin = log_in(world)
    world.contact("zoe", title="Grand Vizier", roles=("Champion",))
    world.deal("late", close_on=world.day(3))
    world.evaluate()
    before = {step: statements(admin, f"{PAGE}?step={step}") for step in onboarding.STEPS}
    for n in range(3):
        world.contact(f"c{n}", title=f"Vizier {n}", roles=(f"Role {n}",))
        world.deal(f"d{n}", close_on=world.day(3), currency="USD")
    world.evaluate()
    assert {step: statements(admin, f"{PAGE}?step={step}") for step in onboarding.STEPS} == before


def test_another_organisation_has_its_own_set_up(world: World) -> None:
    other = world_now()
    connect(other)
    log_in(world).post(PAGE, {"step": "people", "state": "skipped"})
    assert states(world) == ["open", "open", "skipped", "open", "open"]
    assert states(other) == ["done", "open", "open", "open", "open"]


def test_the_command_ends_the_set_up_unless_somebody_is_at_it(world: World) -> None:
    call_command("end_set_up", "Test", "Nobody")
    with world.inside():
        assert onboarding.progress(world.organisation).over
        onboarding.begin_again(world.organisation)
    call_command("end_set_up", "Test")
    with world.inside():
        assert not onboarding.progress(world.organisation).over
