"""Installed from the archive on a machine of its own kernel, registered, and rebooted. First."""

from harness.kernel.process_status import DISABLED, FILTER
from harness.node.containerd_change import changed
from harness.node.guest import UNITS, Node


def test_containerd_is_registered_by_a_restart_and_proved(node: Node) -> None:
    """Its release is the point: 1.6 on bookworm, 2 on forky, both with systemd's cgroups."""
    code, told = changed(node, "remove")
    assert code == 0, told
    code, told = changed(node, "add")
    assert (code, "equal call by call" in told["proved"]) == (0, True), told


def test_engines_start_containers_through_it_and_after_a_reboot_as_before(node: Node) -> None:
    assert node.modes("", "runc") == [DISABLED] * 3
    assert node.modes("--runtime runc-wrap", "runc-wrap") == [FILTER] * 3
    before = len(node.ledger())
    node.machine.reboot()
    assert node.modes("--runtime runc-wrap", "runc-wrap") == [FILTER] * 3
    engines = {each["engine"] for each in node.ledger()[before:]}
    assert engines >= {"docker", "podman", "containerd"}
    assert node.machine.sh("systemctl --failed --quiet --no-legend") == ""
    assert node.active() == ["active"] * len(UNITS)


def test_the_journal_has_no_warning_of_ours(node: Node) -> None:
    assert node.warnings() == []
