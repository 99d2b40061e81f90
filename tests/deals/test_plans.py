import pytest
from django.db import DatabaseError, connection, transaction

from deals import plans

TEXT = "SELECT %(n)s::int + 1, 'a%%b', %(name)s::text"


def told(n, rows=1, sql=TEXT):
    with connection.cursor() as cursor:
        plans.execute_for(rows, cursor, sql, {"n": n, "name": "ü%s"})
        return cursor.fetchone()


def kept():
    with connection.cursor() as cursor:
        cursor.execute("SELECT substring(statement FROM ', ''(.)'';') FROM pg_prepared_statements ORDER BY 1")
        return [row[0] for row in cursor.fetchall()]


@pytest.mark.django_db
@pytest.mark.parametrize("rows", [1, plans.FEW, plans.FEW + 1])
def test_few_or_many_the_same_is_answered(rows):
    before = len(kept())
    sql = f"{TEXT}, {rows}"
    assert [told(n, rows, sql) for n in (1, 2)] == [(2, "a%b", "ü%s", rows), (3, "a%b", "ü%s", rows)]
    assert len(kept()) - before == (rows <= plans.FEW)


@pytest.mark.django_db(transaction=True)
def test_a_session_keeps_the_statements_that_were_used_last(monkeypatch):
    monkeypatch.setattr(plans, "KEPT", 2)
    connection.close()
    with transaction.atomic():
        for name in "abacab":  # b, which was not used for longer, makes room for c, and c for b
            assert told(1, sql=f"{TEXT}, '{name}'")[-1] == name
        assert kept() == ["a", "b"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("before", [0, 1])
def test_what_fails_leaves_no_statement_behind(before):
    sql = "SELECT 1 / %(n)s::int, %(name)s::text"
    connection.close()
    with transaction.atomic():
        for _ in range(before):
            assert told(1, sql=sql) == (1, "ü%s")
        for _ in range(3):
            with pytest.raises(DatabaseError), transaction.atomic():
                told(0, sql=sql)
        assert told(1, sql=sql) == (1, "ü%s")
        assert len(kept()) == 1


@pytest.mark.django_db(transaction=True)
def test_another_session_prepares_its_own():
    with transaction.atomic():
        assert told(1)[0] == 2
    connection.close()
    with transaction.atomic():
        assert kept() == []
        assert told(1)[0] == 2
        assert len(kept()) == 1
