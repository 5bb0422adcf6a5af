"""A stand-in for kubectl in PATH, and the plugin that uses it.

It lists nodes and pods from files, and answers exec by files.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from runc_wrap.cli.kubectl_plugin import plugin

Json = dict[str, Any]
_SCRIPT = """#!/bin/sh
cd {place}
printf '%s\\n' "$*" >> calls
for word; do
    case $word in
        configmap) exec cat "configmap-$3" ;;
        view) printf 'https://api.example:6443\\n'; exit ;;
        /api/v1/nodes\\?*)
            exec cat nodes ;;
        /api/v1/namespaces/*/pods\\?*) exec cat pods ;;
        pod-*) pod=$word ;;
    esac
done
printf x >> "$pod.attempts"
[ -e "$pod.sh" ] && . "./$pod.sh"
[ -e "$pod.json" ] && exec cat "$pod.json"
echo "Error from server (NotFound): pods \\"$pod\\" not found" >&2
exit 1
"""
_READY = ("true", "0.2.0", "ready 1f0c5b2e9a44", "True")


def node_object(name: str, state: tuple[str, ...] = _READY, system: str = "linux") -> Json:
    """Return a node as the API has it; `state` are two labels, the annotation and its health."""
    ready, version, word, health = state
    labels = {"runc-wrap.dev/ready": ready, "runc-wrap.dev/version": version}
    named = {"name": name, "labels": {"kubernetes.io/os": system, **labels}}
    conditions = [{"type": "DiskPressure", "status": "False"}, {"type": "Ready", "status": health}]
    return {
        "metadata": {**named, "annotations": {"runc-wrap.dev/state": word}},
        "status": {"conditions": conditions},
    }


def pod_object(node: str, name: str, phase: str = "Running") -> Json:
    """Return a pod of the installer as the API has it."""
    return {"metadata": {"name": name}, "spec": {"nodeName": node}, "status": {"phase": phase}}


class StandIn:
    """Writes the program, and what it answers."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.mkdir()
        self._objects: dict[str, list[Json]] = {"nodes": [], "pods": []}
        for name in self._objects:
            self._write(name, [])
        program = place / "kubectl"
        program.write_text(_SCRIPT.format(place=place))
        program.chmod(0o755)

    def node(self, name: str, answer: Any = None, *, script: str = "", phase: str = "Running",
             state: tuple[str, ...] = _READY, system: str = "linux") -> None:  # fmt: skip
        """Add a node whose pod prints `answer`, after `script` has run in the shell."""
        self._append("nodes", node_object(name, state, system))
        if phase:
            self._append("pods", pod_object(name, f"pod-{name}", phase))
        if answer is not None:
            text = answer if isinstance(answer, str) else json.dumps(answer)
            (self.place / f"pod-{name}.json").write_text(text)
        if script:
            (self.place / f"pod-{name}.sh").write_text(f"{script}\n")

    def attempts(self, name: str) -> int:
        path = self.place / f"pod-{name}.attempts"
        return len(path.read_text()) if path.exists() else 0

    @property
    def calls(self) -> list[str]:
        return (self.place / "calls").read_text().splitlines()

    def _append(self, name: str, one: Json) -> None:
        self._objects[name].append(one)
        self._write(name, self._objects[name])

    def _write(self, name: str, items: list[Json]) -> None:
        (self.place / name).write_text(json.dumps({"items": items}))


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    found = StandIn(tmp_path / "kubectl")
    monkeypatch.setenv("PATH", f"{found.place}:/usr/bin:/bin")
    return found


def run(*words: str, status: int | None = None) -> Result:
    """Run `kubectl runc-wrap`, which ends by itself, with this status if one is given."""
    result = CliRunner().invoke(plugin, words)
    assert isinstance(result.exception, SystemExit | None), result.exception
    assert status in (None, result.exit_code), result.output
    return result


def failure(*words: str) -> str:
    """Return the error message of a command that cannot run."""
    result = run(*words, status=2)
    assert result.stdout == ""
    return result.stderr
