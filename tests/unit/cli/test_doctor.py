"""doctor: what it finds, what it advises, how it exits."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runc_wrap.doctor import runtime_checks
from runc_wrap.host import systemd
from runc_wrap.node import seccomp_features
from runc_wrap.policy.settings import policy_sources
from tests.unit.cli.ctl import Node
from tests.unit.node import machine
from tests.unit.policy.node import profile

NAMES = (
    "in-force sources captured runtime libseccomp kernel launcher cold-create ownership records "
    "services agent sight listeners handlers passed-on features canaries"
).split()
Found = list[dict[str, Any]]


def _all(node: Node) -> Found:
    result = node.ctl("doctor", "--json")
    document = json.loads(result.stdout)
    assert document["checks"] == NAMES
    found: Found = document["findings"]
    assert not [each for each in found if "\n" in each["command"] or not each["remedy"]]
    wrong = any(each["severity"] != "note" for each in found)
    assert result.exit_code == (1 if wrong else 0)
    return found


def _findings(node: Node) -> Found:
    return [each for each in _all(node) if each["check"] != "agent"]


def _well(node: Node, mode: str = "enforce") -> Node:
    machine.fake(node.places.wrapper.parent, "runc-wrap", "true")
    machine.fake(node.places.prefix / "lib" / "current", "python", "true")
    return node.apply(f'[default]\nmode = "{mode}"\n')


@contextlib.contextmanager
def _listening(node: Node) -> Iterator[socket.socket]:
    """Listen on the agent's socket."""
    node.places.agent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = node.places.agent / "decide.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(str(path))
        listening.listen()
        yield listening
    path.unlink()


@contextlib.contextmanager
def _answering(node: Node, *answers: bytes) -> Iterator[None]:
    """Simulate an agent: answer each caller in turn; b"" closes the connection."""
    with _listening(node) as listening:

        def serve() -> None:
            for answer in answers:
                with contextlib.suppress(OSError), listening.accept()[0] as caller:
                    caller.recv(64)
                    caller.sendall(answer) if answer else caller.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@pytest.mark.parametrize("mode", ["enforce", "observe"])
def test_a_missing_agent_is_noted_and_a_warning_only_if_the_policy_needs_one(
    node: Node, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "BOOTED", tmp_path / "absent")
    found = _all(_well(node, mode))
    decide, *observe = [one for one in found if one["check"] == "agent"]
    assert (decide["severity"], decide["command"]) == ("note", "")
    assert [one["severity"] for one in observe] == ["warning"] * (mode == "observe")
    assert all("no agent takes listeners" in one["sentence"] for one in observe)
    assert all("--without-descriptor-store" in one["remedy"] for one in observe)


def test_what_needs_nothing_to_be_done_names_no_command(node: Node) -> None:
    node.configure("", x=profile(syscalls=[{"names": ["uretprobe"], "action": "SCMP_ACT_ERRNO"}]))
    found = _all(node)
    (exempt,) = [one for one in found if one["remedy"].startswith("do nothing")]
    assert exempt["command"] == ""


def test_in_observe_with_an_agent_only_the_effect_of_signals_is_noted(node: Node) -> None:
    _well(node, "observe")  # on runc 1.1, which lacks the flag
    node.places.agent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(node.places.notify))
        listening.listen()
        found = _all(node)
    assert not [one for one in found if "takes listeners" in one["sentence"]]
    assert [one["severity"] for one in found if "EINTR" in one["sentence"]] == ["note"]


def test_an_agent_that_gives_no_answer_is_told(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    _well(node)
    monkeypatch.setattr("runc_wrap.doctor.service_checks._PAUSE", 0.05)
    with _answering(node, b"", b""):
        assert "gives no answer" in node.ctl("doctor").stdout
    with _answering(node, b"", b"once more"):
        assert node.ctl("doctor").stdout == f"{len(NAMES)} checks, 0 findings\n"
    monkeypatch.setattr("runc_wrap.doctor.service_checks._SECONDS", 0.05)
    with _listening(node):
        assert "gives no answer" in node.ctl("doctor").stdout


def test_no_policy_no_launcher_unrecorded_sources_and_a_broken_policy_are_found(node: Node) -> None:
    found = {(each["check"], each["severity"]) for each in _findings(node)}
    assert {("in-force", "error"), ("launcher", "error")} <= found
    (_well(node).places.current / "sources.json").unlink()
    [unrecorded] = _findings(node)
    assert unrecorded["sentence"] == policy_sources.UNRECORDED
    assert unrecorded["command"].endswith("runc-wrapctl apply")
    _well(node).configure("on_error = 'no'")
    changed, broken = _findings(node)
    assert changed["sentence"] == "config.toml has changed since the policy in force was compiled"
    assert (broken["check"], broken["severity"]) == ("sources", "error")
    assert broken["sentence"].startswith(f"{node.places.config}:1: on_error is 'no'")
    assert "the policy in force stays" in broken["remedy"]


def test_a_launcher_that_leads_to_the_real_runtime_is_an_error(node: Node) -> None:
    """As an uninstall leaves it, while engines call it; nothing else would tell."""
    wrapper = _well(node).places.wrapper
    assert _findings(node) == []
    wrapper.unlink()
    wrapper.symlink_to(node.programs / "runc")
    [found] = _findings(node)
    assert (found["check"], found["severity"]) == ("launcher", "error")
    assert f"leads to {node.programs / 'runc'}: containers are not confined" in found["sentence"]


AVAILABLE, SWITCH = {"avail": "errno log allow\n"}, "kernel.seccomp.actions_logged='errno log'"
UNHEARD = "an audit rule excludes SECCOMP records: none is logged"
# What the kernel has of actions and logs; the mode; what is found
KERNELS: dict[str, tuple[dict[str, str], str, tuple[str, str] | None]] = {
    "it has no filters": ({}, "enforce", ("error", "CONFIG_SECCOMP_FILTER=y")),
    "it does not log": ({**AVAILABLE, "logged": "errno\n"}, "audit", ("warning", SWITCH)),
    "it logs": ({**AVAILABLE, "logged": "errno log\n"}, "audit", None),
}


@pytest.mark.parametrize("case", KERNELS)
def test_a_kernel_that_does_not_do_what_the_policy_needs_is_found(
    node: Node, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, case: str
) -> None:
    files, mode, wanted = KERNELS[case]
    _well(node, mode)
    for name, text in files.items():
        (tmp_path / f"actions_{name}").write_text(text)
    monkeypatch.setattr(seccomp_features, "_KERNEL", tmp_path)
    monkeypatch.setattr(runtime_checks, "warnings", list)  # a test beside may have audit rules
    found = [each for each in _findings(node) if each["check"] == "kernel"]
    assert [each["severity"] for each in found] == ([wanted[0]] if wanted else [])
    assert not wanted or wanted[1] in found[0]["remedy"]


def test_a_kernel_that_may_log_nothing_is_a_finding_if_a_mode_relies_on_it(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_checks, "warnings", lambda: [UNHEARD])
    assert UNHEARD not in [each["sentence"] for each in _findings(_well(node))]
    [found] = [each for each in _findings(_well(node, "audit")) if each["sentence"] == UNHEARD]
    assert (found["command"], "or use the mode observe" in found["remedy"]) == ("auditctl -l", True)
