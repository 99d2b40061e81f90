"""Settings as YAML: what is written is read again as it was; what is wrong is told with its path and line."""

from typing import Any

import pytest
import yaml
from django.core.exceptions import ValidationError
from django.utils.translation import override
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts import exchange
from alerts import settings as alert_settings
from alerts.rules import BY_KIND, RULES
from alerts.rules.base import Choice, Flag, Number, PerRole, PerStage
from alerts.versions import Vocabulary, distinct
from deals.models import Role, Stage, Team
from deals.records import PipelineRecord, StageRecord
from tests.world import World

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12) | st.sampled_from(
    ["all", "yes", "null", "~", "10", "1:30", "2026-11-22", "<<", "- x", "a: b", "#x", "&a", "*a", "!x", "Sales (#1)",
     "Sales", " Sales ", "", "\ufeff", "\x85", "\u2028", "🙂", "{{x}}", "'", '"', "%d", "x" * 200]
)  # fmt: skip


def values(parameter: Any, vocabulary: Vocabulary) -> st.SearchStrategy[Any]:
    match parameter:
        case Number():
            return st.integers(parameter.min, parameter.max)
        case Flag():
            return st.booleans()
        case Choice():
            return st.sampled_from([value for value, _label in parameter.choices])
        case PerStage():
            return st.dictionaries(st.sampled_from([str(pk) for pk in vocabulary.stages]), values(parameter.of, None))
        case PerRole():
            return st.dictionaries(st.sampled_from(sorted(vocabulary.roles)), values(parameter.of, None))
    raise TypeError(parameter)


def rules(vocabulary: Vocabulary, complete: bool) -> st.SearchStrategy[Any]:
    def of(rule: Any) -> Any:
        fields = {"enabled": st.booleans()} | {n: values(p, vocabulary) for n, p in rule.parameters.items()}
        if complete:
            return st.fixed_dictionaries(fields)
        return st.fixed_dictionaries({}, optional=fields).filter(bool)

    fields = {rule.kind: of(rule) for rule in RULES}
    return st.fixed_dictionaries(fields) if complete else st.fixed_dictionaries({}, optional=fields)


@st.composite
def drafts(draw: Any, vocabulary: Vocabulary) -> Any:
    """Valid drafts over the names of a vocabulary."""

    def ids(known: Any, least: int = 0) -> Any:
        return st.lists(st.sampled_from(sorted(known)), unique=True, min_size=least, max_size=3)

    override = st.fixed_dictionaries(
        {
            "name": NAMES.map(lambda name: " ".join(name.split()) or "x"),
            "pipelines": ids(vocabulary.pipelines, 1),
            "teams": ids(vocabulary.teams),
            "rules": rules(vocabulary, complete=False),
        }
    )
    return {
        "rules": draw(rules(vocabulary, complete=True)),
        "overrides": draw(st.lists(override.filter(lambda o: len(o["name"]) <= 100), max_size=3)),
        "pipelines": draw(st.none() | ids(vocabulary.pipelines, 1)),
        "business_days": draw(st.booleans()),
    }


@st.composite
def vocabularies(draw: Any) -> Vocabulary:
    def named(keys: Any) -> Any:
        return distinct(draw(st.dictionaries(keys, NAMES, min_size=1, max_size=6)), ())

    numbers = st.integers(1, 20)
    return Vocabulary(named(numbers), named(numbers), named(numbers), named(st.sampled_from("abcdefgh")))


@settings(max_examples=50)
@given(st.data())
def test_what_is_written_is_read_again_whatever_things_are_called(data: Any) -> None:
    vocabulary = data.draw(vocabularies())
    draft = data.draw(drafts(vocabulary))
    text = exchange.write(draft, vocabulary)
    assert exchange.read(text.encode(), vocabulary) == draft
    assert exchange.write(exchange.read(text.encode(), vocabulary), vocabulary) == text


@given(names=st.dictionaries(st.integers(1, 9), NAMES), live=st.sets(st.integers(1, 9)))
def test_no_two_things_have_one_name(names: dict[int, str], live: set[int]) -> None:
    told = distinct(names, live & names.keys())
    assert len(set(told.values())) == len(names)


def test_a_name_is_kept_plain_by_the_only_one_that_is_still_there() -> None:
    assert distinct({1: "Sales", 2: "Sales", 3: "Partners"}, {2, 3}) == {1: "Sales (#1)", 2: "Sales", 3: "Partners"}
    assert distinct({1: "Sales", 2: "Sales"}, {1, 2}) == {1: "Sales (#1)", 2: "Sales (#2)"}
    assert distinct({1: "Sales (#2)"}, {1}) == {1: "Sales (#2) (#1)"}


# ---- With an organisation


@pytest.fixture
def world(db: None) -> World:
    """Two pipelines named "Twin", a stage in each; one of Sales' stages has gone; a team."""
    w = World()
    w.write(
        pipelines=[PipelineRecord("t1", "Twin", 2), PipelineRecord("t2", "Twin", 3)],
        stages=[StageRecord("x1", "t1", "Start", 1), StageRecord("x2", "t2", "Start", 1)],
    )
    with w.inside():
        Stage.objects.filter(external_id="s2").update(deleted=True)
        Team.objects.create(organisation=w.organisation, name="Équipe Nord")
    return w


def load(w: World, text: str | bytes) -> Any:
    with w.inside():
        return exchange.load(w.organisation, text if isinstance(text, bytes) else text.encode())


def refused(w: World, text: str | bytes) -> dict[str, list[str]]:
    with pytest.raises(ValidationError) as caught:
        load(w, text)
    return caught.value.message_dict


def test_export_and_import_are_inverse_for_every_valid_draft_of_an_organisation(world: World) -> None:
    with world.inside():
        vocabulary = Vocabulary.of(world.organisation)

    @settings(max_examples=25)
    @given(drafts(vocabulary))
    def check(draft: Any) -> None:
        with world.inside():
            cleaned = alert_settings.clean(world.organisation, draft)
            text = exchange.write(cleaned, vocabulary)
            assert exchange.load(world.organisation, text.encode()) == cleaned

    check()


def test_people_read_names_and_no_numbers(world: World) -> None:
    with world.inside():
        names = Vocabulary.of(world.organisation)
        ids = {name: pk for pk, name in names.stages.items()}
        team = Team.objects.get()
        world.configure(
            key_role={"roles": {"decision maker": 9, "champion": 5}},
            stuck_in_stage={"stages": {str(ids["Sales / Demo"]): 4}},
            overrides=[{"name": "Nord", "pipelines": [], "teams": [team.pk], "rules": {"no_activity": {"days": 3}}}],
            pipelines=[pk for pk, name in names.pipelines.items() if name == "Sales"],
            business_days=True,
        )
        draft = alert_settings.draft_of(alert_settings.current(world.organisation))
        with override("fr"):
            text = exchange.write(draft, names)
    assert text.startswith("rules:\n  no_activity:\n    enabled: true\n    days: 10\n")
    assert "    roles:\n      Champion: 5\n      Decision maker: 9\n" in text
    assert "    level: Director\n" in text
    assert "    stages:\n      Sales / Demo: 4\n" in text
    assert text.endswith(
        "overrides:\n- name: Nord\n  pipelines: []\n  teams:\n  - Équipe Nord\n  rules:\n    no_activity:\n"
        "      days: 3\npipelines:\n- Sales\nbusiness_days: true\n"
    )
    assert list(yaml.safe_load(text)["rules"]) == list(BY_KIND)


def test_roles_are_found_by_their_label_in_any_case_and_accents(world: World) -> None:
    for name in ("Decision maker", "DECISION_MAKER", "décision-maker"):
        draft = load(world, f"rules: {{key_role: {{roles: {{{name}: 7}}}}}}")
        assert draft["rules"]["key_role"]["roles"] == {"decision maker": 7}


def test_a_stage_that_has_gone_may_be_named_and_one_that_never_was_may_not(world: World) -> None:
    draft = load(world, "rules:\n  stuck_in_stage:\n    stages:\n      Sales / Offer: 5\n")
    assert list(draft["rules"]["stuck_in_stage"]["stages"].values()) == [5]
    errors = refused(world, "rules:\n  stuck_in_stage:\n    stages:\n      Sales / Lunch: 5\n")
    path = "rules.stuck_in_stage.stages.Sales / Lunch"
    assert errors == {path: ["Line 4: There is none with the name “Sales / Lunch” here."]}


def test_of_several_with_one_name_the_file_must_say_which(world: World) -> None:
    [sentence] = refused(world, "pipelines:\n- Sales\n- Twin\n")["pipelines.1"]
    with world.inside():
        twins = [name for name in Vocabulary.of(world.organisation).pipelines.values() if name.startswith("Twin")]
    assert sentence.startswith("Line 3: Several are named “Twin”. Write one of ")
    assert len(twins) == 2
    assert all(f"“{twin}”" in sentence for twin in twins)
    assert len(load(world, f"pipelines:\n- {twins[0]!r}\n")["pipelines"]) == 1


@pytest.mark.parametrize(
    ("text", "path", "sentence"),
    [
        ("rulez: {}", "rulez", "Line 1: There is no setting of this name."),
        ("rules:\n  no_activty:\n    days: 3", "rules.no_activty", "Line 2: There is no alert of this name."),
        ("rules:\n  no_activity:\n    day: 3", "rules.no_activity.day", "Line 3: There is no setting of this name."),
        (
            "rules:\n  no_activity:\n    days: 0",
            "rules.no_activity.days",
            "Line 3: Enter a whole number from 1 to 365.",
        ),
        ("rules:\n  no_activity:\n    days: 366", "rules.no_activity.days", "Line 3: Enter a whole number"),
        ("rules:\n  no_activity:\n    days: 1:30", "rules.no_activity.days", "Line 3: Enter a whole number"),
        ("rules:\n  no_activity:\n    days:", "rules.no_activity.days", "Line 3: Enter a whole number"),
        ("rules:\n  no_activity:\n    days: " + "9" * 5000, "rules.no_activity.days", "Line 3: Enter a whole number"),
        ("rules:\n  no_activity:\n    enabled: maybe", "rules.no_activity.enabled", "Line 3: Say yes or no."),
        (
            "rules:\n  no_activity:\n    days: 3\n    days: 4",
            "rules.no_activity.days",
            "Line 4: “days” is given twice.",
        ),
        ("rules: {}\nrules: {}", "rules", "Line 2: “rules” is given twice."),
        ("rules:\n  key_role:\n    roles: {Champion: 3, CHAMPION: 4}", "rules.key_role.roles.CHAMPION", "Line 3: “CH"),
        ("rules:\n  key_role:\n    roles: {Nobody: 3}", "rules.key_role.roles.Nobody", "Line 3: There is none"),
        ("rules:\n  key_role:\n    roles: [Champion]", "rules.key_role.roles", "Line 3: These settings are not"),
        ("rules:\n  power_map:\n    level: King", "rules.power_map.level", "Line 3: Choose one of the values"),
        ("rules: 5", "rules", "Line 1: These settings are not in the expected form."),
        ("rules:", "rules", "Line 1: These settings are not in the expected form."),
        ("pipelines: Sales", "pipelines", "Line 1: These settings are not in the expected form."),
        ("pipelines: []", "pipelines", "Line 1: Choose at least one pipeline, or all of them."),
        ("pipelines: [Sales, Sales]", "pipelines.1", "Line 1: “Sales” is given twice."),
        ("business_days: 1", "business_days", "Line 1: Say yes or no."),
        ("overrides: 3", "overrides", "Line 1: Give a list of at most 20 overrides."),
        ("overrides:\n- 3", "overrides.0", "Line 2: These settings are not in the expected form."),
        ("overrides:\n- name: A\n  teams: [X]", "overrides.0.teams.0", "Line 3: There is none with the name “X” here."),
        ("overrides:\n- name: A", "overrides.0", "Line 2: Choose the pipelines or the teams for which it counts."),
        ("overrides:\n- pipelines: [Sales]", "overrides.0.name", "Line 2: Give it a name of at most 100 characters."),
        ("? [a]\n: 1", "", "Line 1: Values of this kind are not allowed."),
        ("rules: !!set {a}", "rules", "Line 1: Values of this kind are not allowed."),
        ("rules: !!python/object/apply:os.system [ls]", "rules", "Line 1: Values of this kind are not allowed."),
        ("a: &a [1]\nb: *a", "", "Line 2, column 4: this cannot be read as YAML."),
        ("a: b: c", "", "Line 1, column 5: this cannot be read as YAML."),
        ("--- 1\n--- 2", "", "Line 2, column 1: this cannot be read as YAML."),
        ("[" * 5000, "", "Line 1, column 13: this cannot be read as YAML."),
        ("", "", "This file holds no alert settings."),
        ("{}", "", "This file holds no alert settings."),
        ("just words", "", "This file holds no alert settings."),
        (b"\xff\xfe\x00", "", "This file is no readable text in UTF-8."),
        ("a: \x07", "", "This file is no readable text in UTF-8."),
        ("#" * (256 * 1024 + 1), "", "The file is too large: at most 256 KB."),
    ],
    ids=lambda value: repr(value[:40]) if len(value) > 5 else None,
)
def test_what_is_wrong_is_told_with_its_path_and_line(world: World, text: str, path: str, sentence: str) -> None:
    errors = refused(world, text)
    assert list(errors) == [path]
    assert errors[path][0].startswith(sentence)


def test_all_that_is_wrong_is_told_at_once(world: World) -> None:
    text = "rules: {no_activity: {days: 0}}\noverrides: [{name: A, pipelines: [X]}]\npipelines: [Y]\nx: 1\n"
    assert set(refused(world, text)) == {"rules.no_activity.days", "overrides.0.pipelines.0", "pipelines.0", "x"}


def test_names_of_another_organisation_are_unknown(world: World) -> None:
    other = World()
    other.write(pipelines=[PipelineRecord("o", "Elsewhere", 1)])
    assert list(refused(world, "pipelines: [Elsewhere]")) == ["pipelines.0"]


def test_a_role_of_two_crms_is_one_name(world: World) -> None:
    with world.inside():
        source = world.source
        source.pk, source.account_id = None, "2"
        source.save(force_insert=True)
        Role.objects.create(organisation=world.organisation, source=source, key="champion", label="CHAMPION")
        assert len(Vocabulary.of(world.organisation).roles) == 2


def test_what_nobody_remembers_is_written_and_refused_when_read(world: World) -> None:
    with world.inside():
        draft = alert_settings.clean(world.organisation, {})
        draft["rules"]["key_role"]["roles"] = {"forgotten": 5}
        draft["rules"]["stuck_in_stage"]["stages"] = {"1": 5}
        draft["pipelines"] = [1]
        text = exchange.write(draft, Vocabulary({}, {}, {}, {}))
    assert set(refused(world, text)) == {
        "pipelines.0",
        "rules.key_role.roles.#forgotten",
        "rules.stuck_in_stage.stages.#1",
    }
