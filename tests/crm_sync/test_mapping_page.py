"""The mapping page: types of activities, fields and own domains, found by Vigie and corrected by an admin."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client, override_settings
from django.utils import timezone

from accounts.models import Organisation
from accounts.tenancy import tenant
from crm_sync import vault
from crm_sync.models import ActivityType, Connection, Reapplication, SyncRun
from tests.crm_sync.test_connection_page import text
from tests.pages import log_in
from tests.sandbox import Sandbox
from tests.world import World

PAGE = "/settings/crm/mapping/"
TYPES = {"call": ("Call", "call"), "demo": ("Démo <b>", "meeting"), "task": ("Task", "")}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox.run(tmp_path_factory.mktemp("sandbox"), deals=1) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(server: Sandbox) -> Iterator[Sandbox]:
    server.heal()
    with override_settings(PIPEDRIVE_API_URL=f"{server.url}/pipedrive"):
        yield server


@pytest.fixture
def world(db: None, sandbox: Sandbox) -> World:
    return World()


@pytest.fixture
def admin(world: World) -> Client:
    return log_in(world)


def connect(world: World, provider: str = "pipedrive", **more: Any) -> Connection:
    """A connection with a few types; the world's own source."""
    mine = {"organisation": world.organisation}
    with world.inside():
        sealed = vault.seal("sandbox-pipedrive-token", world.organisation.pk, world.source.pk)
        values = {"token": sealed, "source": world.source, "provider": provider, "connected_at": world.clock.now}
        connection = Connection.objects.create(**mine, **(values | more))
        if provider == "pipedrive":
            for key, (name, kind) in TYPES.items():
                ActivityType.objects.create(
                    **mine, connection=connection, key=key, name=name, kind=kind, found_at=world.clock.now
                )
    return connection


def form(connection: Connection, version: int = 0, **kinds: str) -> dict[str, Any]:
    with tenant(connection.organisation_id):
        ids = dict(ActivityType.objects.values_list("key", "pk"))
    return {"version": version} | {f"type-{ids[key]}": kind for key, kind in kinds.items()}


def kinds(connection: Connection) -> dict[str, str]:
    with tenant(connection.organisation_id):
        return dict(ActivityType.objects.values_list("key", "kind"))


def test_types_are_shown_with_who_chose_them_and_are_corrected(admin: Client, world: World) -> None:
    connection = connect(world)
    page = admin.get(PAGE)
    assert text(page).count("found by Vigie") == 3
    assert b"<b>" not in page.content
    address = f"/settings/crm/{connection.pk}/types/"
    saved = admin.post(address, form(connection, call="meeting", demo="meeting", task="message"), follow=True)
    assert kinds(connection) == {"call": "meeting", "demo": "meeting", "task": "message"}
    assert text(saved).count("found by Vigie") == 1
    assert text(saved).count("chosen by you,") == 2
    assert "about to be applied" in text(saved)
    assert text(log_in(world, email="bo@vigie.example").get(PAGE)).count("chosen by Ana Ruiz,") == 2


def test_what_of_types_was_changed_meanwhile_is_told_and_nothing_is_lost(admin: Client, world: World) -> None:
    connection = connect(world)
    address = f"/settings/crm/{connection.pk}/types/"
    admin.post(address, form(connection, call="message"))
    late = admin.post(address, form(connection, call="meeting", demo="", task=""))
    assert (late.status_code, kinds(connection)["call"]) == (409, "message")
    assert "Call: now “Message”, you chose “Meeting”" in text(late)
    again = {"version": late.context["mappings"][0].connection.mapping_version}
    chosen = {field.html_name: field.value() for _, field in late.context["mappings"][0].types.rows}
    assert admin.post(address, chosen | again).status_code == 302
    assert kinds(connection) == {"call": "meeting", "demo": "", "task": ""}


def test_a_kind_that_there_is_not_is_refused_whole(admin: Client, world: World) -> None:
    connection = connect(world)
    answer = admin.post(f"/settings/crm/{connection.pk}/types/", form(connection, call="email", demo=""))
    assert (answer.status_code, kinds(connection)["demo"]) == (422, "meeting")


def test_new_and_deactivated_types_say_so(admin: Client, world: World) -> None:
    connection = connect(world)
    with world.inside():
        ActivityType.objects.filter(key="demo").update(is_new=True)
        ActivityType.objects.filter(key="task").update(active=False)
    page = text(admin.get(PAGE))
    assert "1 type is new in your CRM." in page
    assert "Task deactivated in the CRM" in page
    admin.post(f"/settings/crm/{connection.pk}/types/", form(connection, call="call"))
    assert "is new in your CRM" not in text(admin.get(PAGE))


def test_fields_are_chosen_from_the_crms_own(admin: Client, world: World, sandbox: Sandbox) -> None:
    connection = connect(world)
    fields = admin.get(PAGE).context["mappings"][0].fields
    [role] = [key for key, label in fields.fields["role_field"].choices if label.startswith("Buying role (")]
    address = f"/settings/crm/{connection.pk}/fields/"
    assert admin.post(address, {"role_field": "nonsense", "title_field": "", "version": 0}).status_code == 422
    late = admin.post(address, {"role_field": role, "title_field": "job_title", "version": 7})
    assert (late.status_code, "changed meanwhile" in text(late)) == (409, True)
    assert admin.post(address, {"role_field": role, "title_field": "job_title", "version": 0}).status_code == 302
    with world.inside():
        assert Connection.objects.get().role_field == role
        assert SyncRun.objects.get().kind == SyncRun.Kind.FIELDS
    assert "is being read from your CRM" in text(admin.get(PAGE))
    sandbox.fail("pipedrive", 500, count=30)
    page = text(admin.get(PAGE))
    assert "Pipedrive does not answer." in page
    assert "Activity types" in page


def test_own_domains_are_suggested_chosen_and_applied(admin: Client, world: World) -> None:
    connect(world)
    world.contact("ana", emails=("ana@customer.example",))
    assert "vigie.example" in text(admin.get(PAGE))
    sent = {"version": 0, "own": ["vigie.example"], "more": "Customer.example, société.example"}
    page = text(admin.post(f"{PAGE}domains/", sent, follow=True))
    assert "customer.example 1 person of your CRM (Ana)" in page
    assert "société.example nobody so far" in page
    assert "Chosen by Ana Ruiz," in page
    with world.inside():
        changed = ["customer.example", "société.example", "xn--socit-esab.example"]
        assert Reapplication.objects.get().domains == changed


@pytest.mark.parametrize(
    ("more", "sentence"),
    [("gmail.com", "gmail.com is a free mail provider"), ("<nonsense>", "“<nonsense>” is no mail domain")],
)
def test_what_cannot_be_an_own_domain_is_refused_in_words(
    admin: Client, world: World, more: str, sentence: str
) -> None:
    before = Organisation.objects.get(pk=world.organisation.pk).own_domains
    answer = admin.post(f"{PAGE}domains/", {"version": 0, "own": "vigie.example", "more": more})
    assert (answer.status_code, sentence in text(answer)) == (422, True)
    answer = admin.post(f"{PAGE}domains/", {"version": 0, "own": more})
    assert (answer.status_code, sentence in text(answer)) == (422, True)
    assert Organisation.objects.get(pk=world.organisation.pk).own_domains == before


def test_domains_that_somebody_else_chose_meanwhile_are_told(admin: Client, world: World) -> None:
    assert admin.post(f"{PAGE}domains/", {"version": 0, "more": "one.example"}).status_code == 302
    late = admin.post(f"{PAGE}domains/", {"version": 0, "own": "vigie.example", "more": "two.example"})
    assert late.status_code == 409
    assert "Now they are: one.example" in text(late)
    assert b'value="two.example"' in late.content
    assert admin.post(f"{PAGE}domains/", {"version": 1, "more": "two.example"}).status_code == 302
    assert Organisation.objects.get(pk=world.organisation.pk).own_domains == ["two.example"]


def test_progress_is_told_until_all_is_applied(admin: Client, world: World) -> None:
    connection = connect(world)
    now = timezone.now()
    with world.inside():
        row = Reapplication.objects.create(
            organisation=world.organisation, connection=connection, types=True, total=2000, done=1500, asked_at=now
        )
    answer = admin.get(f"{PAGE}progress/")
    assert (answer.status_code, "1,500 of 2,000 stored activities" in text(answer)) == (200, True)
    with world.inside():
        Reapplication.objects.filter(pk=row.pk).update(finished_at=now + timedelta(seconds=1))
    assert admin.get(f"{PAGE}progress/").status_code == 286


def test_there_may_be_no_connection_or_one_that_needs_no_mapping_or_sixty_types(admin: Client, world: World) -> None:
    assert "No CRM connected" in text(admin.get(PAGE))
    hubspot = connect(world, "hubspot")
    assert "Nothing to choose here: HubSpot has calls" in text(admin.get(PAGE))
    with world.inside():
        hubspot.delete()
    connection = connect(world, state=Connection.State.DISCONNECTED, token="")
    with world.inside():
        ActivityType.objects.all().delete()
    assert "Not read yet." in text(admin.get(PAGE))
    with world.inside():
        mine = {"organisation": world.organisation, "connection": connection, "found_at": world.clock.now}
        names = ("Très long " * 20)[:197]
        ActivityType.objects.bulk_create(ActivityType(**mine, key=f"{n}", name=f"{names}{n}") for n in range(60))
    page = admin.get(PAGE)
    assert page.content.count(b"<select") == 60
    assert "so its fields cannot be listed" in text(page)


def test_others_read_it_and_change_nothing(admin: Client, world: World) -> None:
    connection = connect(world)
    rep = log_in(world, role="rep", email="bob@vigie.example")
    page = rep.get(PAGE).content.decode()
    assert "Only admins can change them." in page
    assert "Save" not in page
    assert 'type="checkbox"' not in page
    for address in (
        f"{PAGE}domains/",
        f"/settings/crm/{connection.pk}/types/",
        f"/settings/crm/{connection.pk}/fields/",
    ):
        assert rep.post(address, {"version": 0}).status_code == 403
        assert admin.get(address).status_code == 405


def test_french(world: World) -> None:
    connect(world)
    page = text(log_in(world, language="fr").get(PAGE))
    assert "Correspondances" in page
    assert "trouvé par Vigie" in page
