"""The address bar: parsed, made canonical, and never an error."""

import pytest
from django.http import QueryDict

from alerts.deal_query import DealQuery


def parse(text: str) -> DealQuery:
    return DealQuery.parse(QueryDict(text))


@pytest.mark.parametrize(
    ("address", "canonical"),
    [
        ("", "/deals/?view=open"),
        ("q=&alert=&owner=&page=1&view=open&sort=-risk", "/deals/?view=open"),
        ("alert=no_meeting&alert=no_activity&alert=no_meeting", "/deals/?alert=no_activity&alert=no_meeting"),
        ("page=3&q=++a++b+&view=risk", "/deals/?view=risk&q=a+b&page=3"),
        ("owner=12&owner=none&stage=4", "/deals/?owner=12&owner=none&stage=4"),
        ("sort=amount", "/deals/?sort=amount"),
    ],
)
def test_one_question_has_one_address(address: str, canonical: str) -> None:
    assert parse(address).url == canonical
    assert parse(canonical.partition("?")[2]).url == canonical


@pytest.mark.parametrize(
    "address",
    [
        "alert=nonsense",
        "owner=abc",
        "owner=99999999999999999999",
        "stage=-1",
        "stage=1%00",
        "stage=%D9%A3",  # a digit, but not one of ours
        "view=everything",
        "sort=colour",
        "page=0",
        "page=-3",
        "page=two",
        "page=9999999999999",
        "alert=%3Cscript%3E",
    ],
)
def test_what_is_unknown_is_left_out_and_said(address: str) -> None:
    query = parse(address)
    assert query.url == "/deals/?view=open"
    assert len(query.refused) == 1


def test_searches_survive_anything_typed() -> None:
    assert parse("q=%00a%00").q == "a"
    assert len(parse("q=" + "x" * 5000).q) == 200
    assert parse("q=%F0%9F%98%80+%D7%A9").q == "😀 ש"


def test_any_change_of_the_question_goes_back_to_the_first_page() -> None:
    query = parse("page=4&alert=no_activity&owner=7")
    assert query.with_(sort="amount").page == 1
    assert query.without("owner", "7").url == "/deals/?alert=no_activity"
    assert query.with_(page=5).url.endswith("page=5")
