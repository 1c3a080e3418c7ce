"""The chart's values as its README shows them and as its schema checks them, both from the comments and the defaults of values.yaml.

    python tests/helm/reference.py     writes both
"""

import json
import pathlib
import re

import yaml

CHART = pathlib.Path(__file__).parents[2] / "helm" / "bursar"
BEGIN, END = "<!-- values -->\n", "<!-- end of values -->"

# Values that hold whatever Kubernetes or a process takes there.
OPEN = re.compile(
    r"(^|\.)(commonLabels|commonAnnotations|annotations|podLabels|podAnnotations|config|resources|nodeSelector|affinity|labels|global)$"
)
ONE_OF = {
    "image.pullPolicy": ["Always", "IfNotPresent", "Never"],
    "sidecar.inject.failurePolicy": ["Ignore", "Fail"],
}
LEAST = {"ledger.replicas": 0}


def described():
    """(path, default, words) of each value, in the order of the file."""
    path, words, found = [], [], []
    for line in (CHART / "values.yaml").read_text().splitlines():
        indent = len(line) - len(line.lstrip())
        text = line.strip()
        if text.startswith("# -- "):
            words = [text[5:]]
        elif text.startswith("#"):
            words.append(text[2:])
        elif re.match(r"[A-Za-z]+:", text):
            path = path[: indent // 2] + [text.split(":")[0]]
            if words:
                found.append((".".join(path), " ".join(words)))
            words = []
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for name, words in found:
        default = values
        for part in name.split("."):
            default = default[part]
        yield name, default, words


def table():
    rows = ["| value | default | |", "|---|---|---|"]
    for name, default, words in described():
        shown = json.dumps(default, ensure_ascii=False)
        rows.append(f"| `{name}` | `{shown}` | {words} |")
    return "\n".join(rows) + "\n"


def schema_of(name, default):
    if name in ONE_OF:
        return {"enum": ONE_OF[name]}
    if OPEN.search(name):
        return {"type": "object"}
    if isinstance(default, dict):
        properties = {key: schema_of(f"{name}.{key}" if name else key, value) for key, value in default.items()}
        if not name:
            # What Helm gives to every chart that is part of another.
            properties["global"] = {"type": "object"}
        return {"type": "object", "additionalProperties": False, "properties": properties}
    if isinstance(default, bool):
        return {"type": "boolean"}
    if isinstance(default, int):
        return {"type": "integer", "minimum": LEAST.get(name, 1)}
    if isinstance(default, list):
        return {"type": "array"}
    return {"type": "string"}


def schema():
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    whole = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of the chart bursar", **schema_of("", values)}
    return json.dumps(whole, indent=2) + "\n"


def readme():
    before, rest = (CHART / "README.md").read_text().split(BEGIN)
    _, after = rest.split(END)
    return before + BEGIN + table() + END + after


if __name__ == "__main__":
    (CHART / "values.schema.json").write_text(schema())
    (CHART / "README.md").write_text(readme())
