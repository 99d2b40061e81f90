"""Templates rendered once and filled often: nothing of one reader may reach another."""

from django.utils import translation
from django.utils.safestring import SafeString

from alerts.markup import fill
from alerts.rules import BY_KIND


def row(**texts: str) -> str:
    return fill("alerts/row.html", {"id": "7", "address": "/deals/7", "detail": "", "owner": "", **texts})


def test_texts_are_escaped_unless_they_are_safe() -> None:
    assert "&lt;b&gt; &amp; &quot;" in row(name='<b> & "')
    assert "<b>bold</b>" in row(name=SafeString("<b>bold</b>"))


def test_each_page_shows_its_own_texts_whatever_was_shown_before() -> None:
    first, second = row(name="First", owner="Ana"), row(name="Second")
    assert "First" in first
    assert "Ana" in first
    assert "Second" in second
    assert "First" not in second
    assert "Ana" not in second
    assert row(name="First", owner="Ana") == first


def test_braces_percent_signs_and_names_of_gaps_are_text() -> None:
    assert "{name} %(name)s \\g&lt;1&gt; {0}" in row(name="{name} %(name)s \\g<1> {0}")
    assert "\0detail\0" in row(name="\0detail\0")


def test_each_language_and_each_rule_has_its_own_markup() -> None:
    texts = {"title": "T", "sentence": "S", "rejected": "", "since": ""}
    with translation.override("en"):
        english = fill("alerts/entry.html", texts, rule=BY_KIND["no_activity"])
        warning = fill("alerts/entry.html", texts, rule=BY_KIND["deal_too_old"])
    with translation.override("fr"):
        french = fill("alerts/entry.html", texts, rule=BY_KIND["no_activity"])
    assert "Critical" in english
    assert "Warning" in warning
    assert "Critique" in french
