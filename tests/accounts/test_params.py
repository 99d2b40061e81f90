"""Numbers that an address or a form says."""

import pytest

from accounts.params import LARGEST, whole


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("007", 7),
        (str(LARGEST), LARGEST),
        (str(LARGEST + 1), None),
        ("9" * 5000, None),
        *(
            (text, None)
            for text in ("", " 1", "1 ", "1\n", "+1", "-1", "1_0", "1.0", "1e3", "x", "٣", "²", "１", "1\x00")
        ),
    ],
)
def test_only_the_digits_of_a_number_are_one(text: str, number: int | None) -> None:
    assert whole(text) == number


@pytest.mark.parametrize(("text", "number"), [("9", 9), ("10", 10), ("11", None)])
def test_a_limit_is_kept(text: str, number: int | None) -> None:
    assert whole(text, 10) == number
