"""What addresses and forms say: anybody can write anything there."""

import re

LARGEST = 10**18 - 1  # below the end of a bigint


def whole(text: str, most: int = LARGEST) -> int | None:
    """The number that `text` says in the digits 0 to 9, up to `most`; None when it says anything else.

    `int()` would take signs, spaces, underscores, the digits of every script, and a text of any length.
    """
    number = int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None
    return number if number is not None and number <= most else None
