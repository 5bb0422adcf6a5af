"""The systemd units match what the agent does."""

from __future__ import annotations

import subprocess
from collections import defaultdict
from pathlib import Path

from harness.node.requirements import program
from runc_wrap.agent import sockets
from runc_wrap.agent.supervisor import keeper

UNITS = Path(__file__).parents[3] / "deploy"
PREFIX = "/opt/runc-wrap"
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


def test_the_units_name_the_sockets_that_the_agent_uses() -> None:
    unit = _settings("runc-wrap-agent.socket")
    assert unit["ListenSequentialPacket"] == [sockets.path(PREFIX, "decide")]
    assert unit["ListenStream"] == [sockets.path(PREFIX, name) for name in ("notify", "metrics")]
    assert (unit["SocketMode"], unit["DirectoryMode"]) == (["0600"], ["0700"])


def test_the_service_stays_in_the_engines_mount_namespace() -> None:
    unit = _settings("runc-wrap-agent.service")
    assert not unit.keys() & set(APART)
    assert unit["Type"] == ["notify"]
    assert int(unit["FileDescriptorStoreMax"][0]) >= keeper.MOST_STORED


def test_the_unit_has_a_watchdog_and_raises_no_priority() -> None:
    unit = _settings("runc-wrap-agent.service")
    assert int(unit["WatchdogSec"][0]) <= 60
    assert unit["WatchdogSignal"] == ["SIGKILL"]  # a stopped process reacts to no other signal
    assert unit["Restart"] == ["always"]
    assert unit["KillMode"] == ["mixed"]  # otherwise it would wait for the remaining processes
    assert not {"Nice", "CPUSchedulingPolicy", "CPUWeight"} & unit.keys()


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    analyze = program("systemd-analyze")
    names = ("runc-wrap-agent.service", "runc-wrap-agent.socket")
    for name in names:
        text = (UNITS / name).read_text().replace(f"{PREFIX}/bin/runc-wrapctl", "/bin/true")
        (tmp_path / name).write_text(text)
    argv = [analyze, "verify", "--man=no", *names]

    def verified() -> str:
        return subprocess.run(
            argv, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
        ).stderr

    assert "runc-wrap-agent" not in verified()
    unit = tmp_path / names[0]
    unit.write_text(unit.read_text() + "\n[Service]\nNoSuchSetting=1\n")
    assert "NoSuchSetting" in verified()
