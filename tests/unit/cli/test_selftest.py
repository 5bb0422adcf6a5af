"""selftest, with runtimes that only print a status."""

import pytest

from tests.unit.cli.ctl import Node
from tests.unit.node import machine

RUNTIME = r"""[ "$1" = --version ] && { echo runc version 1.1.15; exit; }
printf 'Seccomp:\t0\n'"""
WRAPPER = r"""grep -q unconfined "$5/config.json" && s=0 || s=SECCOMP
printf "Seccomp:\t$s\n" """


def _installed(node: Node, seccomp: str) -> Node:
    machine.fake(node.programs, "runc", RUNTIME)
    wrapper = node.places.wrapper
    machine.fake(wrapper.parent, wrapper.name, WRAPPER.replace("SECCOMP", seccomp))
    assert node.ctl("apply").exit_code == 0
    return node


def test_without_a_policy_or_a_runtime_that_works_it_says_so(node: Node) -> None:
    assert "Run `runc-wrapctl apply`" in node.failure("selftest")
    _installed(node, "2")
    machine.fake(node.programs, "runc", "echo cgroup trouble >&2; exit 1")
    assert "cgroup trouble" in node.failure("selftest")


EXPECTED = [
    ("", "020", "with runc-wrap, opted out by annotation\n"),
    ("[opt_out]\nnamespaces = ['trusted']", "022", "annotation, which the policy does not hon"),
    ("[opt_out]\nannotations = false", "022", "annotation, which the policy does not honour"),
    ("[default]\nmode = 'off'", "000", "unconfined: The policy's default turns it off."),
    ("[overlay]\ndeny = ['bpf']", "020", "with runc-wrap, opted out by annotation\n"),
    ("[default]\nmode = 'audit'", "020", "with runc-wrap, opted out by annotation\n"),
]


@pytest.mark.parametrize(("policy", "states", "told"), EXPECTED)
def test_the_policy_says_what_is_expected(node: Node, policy: str, states: str, told: str) -> None:
    node.configure(policy)
    _installed(node, states[1])
    wrapper = f'case "$(cat "$5/config.json")" in *unconf*) s={states[2]};; *) s={states[1]};; esac'
    machine.fake(node.places.wrapper.parent, "runc-wrap", f'{wrapper}; printf "Seccomp:\\t$s\\n"')
    result = node.ctl("selftest", status=0)
    assert [line[9] for line in result.stdout.splitlines()] == [*states]
    assert told in result.stdout
    found = node.json("selftest")
    assert [each["expected"] for each in found] == [int(one) for one in states]
    assert [bool(each["reason"]) for each in found] == [False, True, True]


NO_OPT_OUT = "[opt_out]\nnamespaces = ['trusted']"
# The policy, our launcher in one line of shell, the line of the output and its end
WRONG = {
    "it does not confine": ("", WRAPPER.replace("SECCOMP", "0"), 1, "WRONG: 2 was expected"),
    "it does not run": ("", "echo trouble >&2; exit 1", 1, "WRONG: it did not run: trouble"),
    "anybody opts out": (NO_OPT_OUT, WRAPPER.replace("SECCOMP", "2"), 2, "WRONG: 2 was expected"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_a_problem_of_ours_is_shown_and_exits_with_1(node: Node, case: str) -> None:
    """install.sh goes back to the release before for this, and not where runc alone fails."""
    policy, script, line, told = WRONG[case]
    node.configure(policy)
    _installed(node, "2")
    machine.fake(node.places.wrapper.parent, node.places.wrapper.name, script)
    result = node.ctl("selftest", status=1)
    assert result.stdout.splitlines()[line].endswith(told)
