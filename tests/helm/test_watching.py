"""Alert rules, runbooks and dashboard: whether they can be evaluated, and speak of metrics that exist."""

import json
import pathlib
import re
import subprocess

import yaml

ROOT = pathlib.Path(__file__).parents[2]
RULES = ROOT / "helm" / "bursar" / "rules" / "alerts.yaml"
DASHBOARD = ROOT / "helm" / "bursar" / "dashboards" / "bursar.json"
RUNBOOKS = ROOT / "docs" / "runbooks"
TESTS = ROOT / "tests" / "helm" / "alerts_test.yaml"


def promtool(*arguments):
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def rules():
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def queries():
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel["targets"]:
            yield target["expr"]


def documented():
    text = (ROOT / "docs" / "metrics.md").read_text()
    rows = re.findall(r"^\| `([a-z_]+)` \| ([a-z]+) \| ([^|]*) \|", text, re.MULTILINE)
    labels = {name: set(re.findall(r"`([a-z_]+)`", given)) for name, _, given in rows}
    for name, kind, _ in rows:
        if kind == "histogram":
            labels |= {f"{name}_bucket": labels[name] | {"le"}, f"{name}_count": labels[name], f"{name}_sum": labels[name]}
    return labels


def test_rules_are_rules():
    promtool("check", "rules", str(RULES))


def test_each_alert_can_be_provoked():
    promtool("test", "rules", str(TESTS))
    tested = {one["alertname"] for test in yaml.safe_load(TESTS.read_text())["tests"] for one in test["alert_rule_test"] if one.get("exp_alerts")}
    assert tested == {rule["alert"] for rule in rules() if "alert" in rule}


def test_each_alert_has_its_runbook():
    alerts = {rule["alert"]: rule["annotations"]["runbook"] for rule in rules() if "alert" in rule}
    assert alerts == {name: f"docs/runbooks/{name}.md" for name in alerts}
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == set(alerts)
    for name in alerts:
        text = (RUNBOOKS / f"{name}.md").read_text()
        assert text.startswith(f"# {name}\n")
        for link in re.findall(r"\]\(([^)#]+)\)", text):
            assert (RUNBOOKS / link).exists(), link


def test_the_dashboard_asks_what_can_be_asked(tmp_path):
    asked = [query.replace("$__rate_interval", "5m").replace("$sidecar", ".*") for query in queries()]
    recorded = [{"record": f"asked:{number}", "expr": query} for number, query in enumerate(asked)]
    file = tmp_path / "asked.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": recorded}]}))
    promtool("check", "rules", str(file))


def test_only_metrics_that_exist_are_named():
    known = documented()
    assert "bursar_decisions_total" in known
    for expression in [*(rule["expr"] for rule in rules()), *queries()]:
        named = set(re.findall(r"\b(?:bursar|rpc)_[a-z_]+\b", re.sub(r'"[^"]*"', '""', expression)))
        # Labels of a selector are no metrics.
        metrics = {name for name in named if name not in {"rpc_method", "rpc_status_code"}}
        assert metrics <= set(known), metrics - set(known)
        for metric, selector in re.findall(r"\b((?:bursar|rpc)_[a-z_]+)\{([^}]*)\}", expression):
            labels = set(re.findall(r"([a-z_]+)\s*(?:=|!=|=~|!~)", re.sub(r'"[^"]*"', '""', selector)))
            assert labels <= known[metric] | {"instance"}, (metric, labels)


def test_the_dashboard_shows_every_metric():
    shown = " ".join(queries())
    names = re.findall(r"^\| `([a-z_]+)` \|", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE)
    assert len(names) > 10
    assert [name for name in names if name not in shown] == []


def test_what_compose_starts_can_be_read(tmp_path):
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
    mounts = [mount.split(":")[0] for service in compose["services"].values() for mount in service.get("volumes", [])]
    for mount in mounts:
        assert mount in compose["volumes"] or (ROOT / "deploy" / mount).exists(), mount
    # As it lies in the container: the rules beside it.
    (tmp_path / "rules").symlink_to(RULES.parent)
    (tmp_path / "prometheus.yaml").write_text((ROOT / "deploy" / "compose" / "prometheus.yaml").read_text())
    promtool("check", "config", str(tmp_path / "prometheus.yaml"))
