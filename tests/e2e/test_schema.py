"""The JSON Schema of playbooks accepts every playbook of the project, and refuses what an editor should underline."""

import json
import re
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "docs/playbook.schema.json").read_text())


class Core(yaml.SafeLoader):
    """YAML 1.2's core schema: times are text, and `yes` and `on` are words."""

    yaml_implicit_resolvers = {}


for tag, pattern, first in [
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("int", r"^[-+]?[0-9]+$", "-+0123456789"),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789"),
]:
    Core.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), list(first))


def faults(document):
    validator = Draft202012Validator(SCHEMA)
    return [f"{list(error.path)}: {error.message}" for error in validator.iter_errors(yaml.load(document, Core))]


def playbooks():
    """Every playbook of the project, by where it stands."""
    for path in [ROOT / "tests/playbook/whole-language.yaml", *sorted((ROOT / "examples").glob("*.yaml"))]:
        if not path.name.endswith(".scenarios.yaml"):
            yield path.name, path.read_text()
    for path in sorted((ROOT / "tests/scenarios").rglob("*.yaml")):
        for scenario in yaml.load_all(path.read_text(), Core):
            name = f"{path.name}: {scenario['scenario']}"
            if "\n" in scenario["playbook"]:
                yield name, scenario["playbook"]
            for step in scenario["steps"]:
                if isinstance(step.get("publish"), str) and not (step.get("expect") or {}).get("error"):
                    yield name, step["publish"]
                if isinstance(step.get("check"), str) and (step.get("expect") or {}).get("errors") == []:
                    yield name, step["check"]


def test_the_schema_is_one():
    Draft202012Validator.check_schema(SCHEMA)


def test_every_playbook_of_the_project_is_valid():
    checked = 0
    for name, document in playbooks():
        assert faults(document) == [], name
        checked += 1
    assert checked > 200


WHOLE = (ROOT / "tests/playbook/whole-language.yaml").read_text()


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        ("unit: output ", "unit: outptu "),
        ("scale: 2 ", "scale: 10 "),
        ("price: 0.10 ", "price: -0.10 "),
        ("currency: USD", "currency: dollars"),
        ("weight: 5 ", "wieght: 5 "),
        ("failure: none ", "failure: 15 "),
        ("retries: {within: 10m, free: 2}", "retries: {within: 10m}"),
        ("trading: none ", "trading: open "),
        ("every: month}         # C3", "every: fortnight}         # C3"),
        ("{name: runaway, per: run, limit: 50}", "{name: runaway, per: run, limit: 50, runs: 3}"),
        ("burn_above: 3x", "burn_above: 3"),
        ("- borrow: {up_to: 20%}", "- borrow: {up_to: 20%}\n        soft: {}"),
        ("basic: false ", "basic: 'no' "),
    ],
)
def test_what_an_editor_should_underline_is_refused(written, instead):
    assert written in WHOLE
    assert faults(WHOLE.replace(written, instead, 1))
