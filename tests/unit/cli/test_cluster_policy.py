"""runc-wrapctl cluster check-policy and try-policy: what `kubectl runc-wrap policy check` runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from runc_wrap.cli import cluster
from runc_wrap.cli.root_command import main
from runc_wrap.cluster import next_step, state_file
from runc_wrap.cluster.cluster_policy import configmap_policy, policy_directory
from runc_wrap.documents.reader import taken
from runc_wrap.fleet.policy_answers import PolicyAnswer
from runc_wrap.node.paths import Places
from tests.unit.cluster.host_stand_in import Host

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from click.testing import Result

    from tests.unit.cli.ctl import Node

AUDIT = '[default]\nmode = "audit"\n'
OWN = json.dumps({"defaultAction": "SCMP_ACT_ALLOW"})
WITH_OWN = '[default]\nprofile = "localhost/own.json"\n'
# The files that are sent, the node's own conf.d -> a word of why it is refused, None if it is not
TRIED: dict[str, tuple[dict[str, str], str, str | None]] = {
    "well": ({"config.toml": AUDIT}, "", None),
    "with a profile": ({"config.toml": WITH_OWN, "profiles/own.json": OWN}, "", None),
    "a typo": ({"config.toml": '[defualt]\nmode = "audit"\n'}, "", "defualt"),
    "without its profile": ({"config.toml": WITH_OWN}, "", "own.json"),
    "against the node's": ({"config.toml": AUDIT}, WITH_OWN, "own.json"),
    "a runtime it lacks": ({"config.toml": 'runtime = ["crun"]\n'}, "", "crun"),
}


def _tried(node: Node, files: dict[str, str]) -> dict[str, Any]:
    data = {name: text.encode() for name, text in files.items()}
    policy_directory.write_files(node.places.cluster / "check-1", data)
    result = node.ctl("cluster", "try-policy", "check-1", "--node", "n1")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.mark.parametrize("kind", TRIED)
def test_a_policy_is_tried_with_the_nodes_own_settings_and_nothing_changes(
    node: Node, kind: str
) -> None:
    files, own, why = TRIED[kind]
    node.places.config_directory.mkdir(parents=True)
    (node.places.config_directory / "90-node.toml").write_text(own)
    found = _tried(node, files)
    assert (found["node"], found["changes"], found["changed"]) == ("n1", [], 0)
    if why is None:
        assert found["refused"] is None
    else:
        assert why in found["refused"]
        assert "check-1" not in found["refused"]  # no path of the candidate
    assert not node.places.config.exists()
    assert not node.places.current.exists()
    assert taken(PolicyAnswer, found).refused == found["refused"]


@pytest.mark.parametrize(
    ("installed", "in_force", "why"),
    [
        ("0.2.0", "0.2.0", None),
        ("0.2.0", "0.1.0", next_step.OTHER_RELEASE),
        (None, "0.1.0", None),  # the installer will install its own, then put it in force
        ("0.2.0", None, None),
    ],
)
def test_where_the_installer_keeps_off_it_would_not_be_put_in_force(
    node: Node, installed: str | None, in_force: str | None, why: str | None
) -> None:
    for name in ("lib", "etc"):
        (node.places.prefix / name).mkdir(parents=True, exist_ok=True)
    if installed:
        state_file.change(node.places, archive="a" * 64, release=installed)
    current = node.places.prefix / "lib" / "current"
    current.unlink(missing_ok=True)
    if in_force:
        current.symlink_to(f"releases/{in_force}")
    assert _tried(node, {"config.toml": AUDIT})["refused"] == why


def test_remarks_of_apply_are_the_nodes_too(node: Node) -> None:
    rule = '[[rule]]\nname = "old"\nmode = "audit"\nuntil = 2020-01-01\n'
    node.places.etc.mkdir(parents=True)
    assert any("old" in one for one in _tried(node, {"config.toml": rule})["remarks"])


class Trying(Host):
    """A host on which the wanted policy's files are looked at while the command runs."""

    asked: Sequence[str] = ()
    seen: dict[str, str]

    def _do(self, step: str, argv: Sequence[str]) -> str:
        assert step.startswith(("check-", "report-"))
        self.asked = argv
        place = self.places.cluster / step
        found = (path for path in place.rglob("*") if path.is_file())
        self.seen = {str(path.relative_to(place)): path.read_text() for path in found}
        return '{"form": 1}\n'


def _asked(
    tmp_path: Path, patch: pytest.MonkeyPatch, sent: bytes, *words: str
) -> tuple[Result, Any]:
    """Run check-policy, or another command, in a pod, whose DaemonSet gives the node's name."""
    places = Places(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "runc-wrapctl").touch()
    host = Trying(places)
    patch.setattr(cluster, "_PLACES", places)
    patch.setattr(cluster, "Manager", lambda _: host)
    argv = ["cluster", *(words or ["check-policy"])]
    return CliRunner(env={"NODE_NAME": "n1"}).invoke(main, argv, input=sent), host


def test_the_pod_has_the_host_report_by_the_name_that_its_daemonset_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, host = _asked(tmp_path, monkeypatch, b"", "report", "--candidate")
    assert (result.exit_code, result.stdout) == (0, '{"form": 1}\n'), result.stderr
    assert host.asked[-5:] == ("report", "--json", "--node", "n1", "--candidate")


def test_outside_of_a_pod_an_installation_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    done = CliRunner().invoke(main, ["cluster", "install", "--node", "n1", "--once"])
    assert (done.exit_code, "not run in a pod" in done.output) == (2, True)


def test_the_pod_has_the_host_try_what_was_sent_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"config.toml": AUDIT, "profiles/own.json": OWN}
    sent = json.dumps(files).encode() + b"\nwhat follows is not read"
    result, host = _asked(tmp_path, monkeypatch, sent)
    assert (result.exit_code, result.stdout) == (0, '{"form": 1}\n'), result.stderr
    assert host.seen == files
    request, *rest = host.asked[-3:]
    assert (request.startswith("check-"), rest) == (True, ["--node", "n1"])
    assert host.asked[-5:-3] == ("cluster", "try-policy")
    assert [*(tmp_path / "var" / "cluster").iterdir()] == []


MALFORMED = {
    "nothing": b"",
    "no JSON": b"{\n",
    "a list": b"[]\n",
    "no text": b'{"config.toml": 3}\n',
    "half a letter": b'{"config.toml": "\\ud800"}\n',
    "without a policy": b"{}\n",
    "another place": b'{"config.toml": "", "../x": ""}\n',
    "a deeper place": b'{"config.toml": "", "profiles/a/b.json": ""}\n',
    "hidden": b'{"config.toml": "", "profiles/.json": ""}\n',
    "too large": b'{"config.toml": "' + b"x" * (configmap_policy.LARGEST + 1) + b'"}\n',
    "too many": json.dumps(
        {"config.toml": ""} | {f"profiles/{n}.json": "" for n in range(300)}
    ).encode(),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_what_is_no_policy_is_refused_before_the_host_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    result, host = _asked(tmp_path, monkeypatch, MALFORMED[kind])
    assert (result.exit_code, result.stdout, host.asked) == (2, "", ())
    assert result.stderr.startswith("Error: ")
    assert not (tmp_path / "var").exists()
