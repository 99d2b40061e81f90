"""Templates that a page needs hundreds of times: rendered once a process, then only filled.

A page of the deal list shows 50 rows and some 400 alerts; rendering each by itself took half of its time.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from html import escape
from typing import Any

from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from django.utils.translation import get_language

_GAP = re.compile("\0([a-z_]+)\0")


def fill(template: str, texts: Mapping[str, str], **same: Any) -> SafeString:
    """`template` with `texts`, escaped unless safe, and with `same`, which has few different values.

    What is remembered is the template with gaps for the texts: by language, by `same`, and by which texts are empty. So
    of a text, the template may only say where it is and ask whether it is empty: no filter, no other test.
    """
    parts = _parts(get_language(), template, tuple(name for name, text in texts.items() if text), tuple(same.items()))
    filled = list(parts)
    for n in range(1, len(parts), 2):
        text = texts[parts[n]]
        filled[n] = text if isinstance(text, SafeString) else escape(text)
    return SafeString("".join(filled))


@lru_cache(maxsize=1024)
def _parts(language: str | None, template: str, gaps: tuple[str, ...], same: tuple[tuple[str, Any], ...]) -> list[str]:
    """Markup and names of gaps in turn."""
    return _GAP.split(render_to_string(template, {name: f"\0{name}\0" for name in gaps} | dict(same)))
