"""A running container on cgroup v2 is tightened, until Yama lets nobody trace. Before a reboot."""

from harness.node.guest import IMAGE, Node

RUN = f"docker run -d --name tightened --network none --runtime runc-wrap {IMAGE} sleep 100000"
MAKE = "docker exec tightened mkdir /made && echo made || :"


def test_what_runs_is_tightened_and_refused_where_yama_lets_nobody_trace(node: Node) -> None:
    node.machine.sh(RUN)
    try:
        assert node.machine.sh(MAKE) == "made\n"
        node.configure('[overlay]\ndeny = ["mkdir", "mkdirat"]\n')
        (one,) = node.shown("tighten", "--overlay", "--yes")["containers"]
        assert (one["result"], "no_new_privs" in one["reasons"][0]) == ("refused", True)
        (one,) = node.shown("tighten", "--overlay", "--yes", "--set-no-new-privs")["containers"]
        assert (one["result"], one["reasons"]) == ("tightened", [])
        assert node.machine.sh(MAKE) == ""
        node.machine.sh("sysctl -qw kernel.yama.ptrace_scope=3")
        refused = node.ctl("tighten", "--overlay", "--yes")
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "kernel.yama.ptrace_scope is 3" in refused.stderr
    finally:
        node.machine.sh("docker rm -f tightened")
