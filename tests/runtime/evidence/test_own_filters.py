"""Filters of the container's own programs: a workload with hidden calls is not safe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness.kernel import evidence_thread

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.containers.bundles import Bundle
    from harness.node.install import Installed
    from tests.runtime.conftest import Pair

Json = dict[str, Any]
KEYCTL, GETPID = 250, 39
WAYS = ["prctl", "seccomp", "prctl86", "seccomp86"]
HIDING = ["trace", "listener"]


@pytest.fixture
def auditing(pair: Pair, own_installation: Installed) -> Installed:
    own_installation.configure(f'runtime = ["{pair.kind}"]\n[default]\nmode = "audit"\n')
    return own_installation


def run(bundle: Bundle, installed: Installed, program: Path, *words: str) -> dict[str, str]:
    """Run a container with own_filter; return its output."""
    done = bundle.running(program, *words).call(installed.wrapper, "run")
    assert done.returncode == 0, done.stdout
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())


def test_a_container_whose_program_installs_a_filter_is_not_safe_in_audit(
    auditing: Installed,
    pair: Pair,
    make_bundle: Callable[..., Bundle],
    built: Callable[[str], Path],
) -> None:
    made = {(how, "trace"): make_bundle(pair.kind) for how in WAYS}
    made |= {("seccomp", action): make_bundle(pair.kind) for action in ("listener", "errno")}
    probing = make_bundle(pair.kind)
    with evidence_thread.collecting(auditing.prefix):
        said = {
            key: run(bundle, auditing, built("own_filter"), *key, str(KEYCTL))
            for key, bundle in made.items()
        }
        run(probing, auditing, built("own_filter"), "probe", "trace", str(GETPID))
    for key, bundle in made.items():
        assert said[key]["installed"] == "0"
        found = auditing.workload(bundle.name)
        assert found["verdict"] is None, key
        assert "keyctl" not in {call["syscall"] for call in found["calls"]}  # audit never heard
        assert "installed filters of their own (once, by /own_filter)" in found["reason"]
        assert "observe" in found["reason"]
        assert found["own_filters"]["installations"] == 1
        assert found["own_filters"]["programs"] == ["/own_filter"]
    assert auditing.workload(probing.name)["verdict"] == "safe"


def test_strace_with_a_filter_hides_calls_from_audit_and_the_report_says_so(
    auditing: Installed, pair: Pair, make_bundle: Callable[..., Bundle]
) -> None:
    def strace(*words: str) -> Json:
        bundle = with_hosts_programs(make_bundle(pair.kind))
        traced = ["-e", "trace=unshare", "/usr/bin/unshare", "-u", "/bin/true"]
        with bundle.edited() as config:
            config["process"]["args"] = ["/usr/bin/strace", "-f", *words, *traced]
        with evidence_thread.collecting(auditing.prefix):
            done = bundle.call(auditing.wrapper, "run")
        assert "unshare(CLONE_NEWUTS)" in done.stdout
        return auditing.workload(bundle.name)

    plain, filtered = strace(), strace("--seccomp-bpf")
    assert (plain["verdict"], plain["own_filters"]["installations"]) == ("denied", 0)
    assert (filtered["verdict"], filtered["calls"]) == (None, [])
    assert "by /usr/bin/strace)" in filtered["reason"]


def with_hosts_programs(bundle: Bundle) -> Bundle:
    """Put this machine's /usr into a container."""
    root = bundle.path / "rootfs"
    (root / "usr").mkdir(exist_ok=True)
    for name in ("lib", "lib64"):
        if not (root / name).exists():
            (root / name).symlink_to(f"usr/{name}")
    mount = {"destination": "/usr", "source": "/usr", "type": "bind", "options": ["bind", "ro"]}
    with bundle.edited() as config:
        config["mounts"].append(mount)
    return bundle
