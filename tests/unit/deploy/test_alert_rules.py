"""Prometheus' alerts: by `promtool test rules`, and the metrics that they name exist."""

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from harness.node.requirements import program
from runc_wrap.metrics import pod_server, prometheus_series

Json = dict[str, Any]

ROOT = Path(__file__).resolve().parents[3]
MONITORING = ROOT / "deploy" / "monitoring"
RULES = MONITORING / "rules.yaml"
CASES = Path(__file__).with_name("alert_cases.yaml")
OTHERS = {"up"}  # Prometheus' own
GAUGES = {"runc_wrap_build_info", "runc_wrap_policy_generation"}
SERIES = {prometheus_series.SEEING, prometheus_series.WRITTEN, pod_server.UP, pod_server.STATE}


def _rules() -> list[Json]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    found: list[Json] = group["rules"]
    return found


def _for_promtool(case: Json) -> Json:
    """Expect of each alert the annotations that its rule has, filled in with its labels."""
    texts = {rule["alert"]: rule["annotations"] for rule in _rules()}
    for test in case["alert_rule_test"]:
        for wanted in test["exp_alerts"]:
            said = texts[test["alertname"]].items()
            filled = {name: _filled(text, wanted["exp_labels"]) for name, text in said}
            wanted["exp_annotations"] = filled
    return {"rule_files": [str(RULES)], "evaluation_interval": case["interval"], "tests": [case]}


def _filled(text: str, labels: Json) -> str:
    return re.sub(r"{{ \$labels\.(\w+) }}", lambda found: str(labels[found[1]]), text)


def _promtool(place: Path, *words: str) -> None:
    argv = [program("promtool"), *words]
    done = subprocess.run(argv, cwd=place, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


def test_each_alert_is_raised_for_what_it_is_about_and_for_nothing_else(tmp_path: Path) -> None:
    cases = yaml.safe_load(CASES.read_text())["tests"]
    asked = [test for case in cases for test in case["alert_rule_test"]]
    for rule in _rules():
        raised = {bool(one["exp_alerts"]) for one in asked if one["alertname"] == rule["alert"]}
        assert raised == {True, False}, rule["alert"]
    files = [f"{number}.yaml" for number in range(len(cases))]
    for file, case in zip(files, cases, strict=True):
        (tmp_path / file).write_text(yaml.safe_dump(_for_promtool(case)))
    _promtool(tmp_path, "test", "rules", *files)
    _promtool(tmp_path, "check", "rules", "--lint-fatal", str(RULES))  # they are well formed


def test_the_operators_rules_are_the_same() -> None:
    document = yaml.safe_load((MONITORING / "prometheusrule.yaml").read_text())
    assert document["kind"] == "PrometheusRule"
    assert document["spec"] == yaml.safe_load(RULES.read_text())


def test_every_metric_and_every_state_that_is_named_exists() -> None:
    counters = {f"{name}_total" for name, _, _ in prometheus_series.COUNTERS.values()}
    for rule in _rules():
        named = set(re.findall(r"\b((?:runc_wrap|node)_\w+|up)\b", rule["expr"]))
        assert named <= counters | GAUGES | SERIES | OTHERS, rule["alert"]
        assert named
    lists = [re.findall(r'{state=~"([a-z|-]+)"}', rule["expr"]) for rule in _rules()]
    states = {state for found in lists for listed in found for state in listed.split("|")}
    assert set() < states <= {*pod_server.STATES}
