"""docs/kubernetes.md: what it says to write renders, and what it says to run is understood."""

from __future__ import annotations

import re
import shlex
import shutil
import textwrap
import tomllib
from functools import cache
from typing import TYPE_CHECKING, Any

import click
import kubernetes_validate
import pytest
import yaml

from harness.host.processes import attempt
from harness.node.install import SOURCE
from harness.node.requirements import program
from runc_wrap.cli.kubectl_plugin import plugin
from runc_wrap.cli.main import main
from tests.kubernetes import rendered

if TYPE_CHECKING:
    from pathlib import Path

    from harness.host.processes import Run
    from tests.kubernetes.rendered import Object

GUIDES = ("kubernetes.md", "fleet.md")
SCHEMA = "1.30"
POLICY = "runc-wrap-policy"
OWN = '[[rule]]\nname = "own"\nnamespace = ["team"]\nmode = "off"\n'
PROGRAMS = {"runc-wrapctl": main, "kubectl runc-wrap": plugin}
# Each overlay, and the names of its policies.
OVERLAYS = {
    "audit": [POLICY],
    "enforce": [POLICY],
    "per-pool": [f"{POLICY}-canary", f"{POLICY}-rest"],
    "uninstall": [POLICY],
}


@cache
def _blocks(guide: str) -> list[str]:
    """Return the indented blocks of a guide, without their indentation."""
    text = (SOURCE / "docs" / guide).read_text()
    found = re.findall(r"(?:^(?:    .*)?\n)+", text, flags=re.MULTILINE)
    return [textwrap.dedent(one).strip() for one in found if one.strip()]


def _snippets(*, pools: bool) -> list[Any]:
    """Return the guide's parts of a kustomization.yaml, in order; the first names an overlay.

    With pools, their policies stand in the place of the one policy.
    """
    named = [one for one in _blocks("kubernetes.md") if one.startswith("# kustomization.yaml")]
    found = []
    for head, one in ((one.splitlines()[0], yaml.safe_load(one)) for one in named):
        if pools and "configMapGenerator" in one:
            maps = [each for each in one["configMapGenerator"] if each["name"] != POLICY]
            found.append({**one, "configMapGenerator": maps})
        elif pools or "for pools" not in head:
            found.append(one)
    return found


def _merged(*, pools: bool, whole: bool = True) -> dict[str, list[Any]]:
    """Return the guide's kustomization, in the order of its steps."""
    first, *others = _snippets(pools=pools)
    merged: dict[str, list[Any]] = {}
    for one in [first, *(others if whole else [])]:
        for key, value in one.items():
            merged.setdefault(key, []).extend(value)
    return merged


def _rendered(place: Path, overlay: str, *, whole: bool = True) -> list[Object]:
    """Return what the guide's kustomization makes of an overlay."""
    merged = _merged(pools=overlay == "per-pool", whole=whole)
    if overlay == "uninstall":
        merged.pop("components", None)  # as the guide says
    done = _made(place, merged, overlay)
    assert done.returncode == 0, done.stderr
    objects = list(yaml.safe_load_all(done.stdout))
    for one in objects:
        if one["kind"] != "PodMonitor":  # of the Prometheus Operator (test_metrics_component)
            kubernetes_validate.validate(one, SCHEMA, strict=True)
    return objects


def _made(place: Path, merged: dict[str, list[Any]], overlay: str) -> Run:
    """Run kustomize with the guide's kustomization, in which another overlay is named."""
    shutil.copytree(rendered.DIRECTORY, place / "deploy" / "kubernetes")
    assert merged["resources"] == ["deploy/kubernetes/overlays/audit"]
    named = {**merged, "resources": [f"deploy/kubernetes/overlays/{overlay}"]}
    (place / "kustomization.yaml").write_text(yaml.safe_dump(named))
    (place / "config.toml").write_text(OWN)
    (place / "web.json").write_text("{}")
    return attempt([program("kubectl"), "kustomize", place])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_first_step_renders_by_the_image_of_ones_registry(tmp_path: Path, overlay: str) -> None:
    found = [one for one in _rendered(tmp_path, overlay, whole=False) if one["kind"] == "DaemonSet"]
    assert found
    for one in found:
        (container,) = rendered.pod(one)["containers"]
        assert container["image"].startswith("REGISTRY/runc-wrap:")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_all_that_the_guide_adds_renders_together(tmp_path: Path, overlay: str) -> None:
    objects = _rendered(tmp_path, overlay)
    maps = {one["metadata"]["name"]: one["data"] for one in objects if one["kind"] == "ConfigMap"}
    for one in objects:
        if one["kind"] == "DaemonSet":
            pod = rendered.pod(one)
            assert {"key": "nvidia.com/gpu", "operator": "Exists"} in pod["tolerations"]
            assert one["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"] == "10%"
            mounted = [volume["configMap"]["name"] for volume in pod["volumes"]
                       if "configMap" in volume]  # fmt: skip
            assert [[*maps[name]] for name in mounted] == [
                ["config.toml"], ["0-mode.toml"], ["web.json"]]  # fmt: skip
    policies = {name: data["config.toml"] for name, data in maps.items() if "config.toml" in data}
    assert sorted(name.rpartition("-")[0] for name in policies) == OVERLAYS[overlay]
    assert {*policies.values()} == {OWN}


def _taken_out(merged: dict[str, list[Any]], section: str) -> dict[str, list[Any]]:
    """Return a kustomization without the ConfigMaps that a section of the guide names."""
    _, _, text = (SOURCE / "docs" / "kubernetes.md").read_text().partition(f"\n## {section}\n")
    text, _, _ = text.partition("\n## ")
    left = [one for one in merged["configMapGenerator"] if f"`{one['name']}`" not in text]
    return {**merged, "components": [], "configMapGenerator": left}


@pytest.mark.parametrize("pools", [False, True])
def test_what_the_guide_takes_out_is_what_keeps_the_removal_from_rendering(
    tmp_path: Path, *, pools: bool
) -> None:
    merged = _merged(pools=pools)
    done = _made(tmp_path / "whole", merged, "uninstall")
    assert (done.returncode == 0) is not pools
    assert ("does not exist; cannot merge or replace" in done.stderr) is pools
    left = _taken_out(merged, "Taking it off again")
    done = _made(tmp_path / "left", left, "uninstall")
    assert done.returncode == 0, done.stderr
    found = yaml.safe_load_all(done.stdout)
    (daemonset,) = (one for one in found if one["kind"] == "DaemonSet")
    assert rendered.pod(daemonset)["containers"][0]["args"] == ["cluster", "remove"]


@pytest.mark.parametrize(
    ("overlay", "modes"), [("audit", {"audit"}), ("enforce", {"enforce"}),
                           ("per-pool", {"audit", "enforce"})]
)  # fmt: skip
def test_with_a_policy_of_ones_own_the_mode_is_still_the_overlays(
    tmp_path: Path, overlay: str, modes: set[str]
) -> None:
    found = [one["data"] for one in _rendered(tmp_path, overlay) if one["kind"] == "ConfigMap"]
    texts = [data["0-mode.toml"] for data in found if "0-mode.toml" in data]
    assert {tomllib.loads(text)["default"]["mode"] for text in texts} == modes


def _commands() -> list[tuple[str, str]]:
    """Return each command of ours in the guides: its program, and the words behind it."""
    places = "|".join(map(re.escape, PROGRAMS))
    ours = re.compile(rf"(?:\S*/)?({places}) ([^|<>`#;\n]+)")
    found = []
    for guide in GUIDES:
        text = (SOURCE / "docs" / guide).read_text()
        quoted = [one.replace("\n", " ") for one in re.findall(r"`([^`]+)`", text)]
        lines = [line for block in _blocks(guide) for line in block.splitlines()]
        for line in [*quoted, *lines]:
            found += [(one[1], one[2].strip().rstrip("\\")) for one in ours.finditer(line)]
    return [*dict.fromkeys(one for one in found if re.match(r"[a-z-]", one[1]))]


def test_the_guides_have_commands_of_both_programs() -> None:
    found = _commands()
    assert {name for name, _ in found} == {*PROGRAMS}
    assert ("kubectl runc-wrap", "policy check -f config.toml -f 0-mode.toml") in found
    assert ("runc-wrapctl", "cluster report") in found


@pytest.mark.parametrize(("name", "line"), _commands())
def test_a_command_of_the_guides_is_one(
    name: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each word is a command or an option that there is, with as many arguments as it takes."""
    monkeypatch.setenv("NODE_NAME", "n1")  # as in the installer's pod
    called: click.Command = PROGRAMS[name]
    words = shlex.split(line.replace("…", ""))
    context = click.Context(called, info_name=name)
    while isinstance(called, click.Group) and words and not words[0].startswith("-"):
        if not re.fullmatch(r"[a-z-]+", words[0]):
            break  # `status|report`: a way of writing
        found = called.get_command(context, words[0])
        assert found is not None, words[0]
        called, context, words = found, click.Context(found, parent=context), words[1:]
    known = {one for option in called.params for one in option.opts}
    for word in words:
        if word.startswith("-") and word != "-":
            assert word.partition("=")[0] in known, f"{called.name} has no {word}"
    if not isinstance(called, click.Group) and not any(one.isupper() for one in words):
        called.parse_args(context, [*words])
