"""Installed from the archive on a machine of its own kernel, registered, and rebooted. First."""

from harness.node.containerd_change import changed
from harness.node.guest import Node


def test_containerd_is_registered_by_a_restart_and_proved(node: Node) -> None:
    """Its release is the point: 1.6 on bookworm, 2 on forky, both with systemd's cgroups."""
    code, told = changed(node, "remove")
    assert code == 0, told
    code, told = changed(node, "add")
    assert (code, "equal call by call" in told["proved"]) == (0, True), told


def test_engines_start_containers_through_it_and_after_a_reboot_as_before(node: Node) -> None:
    node.check_reboot(["docker", "podman", "containerd"])


def test_the_journal_has_no_warning_of_ours(node: Node) -> None:
    assert node.warnings() == []
