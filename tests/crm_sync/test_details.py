"""The second phase against the sandbox: complete, asked once, resumable, paced, honest about what it may not read."""

import html
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.conf import settings
from django.test import override_settings

from accounts.models import Organisation
from accounts.tenancy import tenant
from alerts.tasks import evaluate_changed
from crm_sandbox.pipedrive_history import is_private
from crm_sync import details, sync, tasks
from crm_sync.budget import ConnectionBudget
from crm_sync.models import Connection, DetailProgress, SyncRun
from crm_sync.providers.base import RateLimited
from deals.models import Activity, Deal, DealContact, FieldChange
from tests.pages import log_in
from tests.sandbox import Sandbox

TOKENS = {"pipedrive": "sandbox-pipedrive-token", "hubspot": "sandbox-hubspot-token"}
PATHS = {"participants": "/participants", "mail": "/mailMessages", "history": "/changelog"}
Asked = Counter[tuple[str, str]]  # (what, deal) of the requests for single deals


class Company:
    """Just enough of a World to log in to."""

    def __init__(self, organisation: Organisation) -> None:
        self.organisation = organisation


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox.run(tmp_path_factory.mktemp("sandbox"), deals=36) as sandbox:
        for crm in TOKENS:
            sandbox.happen(crm, "remember")
        yield sandbox


@pytest.fixture
def sandbox(server: Sandbox) -> Iterator[Sandbox]:
    server.reset()
    with override_settings(PIPEDRIVE_API_URL=f"{server.url}/pipedrive", HUBSPOT_API_URL=f"{server.url}/hubspot"):
        yield server
    for crm in TOKENS:
        server.happen(crm, "recall")


@pytest.fixture
def organisation(transactional_db: None) -> Organisation:
    return Organisation.objects.create(name="Test", time_zone="Europe/Paris")


def connected(organisation: Organisation, provider: str) -> Connection:
    """After the first phase."""
    with tenant(organisation):
        connection = sync.connect(organisation, provider, TOKENS[provider])
    sync.pull(connection)
    return connection


def asked(sandbox: Sandbox) -> Asked:
    """Since the last clearing, which is done here, too."""
    found: Asked = Counter()
    for request in sandbox.requests():
        for what, path in PATHS.items():
            if request["path"].endswith(path):
                found[what, request["path"].split("/")[-2]] += 1
    sandbox.forget_requests()
    return found


def read(connection: Connection, sandbox: Sandbox) -> Asked:
    sandbox.forget_requests()
    details.read_all(connection)
    return asked(sandbox)


def pulled(connection: Connection, sandbox: Sandbox) -> Asked:
    sync.pull(connection)
    return read(connection, sandbox)


def open_deals(raw: dict[str, Any]) -> list[dict[str, Any]]:
    rows = [row for row in raw["tables"]["deals"] if not row["deleted"] and not row["archived"]]
    return [row for row in rows if row["fields"]["status"] == "open"]


def of_deal(raw: dict[str, Any], deal: int, other: str) -> list[int]:
    [link] = [link for link in raw["links"] if (link["from"], link["to"]) == ("deals", other)]
    return [pair[1] for pair in link["pairs"] if pair[0] == deal]


def progress(connection: Connection) -> dict[str, DetailProgress]:
    with tenant(connection.organisation_id):
        return {each.detail: each for each in DetailProgress.objects.all()}


def test_afterwards_participants_mail_and_histories_are_here_for_one_request_each(
    sandbox: Sandbox, organisation: Organisation
) -> None:
    connection = connected(organisation, "pipedrive")
    raw = sandbox.raw("pipedrive")
    expected: Asked = Counter()
    for row in raw["tables"]["deals"]:
        fields = row["fields"]
        people, mails = of_deal(raw, row["id"], "persons"), of_deal(raw, row["id"], "mailMessages")
        told = {"participants": len(people) > 1, "mail": bool(mails), "history": True}
        told["history"] = fields["update_time"] != fields["add_time"]
        if row["deleted"] or (fields["status"] == "open" and row["archived"]):
            continue
        for what in told if fields["status"] == "open" else ["history"]:
            expected[what, str(row["id"])] = int(told[what])
    assert read(connection, sandbox) == +expected
    assert read(connection, sandbox) == pulled(connection, sandbox) == Counter()  # nothing new: no call
    with tenant(organisation):
        for row in open_deals(raw):
            deal = Deal.objects.get(external_id=str(row["id"]))
            assert (deal.unread, deal.waits) == (0, 0)
            contacts = set(DealContact.objects.filter(deal=deal).values_list("contact_ref", flat=True))
            assert contacts == set(map(str, of_deal(raw, row["id"], "persons")))
            mails = Activity.objects.filter(deal_activities__deal=deal, external_id__startswith="mailMessages/")
            readable = {f"mailMessages/{id}" for id in of_deal(raw, row["id"], "mailMessages") if not is_private(id)}
            assert set(mails.values_list("external_id", flat=True)) == readable
            stages = FieldChange.objects.filter(deal=deal, field="stage").order_by("changed_at")
            assert not stages or stages.last().new == deal.stage_ref
        assert FieldChange.objects.filter(field="status", deal__status="won").exists()


def test_histories_of_hubspot_come_fifty_deals_at_a_time(sandbox: Sandbox, organisation: Organisation) -> None:
    connection = connected(organisation, "hubspot")
    sandbox.forget_requests()
    details.read_all(connection)
    batches = [r for r in sandbox.requests() if r["path"].endswith("/deals/batch/read")]
    assert len(batches) == 2  # 24 open ones, then those closed lately
    raw = {str(row["id"]): row["optional"] for row in sandbox.raw("hubspot")["tables"]["deals"]}
    with tenant(organisation):
        assert not Deal.objects.filter(unread__gt=0).exists()
        for deal in Deal.objects.all():
            newest = FieldChange.objects.filter(deal=deal, field="stage").order_by("changed_at").last()
            assert len(raw[deal.external_id]["dealstage"]) == 1 or newest.new == deal.stage_ref
        assert FieldChange.objects.filter(field="amount").exists()
        assert FieldChange.objects.filter(field="close_on").exists()
    sandbox.forget_requests()
    details.read_all(connection)
    assert not sandbox.requests()


def test_later_only_what_is_new_on_a_deal_is_asked_for(sandbox: Sandbox, organisation: Organisation) -> None:
    connection = connected(organisation, "pipedrive")
    details.read_all(connection)
    raw = sandbox.raw("pipedrive")
    one, two, three, four = [row for row in open_deals(raw) if row["fields"]["stage_id"] not in (None, 2)][:4]
    stranger = next(
        row["id"] for row in raw["tables"]["persons"] if row["id"] not in of_deal(raw, two["id"], "persons")
    )
    sandbox.change("pipedrive", "deals", one["id"], {"title": "New name"})
    assert pulled(connection, sandbox) == Counter()
    sandbox.change("pipedrive", "deals", two["id"], {"contacts": {str(stranger): []}})
    sandbox.log("pipedrive", {"kind": "email", "deals": [three["id"]], "participants": [{"email": "new@x.example"}]})
    sandbox.change("pipedrive", "deals", four["id"], {"stage_id": 2, "pipeline_id": 1})
    assert pulled(connection, sandbox) == Counter(
        {("participants", str(two["id"])): 1, ("mail", str(three["id"])): 1, ("history", str(four["id"])): 1}
    )
    with tenant(organisation):
        assert DealContact.objects.filter(deal__external_id=two["id"], contact_ref=stranger, participant=True).exists()
        mail = Activity.objects.get(participants__address="new@x.example")
        assert not mail.participants.get(address="new@x.example").person.known
        moved = FieldChange.objects.filter(deal__external_id=four["id"], field="stage").latest("changed_at")
        assert (moved.old, moved.new) == (str(four["fields"]["stage_id"]), "2")


def test_a_mail_that_is_not_told_any_more_counts_no_longer(sandbox: Sandbox, organisation: Organisation) -> None:
    deal = open_deals(sandbox.raw("pipedrive"))[0]["id"]
    for name in ("first", "second"):
        mail = {"kind": "email", "deals": [deal], "participants": [{"email": f"{name}@x.example"}]}
        sandbox.log("pipedrive", mail)
    connection = connected(organisation, "pipedrive")
    details.read_all(connection)
    with tenant(organisation):
        kept = dict(Activity.objects.values_list("participants__address", "external_id"))
    shown = {id for id in ("first@x.example", "second@x.example") if id in kept}
    gone = kept[min(shown)]
    sandbox.happen("pipedrive", "purge", "mailMessages", [int(gone.partition("/")[2])])
    sandbox.log("pipedrive", {"kind": "email", "deals": [deal], "participants": [{"email": "third@x.example"}]})
    pulled(connection, sandbox)
    with tenant(organisation):
        assert Activity.objects.get(external_id=gone).deleted


def test_a_phase_stopped_anywhere_asks_nothing_twice_that_was_written(
    sandbox: Sandbox, organisation: Organisation
) -> None:
    connection = connected(organisation, "pipedrive")
    sandbox.forget_requests()
    steps = 0
    while details.Reader(
        organisation.pk, connection.pk
    ).step():  # each by a process that knows nothing of the one before
        steps += 1
    assert steps > 5
    assert max(asked(sandbox).values()) == 1


def test_a_deal_that_is_written_meanwhile_is_asked_for_once_more(sandbox: Sandbox, organisation: Organisation) -> None:
    connection = connected(organisation, "hubspot")
    reader = details.Reader(organisation.pk, connection.pk)
    with tenant(organisation):
        reader._parts.extend(details._parts(connection))
        [late, *_] = Deal.objects.open().values_list("pk", flat=True)
        Deal.objects.filter(pk=late).update(updated_at=sync.now())
    assert reader.step()
    with tenant(organisation):
        assert list(Deal.objects.open().filter(unread__gt=0).values_list("pk", flat=True)) == [late]
    details.read_all(connection)
    with tenant(organisation):
        assert not Deal.objects.open().filter(unread__gt=0).exists()


def test_half_of_the_days_budget_is_left_to_the_regular_reading(sandbox: Sandbox, organisation: Organisation) -> None:
    connection = connected(organisation, "pipedrive")
    before = sandbox.limits("pipedrive")
    sandbox.limits("pipedrive", daily=100_000, spent=49_900)
    try:
        reader = details.Reader(organisation.pk, connection.pk)
        while reader.step():
            pass
        spent = sandbox.limits("pipedrive")["spent"]
        assert 50_000 <= spent <= 50_020
        paused = [each for each in progress(connection).values() if each.retry_at]
        assert [each.problem for each in paused] == ["daily_reserve"]
        page = html.unescape(log_in(Company(organisation)).get("/settings/crm/").content.decode())
        assert "Paused: half of the day's requests of Pipedrive is kept for what changes." in page
        with tenant(organisation):
            assert details.waiting(organisation.pk) == []
        sync.pull(connection)  # is not paused
        assert sandbox.limits("pipedrive")["spent"] > spent
        sandbox.limits("pipedrive", spent=0)  # midnight
        redis.Redis.from_url(settings.REDIS_URL).delete(f"vigie:budget:{organisation.pk}:{connection.pk}")
        with tenant(organisation):
            DetailProgress.objects.update(retry_at=None)
            assert details.waiting(organisation.pk) == [connection.pk]
        details.read_all(connection)
        with tenant(organisation):
            assert details.remaining(connection) == {"participants": 0, "mail": 0, "history": 0}
    finally:
        sandbox.limits("pipedrive", daily=before["daily"], spent=0)


@pytest.mark.parametrize(("left", "allowed"), [(501, True), (500, False), (499, False)])
def test_what_can_wait_ends_at_half_of_the_day(left: int, allowed: bool) -> None:
    patient = ConnectionBudget("pipedrive", 0, 9_000_000 + left, patient=True)
    redis.Redis.from_url(settings.REDIS_URL).delete(patient._key)
    patient.learn({"x-daily-ratelimit-token-remaining": str(left), "x-daily-ratelimit-token-limit": "1000"})
    if allowed:
        assert patient.take() == 0
    else:
        with pytest.raises(RateLimited) as refused:
            patient.take()
        assert (refused.value.daily, refused.value.code) == (True, "daily_reserve")
    assert ConnectionBudget("pipedrive", 0, 9_000_000 + left).take() == 0  # the regular reading goes on


def test_what_the_access_does_not_allow_is_left_out_and_no_rule_waits_for_it(
    sandbox: Sandbox, organisation: Organisation
) -> None:
    connection = connected(organisation, "pipedrive")
    sandbox.fail("pipedrive", 403, count=1000, path="mailMessages")
    assert sum(n for (what, _), n in read(connection, sandbox).items() if what == "mail") == details.REFUSALS
    assert progress(connection)["mail"].left_out
    with tenant(organisation):
        assert not Deal.objects.open().filter(waits__gt=0).exists()
    page = html.unescape(log_in(Company(organisation)).get("/settings/crm/").content.decode())
    assert "The access does not allow it (mail:read)." in page
    # A new login is tried, and then everything is read.
    sandbox.heal()
    with tenant(organisation):
        sync.connect(organisation, "pipedrive", TOKENS["pipedrive"])
    assert any(what == "mail" for what, _ in read(connection, sandbox))
    assert not progress(connection)["mail"].left_out


def test_the_permission_that_is_missing_is_the_crms_own(sandbox: Sandbox, organisation: Organisation) -> None:
    connection = connected(organisation, "hubspot")
    sandbox.fail("hubspot", 403, count=1000, path="deals/batch/read")
    details.read_all(connection)
    assert progress(connection)["history"].left_out
    page = html.unescape(log_in(Company(organisation)).get("/settings/crm/").content.decode())
    assert "The access does not allow it (crm.objects.deals.read)." in page


def test_deals_that_cannot_be_read_stop_nothing(sandbox: Sandbox, organisation: Organisation) -> None:
    connection = connected(organisation, "pipedrive")
    for status in (403, 404, 410):
        sandbox.fail("pipedrive", status, count=1, path="/changelog")
    details.read_all(connection)
    assert details_left(connection) == 0
    assert progress(connection)["history"].retry_at is None
    assert not progress(connection)["history"].left_out


def test_trouble_that_passes_is_waited_for(sandbox: Sandbox, organisation: Organisation) -> None:
    connection = connected(organisation, "pipedrive")
    sandbox.fail("pipedrive", 429, count=1, path="/changelog", daily=True)
    details.read_all(connection)
    found = progress(connection)["history"]
    assert (found.problem, found.attempts, found.retry_at is None) == ("daily_limit", 1, False)
    assert details_left(connection) > 0
    assert not details.Reader(organisation.pk, connection.pk).step()


@pytest.mark.parametrize(("attempts", "left"), [(details.ATTEMPTS - 1, True), (details.ATTEMPTS, False)])
def test_an_answer_without_sense_is_passed_over_in_the_end(
    sandbox: Sandbox, organisation: Organisation, attempts: int, left: bool
) -> None:
    connection = connected(organisation, "pipedrive")
    with tenant(organisation):
        mine = {"organisation": organisation, "connection": connection}
        DetailProgress.objects.create(**mine, detail="participants", attempts=attempts)
    sandbox.fail("pipedrive", "empty", count=1, path="/participants")  # no page of a list
    details.read_all(connection)
    assert (details_left(connection) > 0) == left


def details_left(connection: Connection) -> int:
    with tenant(connection.organisation_id):
        return sum(details.remaining(connection).values())


def test_the_page_tells_how_far_the_phase_has_come(sandbox: Sandbox, organisation: Organisation) -> None:
    connection = connected(organisation, "pipedrive")
    client = log_in(Company(organisation))
    before = client.get("/settings/crm/").content.decode()
    left = details_left(connection)
    assert left > 0
    assert "Deal by deal" in before
    assert "deals to go." in before
    details.read_all(connection)
    after = client.get("/settings/crm/").content.decode()
    assert "Deal by deal" in after
    assert "to go." not in after


def test_the_worker_reads_on_by_itself_and_the_deals_are_judged(sandbox: Sandbox, organisation: Organisation) -> None:
    connection = connected(organisation, "hubspot")
    with tenant(organisation):
        assert details.waiting(organisation.pk) == [connection.pk]
    tasks.read_details(organisation.pk, connection.pk)
    evaluate_changed(organisation.pk)
    with tenant(organisation):
        assert details.waiting(organisation.pk) == []
        assert SyncRun.objects.filter(finished_at=None).count() == 0
    tasks.read_details(organisation.pk, connection.pk)  # once more: nothing to do
