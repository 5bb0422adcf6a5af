"""Programs that deal with filters: the report names what they hide, and what fails under any."""

from errno import EACCES, EINVAL, EPERM
from pathlib import Path
from typing import Any

import pytest

from harness.containers.bundles import Bundle
from harness.host.processes import wait_until
from tests.runtime.conftest import Lab
from tests.runtime.evidence.conftest import IN_AUDIT

pytestmark = IN_AUDIT

Json = dict[str, Any]
KEYCTL, GETPID = 250, 39
WAYS = ["prctl", "seccomp", "prctl86", "seccomp86"]
REFUSED = {
    "Seccomp:": "2",
    "PTRACE_O_SUSPEND_SECCOMP": str(EPERM),
    "PTRACE_SECCOMP_GET_FILTER": str(EACCES),
    "SECCOMP_SET_MODE_STRICT": str(EINVAL),
}


def run(lab: Lab, bundle: Bundle, *words: str) -> dict[str, str]:
    """Run a container with own_filter; return its output."""
    done = bundle.running(lab.built("own_filter"), *words).call(lab.wrapper, "run")
    assert done.returncode == 0, done.stdout
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())


def test_a_container_whose_program_installs_a_filter_is_not_safe_in_audit(lab: Lab) -> None:
    made = {(how, "trace"): lab.bundle() for how in WAYS}
    made |= {("seccomp", action): lab.bundle() for action in ("listener", "errno")}
    probing = lab.bundle()
    with lab.agent():
        said = {key: run(lab, bundle, *key, str(KEYCTL)) for key, bundle in made.items()}
        run(lab, probing, "probe", "trace", str(GETPID))
        assert lab.workload(probing)["verdict"] == "safe"
    for key, bundle in made.items():
        assert said[key]["installed"] == "0"
        found = lab.workload(bundle)
        assert found["verdict"] is None, key
        assert "keyctl" not in {call["syscall"] for call in found["calls"]}  # audit never heard
        assert "installed filters of their own (once, by /own_filter)" in found["reason"]
        assert "observe" in found["reason"]
        assert found["own_filters"]["installations"] == 1
        assert found["own_filters"]["programs"] == ["/own_filter"]


def test_strace_with_a_filter_hides_calls_from_audit_and_the_report_says_so(lab: Lab) -> None:
    def strace(*words: str) -> Json:
        bundle = with_hosts_programs(lab.bundle())
        traced = ["-e", "trace=unshare", "/usr/bin/unshare", "-u", "/bin/true"]
        bundle.executing("/usr/bin/strace", "-f", *words, *traced)
        done = bundle.call(lab.wrapper, "run")
        assert "unshare(CLONE_NEWUTS)" in done.stdout
        return lab.workload(bundle)

    with lab.agent():
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


@pytest.mark.parametrize("mode", ["audit", "observe"])
def test_what_fails_under_any_filter_is_no_call_and_is_said(lab: Lab, mode: str) -> None:
    def made() -> Bundle:
        bundle = lab.running("any_filter")
        with bundle.edited() as config:
            for given in config["process"]["capabilities"].values():
                given += ["CAP_SYS_ADMIN", "CAP_SYS_PTRACE"]
        return bundle

    def run(bundle: Bundle, by: str | Path) -> dict[str, str]:
        done = bundle.call(by, "run")
        assert done.returncode == 0, done.stdout
        return dict(line.split() for line in done.stdout.splitlines())

    bare = run(made(), lab.bare)
    assert {name for name, error in bare.items() if error == REFUSED[name]} == set()
    lab.mode(mode)
    with lab.agent():
        bundle = made()
        assert run(bundle, lab.wrapper) == REFUSED

        def confidence() -> str:
            found = lab.workload(bundle)
            assert found["calls"] == []
            return str(found["confidence"])

        wait_until(lambda: "watched" in confidence(), "the container in the report", 30)
        assert "It has CAP_SYS_ADMIN: to every process that has a filter" in confidence()
