"""Installing from the archive on a node without Python, compiler or network; and its reboot.

First of this folder: what the journal says by then is of the installation alone.
"""

from collections.abc import Iterator

import pytest

from harness.node.guest import IMAGE, LISTING, PREFIX, SERVICES, UNITS, Node
from tests.boxes.box import CRI_WORKS

ENGINES = ("docker", "podman", *(["containerd"] if CRI_WORKS else []))
PAIRS = [(f"{name}.socket", f"{name}.service") for name in SERVICES]
# Each new release's decide runs a script first, which fails it or holds it up.
_WITH_A_NEW_RELEASE = f"""
cat > /run/fault <<END
[ \\$(readlink {PREFIX}/lib/current) = $(readlink {PREFIX}/lib/current) ] || $1
END
mkdir /run/systemd/system/runc-wrap-decide.service.d
printf '[Service]\\nExecStartPre=/bin/sh /run/fault\\n' \\
    > /run/systemd/system/runc-wrap-decide.service.d/fault.conf
systemctl daemon-reload
"""
_AS_BEFORE = "rm -r /run/systemd/system/runc-wrap-decide.service.d; systemctl daemon-reload"
_INSTALL = "/root/archive/install.sh 2>&1"
_KILLED = f"""
systemd-run --quiet --collect --unit upgrade {_INSTALL.removesuffix(" 2>&1")} --quiet
until systemctl is-active runc-wrap-decide | grep -qx activating; do sleep 0.1; done
systemctl kill --signal KILL upgrade
"""
_CREATES = f"""
while [ ! -e /run/enough ]; do
    docker run --rm --network none --runtime runc-wrap {IMAGE} true 2>&1 && echo started || :
done > /root/creates 2>&1
"""
_END_CREATES = """
touch /run/enough
while systemctl is-active --quiet creates; do sleep 0.2; done
cat /root/creates
"""


def test_the_archive_needs_no_python_no_compiler_and_no_network(node: Node) -> None:
    tools = "for tool in python3 gcc cc musl-gcc; do command -v $tool && exit 1; done; :"
    assert node.machine.attempt(tools).stdout == ""
    assert node.machine.attempt(
        "ip -4 route get 1.1.1.1 && timeout 5 bash -c '< /dev/tcp/1.1.1.1/80'"
    ).returncode
    assert "Seccomp: 2   with runc-wrap" in node.told


def test_the_services_are_active_and_start_with_the_machine(node: Node) -> None:
    for question, answer in (("is-active", "active"), ("is-enabled", "enabled")):
        told = node.machine.sh(f"systemctl {question} {' '.join(UNITS)}").split()
        assert told == [answer] * len(UNITS)


def test_engines_start_containers_through_it_and_after_a_reboot_as_before(node: Node) -> None:
    node.check_reboot(ENGINES, "runc-wrap" if CRI_WORKS else "")


def test_the_journal_has_no_warning_of_ours(node: Node) -> None:
    assert node.warnings() == []


def test_doctor_finds_each_state_of_the_services_and_mends_it(node: Node) -> None:
    def mended(script: str) -> list[str]:
        node.machine.sh(script)
        found = [
            one for one in node.shown("doctor", "--fix")["mended"] if one["check"] == "services"
        ]
        assert [one["failure"] for one in found] == [""] * len(found)
        return [one["command"] for one in found]

    enable = [f"systemctl enable --now {socket} {service}" for socket, service in PAIRS]
    assert mended(f"systemctl disable {' '.join(UNITS)}") == enable
    assert mended(f"systemctl stop {' '.join(PAIRS[0])}") == enable[:1]
    changed = "touch /etc/systemd/system/runc-wrap-observe.service"
    assert mended(changed) == ["systemctl daemon-reload"]
    assert mended(":") == []


def _releases(node: Node) -> tuple[str, list[str]]:
    """Return the release in force, and all there are."""
    current = node.machine.sh(f"basename $(readlink {PREFIX}/lib/current)").strip()
    return current, node.machine.sh(f"ls {PREFIX}/lib/releases").split()


def _files(node: Node) -> list[str]:
    """Return LISTING without what compiling the policy, which comes first, writes."""
    compiled = (f"{PREFIX}/var/", f"{PREFIX}/lib/runtime/")
    lines = node.machine.sh(LISTING).splitlines()
    return [line for line in lines if not any(path in line for path in compiled)]


def _is_whole(node: Node) -> None:
    assert node.active() == ["active"] * len(UNITS)
    assert node.ctl("selftest").returncode == 0


@pytest.fixture(name="creates")
def creates_meanwhile(node: Node) -> Iterator[None]:
    """Docker starts containers all the time; none of them may fail."""
    started = 'rm -f /run/enough; systemd-run --quiet --collect --unit creates sh -c "$1"'
    node.machine.sh(started, _CREATES)
    yield
    told = node.machine.sh(_END_CREATES)
    assert {*told.split("\n")} == {"started", ""}
    assert len(told.splitlines()) > 1


@pytest.mark.usefixtures("creates")
def test_an_upgrade_whose_service_does_not_start_is_taken_back(node: Node) -> None:
    machine, (before, releases) = node.machine, _releases(node)
    listing = _files(node)
    machine.sh(_WITH_A_NEW_RELEASE, "exit 1")
    told = machine.attempt(_INSTALL)
    machine.sh(_AS_BEFORE)
    assert told.returncode == 1
    assert "`systemctl restart runc-wrap-decide.service" in told.stdout
    assert f"the release {before} is in force as before" in told.stdout
    assert _releases(node) == (before, releases)
    assert _files(node) == listing
    _is_whole(node)


@pytest.mark.usefixtures("creates")
def test_what_a_killed_upgrade_left_is_undone_by_the_next(node: Node) -> None:
    machine, (before, releases) = node.machine, _releases(node)
    machine.sh(_WITH_A_NEW_RELEASE, "sleep 60")
    machine.sh(_KILLED)
    machine.sh(_AS_BEFORE)
    killed, _ = _releases(node)
    assert killed != before
    assert machine.attempt(_INSTALL).returncode == 0
    after, left = _releases(node)
    assert {*left} == {before, after}
    assert before in releases
    _is_whole(node)
