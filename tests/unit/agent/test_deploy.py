"""The systemd units match what the services do."""

import _socket
import re
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.node.requirements import program
from runc_wrap.agent import service_lifecycle

UNITS = Path(__file__).parents[3] / "deploy" / "systemd"
PREFIX = "/opt/runc-wrap"
ROLES = ("decide", "observe")
# what `systemd-analyze security` says, in docs/agent.md, too; 257 on Debian 13
EXPOSURE = {"decide": 3.8, "observe": 4.2}
# systemd.exec(5): each of these gives a service a mount namespace of its own
APART = """PrivateTmp PrivateDevices PrivateMounts ProtectSystem ProtectHome ProtectProc ProcSubset
ProtectKernelTunables ProtectKernelModules ProtectKernelLogs ProtectControlGroups ReadOnlyPaths
ReadWritePaths InaccessiblePaths BindPaths TemporaryFileSystem RootDirectory DynamicUser
ProtectHostname""".split()


def _settings(name: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for line in (UNITS / name).read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found[key].append(value)
    return found


def test_the_units_name_the_sockets_that_the_services_use() -> None:
    found: dict[str, int] = {}
    for role in ROLES:
        unit = _settings(f"runc-wrap-{role}.socket")
        found |= dict.fromkeys(unit["ListenSequentialPacket"], _socket.SOCK_SEQPACKET)
        found |= dict.fromkeys(unit["ListenStream"], _socket.SOCK_STREAM)
        found |= dict.fromkeys(unit["ListenDatagram"], _socket.SOCK_DGRAM)
        assert (unit["SocketMode"], unit["DirectoryMode"]) == (["0600"], ["0700"])
    kinds = service_lifecycle.KINDS.items()
    assert found == {service_lifecycle.path(PREFIX, name): kind for name, kind in kinds}


SETTINGS: list[tuple[Sequence[str], str, list[str]]] = [
    (ROLES, "Type", ["notify"]),
    (["decide"], "WatchdogSec", ["10"]),
    (["observe"], "WatchdogSec", ["15"]),
    (ROLES, "WatchdogSignal", ["SIGKILL"]),  # a stopped process reacts to no other signal
    (ROLES, "TimeoutStopSec", ["3"]),  # four times this for one that a device blocks
    (ROLES, "Restart", ["always"]),
    (ROLES, "StartLimitIntervalSec", ["0"]),  # else systemd gives up after five deaths
    (["decide"], "Nice", ["-10"]),
    # tests/runtime/observe/test_neighbours.py has a reader that cannot be killed
    (["observe"], "KillMode", ["process"]),
    # listeners outlive observe; a container's root may have as many in flight as its limit says
    (["observe"], "FileDescriptorStoreMax", ["1024"]),
    (["observe"], "FileDescriptorStorePreserve", ["yes"]),
    (["observe"], "LimitNOFILE", ["infinity"]),
    # containers cause the work of observe; a service stays in the engines' mount namespace
    *((["observe"], key, []) for key in ("Nice", "CPUSchedulingPolicy", "CPUWeight")),
    *((ROLES, key, []) for key in APART),
]


def test_a_service_has_what_keeps_containers_alive() -> None:
    for roles, key, values in SETTINGS:
        for role in roles:
            assert _settings(f"runc-wrap-{role}.service")[key] == values, key


def test_decide_may_do_less_than_observe() -> None:
    decide, observe = (
        set(" ".join(_settings(f"runc-wrap-{role}.service")["CapabilityBoundingSet"]).split())
        for role in ROLES
    )
    assert not {one for one in decide if "AUDIT" in one or "NET" in one or "SYS" in one}
    assert "CAP_SYS_ADMIN" not in decide | observe


@pytest.mark.parametrize("role", ROLES)
def test_a_service_is_not_more_exposed_than_documented(role: str, tmp_path: Path) -> None:
    """The second figure is the control: without one setting it is higher."""
    unit = UNITS / f"runc-wrap-{role}.service"
    weaker = tmp_path / unit.name
    weaker.write_text(unit.read_text().replace("NoNewPrivileges=yes", ""))
    found, worse = _exposure(unit), _exposure(weaker)
    assert found <= EXPOSURE[role] < worse


def _exposure(unit: Path) -> float:
    argv = [program("systemd-analyze"), "security", "--offline=true", "--no-pager", str(unit)]
    said = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert found
    return float(found[1])
