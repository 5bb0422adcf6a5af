"""The exact system calls that the launcher makes before it becomes another program.

Every exec probe of a node pays for each of them, so an additional one must be entered here.
"""

import platform
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.host.processes import attempt, short_directory
from harness.node import install, launchers
from harness.node.launchers import VERSION, agent, exec_socket, identity, message
from harness.node.requirements import program, unmet

# What a static libc does before main (glibc 2.36 to 2.41); a missing call is no error.
GLIBC = Counter(
    "execve brk brk arch_prctl set_tid_address set_robust_list rseq prlimit64 readlinkat getrandom "
    "brk brk brk mprotect".split()
)
MUSL = Counter("execve arch_prctl set_tid_address".split())
# Find our prefix, read where the runtime is, check that it is not us and can be executed.
FIND = "readlink readlink newfstatat newfstatat access".split()
# Both waits, for the connection and for the answer, get the remaining time.
ASK = "socket setsockopt connect getsockopt sendto setsockopt recvfrom".split()
PASSED_ON = [*FIND, "execve"]
TOLD = [*FIND, "socket", "sendto", "execve"]  # an exec: one datagram, heard or not
GO = [*FIND, *ASK, "newfstatat", "close", "execve"]
RENAME = [*FIND, *ASK, "newfstatat", "rename", "newfstatat", "close", "execve"]
# No agent: its socket is not there. Then which release, which Python, whether that can be executed,
# and is the marker there.
COLD = [*FIND, "socket", "setsockopt", "connect", "close"]
COLD += "readlink readlink access access rt_sigaction rt_sigaction execve".split()
# With --log: the line that Python removes. (glibc reads the time zone for any time: see below.)
COLD_LOG = [*COLD[:-3], "openat", "flock", "fstat", "fcntl", "close", "write", *COLD[-3:]]


@pytest.fixture(params=["cc", "musl-gcc"])
def compiler(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def node(compiler: str) -> Iterator[install.Installed]:
    """Only what the launcher reads of an installation; /bin/true is runtime and Python."""
    if platform.machine() != "x86_64":
        unmet("needs x86_64: the names of the system calls are written for it")
    with short_directory("calls") as directory:
        for name in ("bin", "lib/runtime", "lib/hotpath", "var"):
            (directory / name).mkdir(parents=True)
        (directory / "lib" / "runtime" / "runc").symlink_to("/bin/true")
        (directory / "lib" / "current").symlink_to(".")
        (directory / "lib" / "python").symlink_to("/bin/true")
        made = install.Installed(directory)
        launchers.as_released(made.wrapper, compiler)
        yield made


_TIME_ZONE = re.compile(
    r'^openat\(AT_FDCWD, "/etc/localtime".*?(?: = -1 .*\n|(?s:.*?)^close.*\n)', re.MULTILINE
)


# musl makes some calls by their older names, sets close-on-exec for kernels that know no flag for
# it, and takes memory for the environment from the system.
OLDER = {"stat": "newfstatat", "open": "openat"}
_OF_MUSL = re.compile(r"^(?:brk|fcntl\(\d+, F_SETFD, FD_CLOEXEC\)).*\n", re.MULTILINE)


def _traced(node: install.Installed, *words: str | Path) -> str:
    trace = node.prefix / "trace"
    attempt([program("strace"), "-o", trace, node.wrapper, *words])
    return trace.read_text()


def _calls(node: install.Installed, *words: str | Path) -> list[str]:
    """Return the names of the calls up to the exec that ends the launcher, without start-up."""
    text = _traced(node, *words)
    is_musl = b"glibc.cpu." not in node.wrapper.read_bytes()  # its tunables
    text = _OF_MUSL.sub("", text) if is_musl else _TIME_ZONE.sub("", text)
    names = re.findall(r"^(\w+)\(", text, re.MULTILINE)
    launcher = names[: names.index("execve", 1) + 1]
    own = launcher.index(FIND[0])
    assert not Counter(launcher[:own]) - (MUSL if is_musl else GLIBC)
    return [OLDER.get(one, one) if is_musl else one for one in launcher[own:]]


OTHERS = [["state", "ID"], ["--root", "exec", "kill", "ID"], ["delete", "exec"], ["--exec"], []]


@pytest.mark.parametrize("words", OTHERS)
def test_another_command_is_passed_on_with_these_calls(
    node: install.Installed, words: list[str]
) -> None:
    assert _calls(node, *words) == PASSED_ON


@pytest.mark.parametrize("words", [["exec", "ID"], ["--root", "/r", "exec", "ID", "create"]])
def test_an_exec_is_reported_to_the_agent_with_these_calls(
    node: install.Installed, words: list[str]
) -> None:
    shutil.rmtree(node.prefix / "var")
    assert _calls(node, *words) == TOLD
    with exec_socket(node) as told:
        assert _calls(node, *words) == TOLD
        assert told.recv(4096) == message(VERSION, node.wrapper, *words)


def test_an_exec_does_not_wait_for_an_agent_that_reads_nothing(node: install.Installed) -> None:
    """The queue is full; the datagram is dropped."""
    with exec_socket(node) as told:
        for _ in range(600):  # net.unix.max_dgram_qlen is 10, or 512 under systemd
            attempt([node.wrapper, "exec", "ID"])
        assert _calls(node, "exec", "ID") == TOLD
        assert "EAGAIN" in (node.prefix / "trace").read_text()
        assert told.recv(4096)


def test_only_the_first_arguments_of_a_long_exec_are_reported(node: install.Installed) -> None:
    with exec_socket(node) as told:
        attempt([node.wrapper, "exec", "ID", *["w" * 50] * 100])
        words = told.recv(1 << 16).split(b"\0")
    assert words[2:4] == [b"exec", b"ID"]
    assert set(words[4:]) == {b"w" * 50, b""}
    assert 4096 - 51 <= sum(len(word) + 1 for word in words) - 1 <= 4096


@pytest.mark.parametrize("verdict", ["go", "rename"])
def test_with_an_agent_a_create_takes_these_calls(node: install.Installed, verdict: str) -> None:
    config = node.prefix / "config.json"
    new = node.prefix / "new"
    config.write_text("old")
    new.write_text("new")
    fields: list[str | bytes | int | Path] = [VERSION, verdict, config, *identity(config)]
    if verdict == "rename":
        fields += [new, config, identity(new)[1]]
    with agent(node, lambda _: [message(*fields)]):
        calls = _calls(node, "create", "ID")
    assert calls == (GO if verdict == "go" else RENAME)
    assert config.read_text() == ("old" if verdict == "go" else "new")


def test_without_an_agent_a_create_takes_these_calls(node: install.Installed) -> None:
    (node.prefix / "var" / "agent").mkdir()
    assert _calls(node, "create", "ID") == COLD


def test_an_archives_own_interpreter_starts_with_the_same_calls(
    node: install.Installed,
) -> None:
    """Its link is relative; what it leads to is executed by its own loader."""
    library = node.prefix / "lib"
    (library / "venv/lib/private").mkdir(parents=True)
    (library / "venv/lib/private/python").symlink_to("/bin/true")
    (library / "python").unlink()
    (library / "python").symlink_to("venv/bin/python")
    (node.prefix / "var" / "agent").mkdir()
    assert _calls(node, "create", "ID") == COLD
    private = f"{library}/./venv/lib/private"
    words = [f"{private}/python", "--inhibit-cache", "--library-path", private]
    words += ["--argv0", f"{library}/./venv/bin/python", f"{private}/cpython", "-I", "-S", "-B"]
    started = ", ".join(f'"{word}"' for word in words)
    traced = [program("strace"), "-s", "1000", "-e", "execve"]
    done = attempt([*traced, node.wrapper, "create", "ID"])
    assert f'execve("{private}/python", [{started}' in done.stderr


def test_the_line_written_in_advance_takes_these_additional_calls(node: install.Installed) -> None:
    assert _calls(node, "--log", node.prefix / "log", "create", "ID") == COLD_LOG
    assert "did not come as far" in (node.prefix / "log").read_text()  # /bin/true took none back


def test_an_error_is_one_write(node: install.Installed) -> None:
    """Other processes may write there at the same time."""
    link, damaged = node.prefix / "lib" / "runtime" / "runc", node.prefix / ("x" * 100)
    link.unlink()
    link.symlink_to(damaged)
    damaged.write_bytes(b"\x7fELF")
    damaged.chmod(0o755)
    writes = re.findall(r"^writev?\(2, .*$", _traced(node, "state", "ID"), re.MULTILINE)
    assert len(writes) == 1
    assert '"runc-wrap: the runtime ' in writes[0]
