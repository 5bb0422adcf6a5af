"""doctor on kernels where return probes kill programs in containers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from runc_wrap.doctor.runtime_checks import kernel_uretprobe
from runc_wrap.node import uretprobe_probe
from runc_wrap.profiles import syscalls
from tests.unit.node import machine

if TYPE_CHECKING:
    from tests.unit.cli.ctl import Node

ALLOWS = {"defaultAction": "SCMP_ACT_ERRNO"}, "SCMP_ACT_ALLOW"
DENIES = {"defaultAction": "SCMP_ACT_ALLOW"}, "SCMP_ACT_ERRNO"


@pytest.mark.parametrize(
    ("answer", "version", "is_found"),
    [
        ("filtered", "v1.7.24", True),
        ("filtered", "v2.2.0", False),  # its default profile has uretprobe
        ("exempt", "v1.7.24", False),
        ("absent", "v1.7.24", False),
        (None, "v1.7.24", False),
    ],
)
def test_a_kernel_that_asks_is_a_warning_if_a_profile_denies_it(
    node: Node, monkeypatch: pytest.MonkeyPatch, answer: str | None, version: str, *, is_found: bool
) -> None:
    machine.fake(node.programs, "containerd", f"echo containerd {version}")
    assert node.ctl("apply").exit_code == 0
    monkeypatch.setattr(uretprobe_probe, "ask", lambda: answer)
    found = list(kernel_uretprobe.find(node.places))
    assert [each.severity for each in found] == ["warning"] * is_found
    assert all("and containerd denies it" in each.sentence for each in found)
    assert all("upgrade the kernel" in each.remedy for each in found)


@pytest.mark.parametrize(("form", "is_found"), [(ALLOWS, False), (DENIES, True)])
def test_an_own_profile_counts_as_it_is_written(
    node: Node,
    monkeypatch: pytest.MonkeyPatch,
    form: tuple[dict[str, str], str],
    *,
    is_found: bool,
) -> None:
    machine.fake(node.programs, "containerd", "echo containerd v2.2.0")
    base, action = form
    is_allowing = form is ALLOWS
    names = sorted(syscalls.numbers(syscalls.native())) if is_allowing else ["uretprobe"]
    own = {**base, "syscalls": [{"names": names, "action": action}]}
    node.configure('[default]\nprofile = "localhost/own.json"\n', own=json.dumps(own).encode())
    assert node.ctl("apply").exit_code == 0
    monkeypatch.setattr(uretprobe_probe, "ask", lambda: "filtered")
    assert bool(list(kernel_uretprobe.find(node.places))) is is_found


def _own(default: str, *rules: tuple[set[str], str]) -> bytes:
    written = [{"names": sorted(names), "action": action} for names, action in rules]
    return json.dumps({"defaultAction": default, "syscalls": written}).encode()


ALL = set(syscalls.numbers(syscalls.native()))
CALL = {"uretprobe"}
OWN = {
    "all but it": _own("SCMP_ACT_ALLOW", (CALL, "SCMP_ACT_ERRNO")),
    "none, and not it": _own(
        "SCMP_ACT_ERRNO", (ALL - CALL, "SCMP_ACT_ALLOW"), (CALL, "SCMP_ACT_ERRNO")
    ),
    "it, too": _own("SCMP_ACT_ERRNO", (ALL, "SCMP_ACT_ALLOW")),
}
OVERLAY = '[overlay]\ndeny = ["uretprobe"]\n'
PROFILE = '[default]\nprofile = "localhost/own.json"\n'


@pytest.mark.parametrize(
    ("answer", "allows", "severities"),
    [
        ("exempt", "overlay", ["note"]),
        ("exempt", "all but it", ["note"]),
        ("exempt", "none, and not it", ["note"]),
        ("exempt", "it, too", []),
        ("exempt", "containerd", []),  # its profile lacks the call, and names it nowhere
        ("filtered", "overlay", ["warning"]),
        ("filtered", "all but it", ["warning"]),
        ("absent", "overlay", []),
        (None, "overlay", []),
    ],
)
def test_a_denial_that_the_kernel_bypasses_is_a_note_on_that_kernel_only(
    node: Node,
    monkeypatch: pytest.MonkeyPatch,
    answer: str | None,
    allows: str,
    severities: list[str],
) -> None:
    machine.fake(node.programs, "containerd", "echo containerd v1.7.24")
    if allows in OWN:
        node.configure(PROFILE, own=OWN[allows])
    else:
        node.configure(OVERLAY if allows == "overlay" else "")
    assert node.ctl("apply").exit_code == 0
    monkeypatch.setattr(uretprobe_probe, "ask", lambda: answer)
    found = list(kernel_uretprobe.find(node.places))
    assert [each.severity for each in found] == severities
    if severities == ["note"]:
        assert "asks no filter about uretprobe" in found[0].sentence
        assert found[0].command.endswith("runc-wrapctl apply")


def test_apply_says_of_an_own_profile_that_linux_bypasses_its_denial(node: Node) -> None:
    node.configure(PROFILE, own=OWN["all but it"])
    done = node.ctl("apply")
    told = "denies uretprobe, which Linux since 6.14 (uretprobe) and 6.18 (uprobe) exempts from"
    assert told in " ".join(done.output.split())
    node.configure(PROFILE, own=OWN["it, too"])
    assert "exempts from" not in node.ctl("apply").output
