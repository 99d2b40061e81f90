"""French is complete, and the check that says so sees every kind of gap."""

import pytest
from babel.messages.catalog import Catalog

from config import translations


@pytest.mark.parametrize("language", translations.LANGUAGES)
def test_every_text_is_translated_and_none_is_unused(language: str) -> None:
    assert translations.faults(translations.read(language), translations.extract()) == []


def test_texts_are_found_in_code_and_templates_with_plural_and_context() -> None:
    used = translations.extract()
    assert used.get("No activity")  # gettext_lazy in a class
    assert used.get("Skip to the content")  # {% translate %}
    assert used.get("Page %(page)s of %(pages)s")  # {% blocktranslate %}
    assert used.get("%(count)s day").pluralizable
    assert used.get("none", context="level of a job title")
    assert ("templates/404.html", 1) in used.get("Page not found").locations


def catalogue(**texts: object) -> Catalog:
    catalog = Catalog(locale="fr", fuzzy=False)
    for text, translation in texts.items():
        catalog.add(text, translation)
    return catalog


def test_a_missing_text_is_told() -> None:
    assert translations.faults(catalogue(), catalogue(Deal="")) == ["missing: 'Deal'"]


def test_an_empty_text_is_told() -> None:
    assert translations.faults(catalogue(Deal=""), catalogue(Deal="")) == ["not translated: 'Deal'"]


def test_an_unused_text_is_told() -> None:
    assert translations.faults(catalogue(Deal="Deal", Old="Vieux"), catalogue(Deal="")) == ["unused: 'Old'"]


def test_an_unsure_text_is_told() -> None:
    unsure = catalogue()
    unsure.add("Deal", "Deal", flags=["fuzzy"])
    assert translations.faults(unsure, catalogue(Deal="")) == ["not translated: 'Deal'"]


def test_half_a_plural_is_told() -> None:
    half, used = catalogue(), catalogue()
    half.add(("deal", "deals"), ("deal", ""))
    used.add(("deal", "deals"))
    assert "not translated: ('deal', 'deals')" in translations.faults(half, used)


def test_a_lost_placeholder_is_told() -> None:
    text = "%(count)s deals"
    lost, used = catalogue(**{text: "des deals"}), catalogue(**{text: ""})
    assert translations.faults(lost, used) == [f"other placeholders: {text!r}"]
