"""Each wall between two organisations, on every table of a tenant, by the database alone."""

from decimal import Decimal

import pytest
from django.apps import apps
from django.db import IntegrityError, ProgrammingError, connection, models, transaction
from django.utils import timezone

from accounts.models import Organisation, User
from accounts.tenancy import UNWALLED, TenantModel, TenantPart, is_tenant_key, tenant
from alerts import queue
from alerts.models import Alert, Feedback, Parked, Run, SavedView, Snooze, StartView
from crm_sync.models import (
    ActivityType,
    Compared,
    Connection,
    DetailProgress,
    OAuthState,
    Reapplication,
    Reconciliation,
    StreamProgress,
    SyncRun,
    WebhookEvent,
    WebhookFeed,
    WebhookRoute,
)
from deals.models import Deal, ExchangeRate, OwnDomains, OwnerLink, Stage, TitleCorrection
from deals.records import ColleagueRecord, CompanyRecord, StageRecord, TeamRecord
from tests.world import World
from workplace.models import CalendarFeed, Invitation, Note, Onboarding, Review, ReviewedDeal

TABLES = [m for m in apps.get_models() if issubclass(m, TenantModel)]
BY_NAME = {m._meta.label: m for m in TABLES}
every_table = pytest.mark.parametrize("model", TABLES, ids=BY_NAME)
KEYS = {f"{m._meta.label}.{f.name}": (m, f) for m in TABLES for f in m._meta.local_fields if is_tenant_key(f)}


def inhabited() -> World:
    """An organisation with at least one row in every table."""
    w = World()
    w.configure(no_activity={"days": 3})
    w.write(companies=[CompanyRecord("c", "Customer", w.at(9))])
    w.write(colleagues=[ColleagueRecord("me", "Moi", "me@vigie.example", True, (TeamRecord("1", "North"),))])
    w.contact("ana", "CEO", ("Champion",))
    w.on_deal("ana", company="c")
    w.activity("call", 4, "ana")
    w.on_deal("ana", company="c", amount=Decimal(2), updated_at=w.at(1))
    w.evaluate()
    with w.inside():
        queue.mark(w.organisation, [w.stored().pk])
        mine = {"organisation": w.organisation}
        TitleCorrection.objects.create(**mine, key="cso", title="CSO", level=1, corrected_at=w.clock.now)
        Parked.objects.create(**mine, deal=w.stored(), error="x", parked_at=w.clock.now, tried_at=w.clock.now)
        Run.objects.create(**mine, cause=Run.Cause.DAILY, key="x", started_at=w.clock.now)
        link = Connection.objects.create(**mine, source=w.source, provider="hubspot", connected_at=w.clock.now)
        run = SyncRun.objects.create(
            **mine, connection=link, kind=SyncRun.Kind.FIRST, until=w.clock.now, started_at=w.clock.now
        )
        StreamProgress.objects.create(**mine, run=run, position=0, stream="deals")
        DetailProgress.objects.create(**mine, connection=link, detail="history")
        report = Reconciliation.objects.create(
            **mine, connection=link, stream="deals", position=0, key="x", asked_at=w.clock.now
        )
        Compared.objects.create(**mine, reconciliation=report, external_id="1")
        ActivityType.objects.create(**mine, connection=link, key="call", name="Call", found_at=w.clock.now)
        Reapplication.objects.create(**mine, connection=link, asked_at=w.clock.now)
        OwnDomains.objects.create(**mine, chosen_at=w.clock.now)
        WebhookFeed.objects.create(**mine, connection=link)
        told = {"key": "x", "stream": "deals", "ref": "1", "action": "change"}
        WebhookEvent.objects.create(**mine, connection=link, **told, occurred_at=w.clock.now, received_at=w.clock.now)
        Snooze.objects.create(**mine, deal=w.stored(), kind="no_meeting", created_at=w.clock.now)
        who = User.objects.create_user(f"{w.organisation.pk}@vigie.example")
        OAuthState.objects.create(**mine, user=who, provider="hubspot", state="x", session="x", began_at=w.clock.now)
        Feedback.objects.create(**mine, alert=Alert.objects.first(), user=who, useful=True, given_at=w.clock.now)
        view = SavedView.objects.create(**mine, user=who, name="Late", created_at=w.clock.now)
        StartView.objects.create(**mine, user=who, view=view)
        OwnerLink.objects.create(**mine, colleague=w.organisation.colleagues.get())
        day = {"valid_on": w.clock.today, "entered_at": w.clock.now}
        ExchangeRate.objects.create(**mine, **day, base="EUR", currency="USD", rate=1)
        Onboarding.objects.create(**mine)
        review = Review.objects.create(**mine, began_at=w.clock.now)
        ReviewedDeal.objects.create(**mine, review=review, deal=w.stored(), reviewed_at=w.clock.now)
        Note.objects.create(**mine, deal=w.stored(), text="x", written_at=w.clock.now)
        CalendarFeed.objects.create(**mine, user=who, created_at=w.clock.now)
        Invitation.objects.create(**mine, email="x@y.example", invited_at=w.clock.now, expires_at=w.clock.now)
    return w


def refused(error, write):
    """`write` fails at once with `error`, and the transaction around it goes on."""
    with pytest.raises(error):
        _at_once(write)


def _at_once(write):
    with transaction.atomic(), connection.cursor() as cursor:
        write()
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


@pytest.fixture(scope="module")
def two(django_db_setup, django_db_blocker):
    """Two inhabited organisations for all tests that only try, in one transaction that is rolled back."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield inhabited(), inhabited()
        transaction.set_rollback(True)


@pytest.fixture
def both(two, django_db_blocker):
    with django_db_blocker.unblock():
        yield two


# ---- Row level security


@every_table
def test_an_organisation_sees_its_own_rows_and_nothing_without_a_context(model, both):
    seen = []
    for w in both:
        with w.inside():
            assert set(model.objects.values_list("organisation", flat=True)) == {w.organisation.pk}
            seen.append(set(model.objects.values_list("pk", flat=True)))
    assert not seen[0] & seen[1]
    assert not model.objects.exists()


@every_table
def test_no_row_is_written_into_another_organisation(model, both):
    alice, bob = both
    with alice.inside():
        row = model.objects.first()
        row.pk, row.organisation = None, bob.organisation
        refused(ProgrammingError, lambda: row.save(force_insert=True))
        refused(ProgrammingError, lambda: model.objects.update(organisation=bob.organisation))


@every_table
def test_another_organisations_rows_are_neither_changed_nor_deleted(model, both):
    alice, bob = both
    with bob.inside():
        ids = set(model.objects.values_list("pk", flat=True))
    with alice.inside():
        theirs = model.objects.filter(pk__in=ids)
        assert theirs.update(organisation=bob.organisation) == 0
        assert theirs._raw_delete(theirs.db) == 0
    with bob.inside():
        assert set(model.objects.values_list("pk", flat=True)) == ids


# ---- Keys that carry the organisation


@pytest.mark.parametrize(("model", "key"), KEYS.values(), ids=KEYS)
def test_no_key_points_into_another_organisation(model, key, both):
    alice, bob = both
    with bob.inside():
        theirs = key.related_model.objects.first().pk
    with alice.inside():
        mine = model.objects.filter(pk=model.objects.first().pk)
        refused(IntegrityError, lambda: mine.update(**{key.attname: theirs}))


def test_a_deal_is_not_in_another_organisations_stage(both):
    alice, bob = both
    with bob.inside():
        theirs = Stage.objects.first().pk
    with alice.inside():
        deal = Deal.objects.get()
        deal.pk, deal.external_id, deal.stage_id = None, "x", theirs
        refused(IntegrityError, lambda: deal.save(force_insert=True))


def test_the_same_external_id_is_another_row_in_another_organisation(both):
    for w in both:
        w.write(stages=[StageRecord("s1", "p", f"Demo {w.organisation.pk}", 1)])
    for w in both:
        with w.inside():
            assert Stage.objects.get(external_id="s1").name == f"Demo {w.organisation.pk}"


# ---- The list of walls


def bricks() -> dict[str, set[str]]:
    """What stands around each table of the database: {table: {wall or column whose key carries the organisation}}."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT c.relname, ARRAY(
                SELECT 'enabled' WHERE c.relrowsecurity UNION SELECT 'forced' WHERE c.relforcerowsecurity
                UNION SELECT 'policy' FROM pg_policies p WHERE p.schemaname = 'public' AND p.tablename = c.relname
                      AND p.cmd = 'ALL' AND p.permissive = 'PERMISSIVE' AND p.qual = p.with_check
                      AND p.qual LIKE '(organisation_id = %app.org_id%'
                UNION SELECT 'another policy' FROM pg_policies p WHERE p.schemaname = 'public'
                      AND p.tablename = c.relname GROUP BY p.tablename HAVING count(*) > 1
                UNION SELECT pg_get_constraintdef(k.oid) FROM pg_constraint k
                      WHERE k.conrelid = c.oid AND k.contype = 'f' AND array_length(k.conkey, 1) = 2
            ) FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
            """
        )
        return {table: set(found) for table, found in cursor.fetchall()}


def expected(model) -> set[str]:
    keys = set()
    for field in filter(is_tenant_key, model._meta.local_fields):
        on_delete = "CASCADE" if field.remote_field.on_delete is models.CASCADE else f"SET NULL ({field.column})"
        keys.add(
            f"FOREIGN KEY (organisation_id, {field.column}) REFERENCES {field.related_model._meta.db_table}"
            f"(organisation_id, id) ON DELETE {on_delete} DEFERRABLE INITIALLY DEFERRED"
        )
    return {"enabled", "forced", "policy"} | keys


@pytest.mark.django_db
def test_every_tenant_table_is_walled_and_every_wall_is_a_tenant_tables():
    built = {table: found for table, found in bricks().items() if found}
    # Outside the walls, as it is read before an organisation is known; it still leads into its own one only.
    leading = {WebhookRoute._meta.db_table: expected(WebhookRoute) - {"enabled", "forced", "policy"}}
    assert built == {m._meta.db_table: expected(m) for m in TABLES} | leading


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("break_it", "mend_it"),
    [
        ("DISABLE ROW LEVEL SECURITY", "ENABLE ROW LEVEL SECURITY"),
        ("NO FORCE ROW LEVEL SECURITY", "FORCE ROW LEVEL SECURITY"),
    ],
)
def test_a_wall_that_is_taken_away_is_missed(break_it, mend_it):
    try:
        with connection.as_owner(), connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE deals_role {break_it}")
        assert bricks()["deals_role"] != expected(BY_NAME["deals.Role"])
    finally:
        with connection.as_owner(), connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE deals_role {mend_it}")
    assert bricks()["deals_role"] == expected(BY_NAME["deals.Role"])


def test_whatever_belongs_to_an_organisation_is_a_tenant_model_or_listed_with_the_reason():
    belonging = {
        m._meta.label
        for m in apps.get_models()
        if any(f.related_model is Organisation for f in m._meta.local_fields if f.is_relation)
    }
    assert belonging - UNWALLED == set(BY_NAME)


def test_keys_between_tenant_tables_are_tenant_keys():
    """A plain foreign key would be checked without the organisation."""
    plain = {
        f"{m._meta.label}.{f.name}"
        for m in TABLES
        for f in m._meta.local_fields
        if isinstance(f, models.ForeignKey) and f.related_model in TABLES and not is_tenant_key(f)
    }
    assert plain == set()


@pytest.mark.django_db
def test_every_row_has_a_key_that_says_that_its_organisation_exists():
    """A plain one, or one to what it cannot be without, which has such a key in turn."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conrelid::regclass::text FROM pg_constraint WHERE contype = 'f' AND array_length(conkey, 1) = 1 "
            "AND confrelid = 'accounts_organisation'::regclass"
        )
        plain = {table for (table,) in cursor.fetchall()}
    for model in TABLES:
        belongs = any(is_tenant_key(f) and not f.null for f in model._meta.local_fields)
        assert (issubclass(model, TenantPart), model._meta.db_table in plain) == (belongs, not belongs), model


@pytest.mark.django_db
def test_what_keys_point_to_has_an_index_for_it_and_nothing_else():
    with connection.cursor() as cursor:
        cursor.execute("SELECT conrelid::regclass::text FROM pg_constraint WHERE conname LIKE '%_org_id_key'")
        targets = {table for (table,) in cursor.fetchall()}
    assert targets == {field.related_model._meta.db_table for _model, field in KEYS.values()}


# ---- The context


def current():
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('app.org_id', true)")
        return cursor.fetchone()[0] or ""


@pytest.fixture
def organisations(transactional_db):
    return [Organisation.objects.create(name=name) for name in ("Alice", "Bob")]


def test_a_tenants_context_ends_with_its_transaction(organisations):
    for organisation in organisations * 2:
        with tenant(organisation):
            assert current() == str(organisation.pk)
        assert current() == ""


def test_inside_another_tenants_context_that_others_is_restored(organisations):
    alice, bob = organisations
    with tenant(alice):
        with tenant(bob.pk):
            assert current() == str(bob.pk)
        assert current() == str(alice.pk)


def test_a_failure_inside_restores_the_context_too(organisations):
    alice, bob = organisations
    with tenant(alice):
        with pytest.raises(ZeroDivisionError), tenant(bob):
            raise ZeroDivisionError
        assert current() == str(alice.pk)
        with pytest.raises(ProgrammingError), tenant(bob), connection.cursor() as cursor:
            cursor.execute("SELECT * FROM no_such_table")
        assert current() == str(alice.pk)
    assert current() == ""


def test_tenants_that_alternate_on_one_connection_see_their_own(transactional_db):
    worlds = [World(), World()]
    for n, w in enumerate(worlds):
        w.deal(f"d{n}", created_at=timezone.now())
    for _ in range(2):
        for n, w in enumerate(worlds):
            with w.inside():
                assert list(Deal.objects.values_list("external_id", flat=True)) == [f"d{n}"]
            assert not Deal.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_after_a_commit_no_table_shows_a_row_without_a_context():
    w = inhabited()
    with w.inside():
        assert all(model.objects.exists() for model in TABLES)
    assert connection.get_autocommit()
    assert [model._meta.label for model in TABLES if model.objects.exists()] == []
