"""docs/rules.md is what the rules say, and they say everything: each parameter, fact and reason."""

import re
from zoneinfo import ZoneInfo

import pytest
from django.core.management import call_command
from django.db.models import Value
from django.utils import translation

from alerts import wording
from alerts.rules import RULES
from config.management.commands import write_rules_page as rules_page
from deals.clock import Clock
from tests.world import NOON

EVERY_RULE = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)


def settings_of(rule):
    """Default settings, with one role so that `key_role` has a subject."""
    return rule.default_settings() | ({"roles": {"champion": 12}} if rule.kind == "key_role" else {})


def test_the_committed_page_is_what_the_rules_say():
    assert rules_page.PAGE.read_text("utf-8") == rules_page.page(), "run `manage.py write_rules_page`"


def test_the_page_is_in_english_whoever_writes_it():
    with translation.override("fr"):
        assert rules_page.page() == rules_page.PAGE.read_text("utf-8")


def test_check_fails_when_the_page_is_behind_or_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(rules_page, "PAGE", tmp_path / "rules.md")
    with pytest.raises(SystemExit, match="write_rules_page"):
        call_command("write_rules_page", check=True)
    call_command("write_rules_page")
    call_command("write_rules_page", check=True)
    rules_page.PAGE.write_text(rules_page.PAGE.read_text("utf-8").replace("1 to 365", "1 to 366", 1), "utf-8")
    with pytest.raises(SystemExit, match="write_rules_page"):
        call_command("write_rules_page", check=True)


@EVERY_RULE
def test_every_fact_that_an_alert_keeps_is_told(rule):
    [subject] = rule.subjects(settings_of(rule))
    assert rule.facts.keys() == rule.evidence(settings_of(rule), subject).keys()


@EVERY_RULE
def test_every_reason_not_to_be_evaluable_is_told_here_and_in_the_interface(rule):
    [subject] = rule.subjects(settings_of(rule))
    unknown = rule.unknown(settings_of(rule), Clock(NOON, ZoneInfo("Europe/Paris")), subject)
    codes = {one.value for one in (unknown.flatten() if unknown else ()) if isinstance(one, Value)}
    assert rule.reasons.keys() == {code for code in codes if isinstance(code, str)}
    told = [wording.unknown(code) for code in rule.reasons]
    assert wording.unknown("no such reason") not in told


@EVERY_RULE
def test_every_rule_has_its_chapter_with_all_its_parameters(rule):
    chapter = re.split(r"^## ", rules_page.page(), flags=re.M)[3 + RULES.index(rule)]
    assert chapter.startswith(f"{rule.kind}\n")
    assert re.findall(r"\| `(\w+)` \|", chapter) == list(rule.parameters)
    for part in ("Clear", "Not evaluable", "Evidence", "What to do", "Known false alarms"):
        assert f"**{part}.**" in chapter


def test_links_lead_to_a_heading():
    page = rules_page.page()
    headings = {line[3:].lower().replace(" ", "-") for line in page.splitlines() if line.startswith("## ")}
    assert set(re.findall(r"\]\(#([\w-]+)\)", page)) <= headings
