"""Executing the real runtime: its process state must be exactly the same as without us.

The real runtime is a probe that prints how it was started.
"""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.containers.bundles import Bundle
from harness.host.processes import attempt
from harness.node import install
from harness.node.install import Installed
from harness.node.requirements import program

Seen = dict[str, list[str]]
PASSED_ON = ["--root", "/r", "state", "ID"]


@dataclass(frozen=True)
class Probed:
    """An installation whose runtime is the probe, and a bundle."""

    node: Installed
    bundle: Bundle

    @property
    def create(self) -> list[str]:
        """The arguments of a create."""
        return ["create", "--bundle", str(self.bundle.path), "ID"]

    @property
    def is_confined(self) -> bool:
        return "seccomp" in self.bundle.read()["linux"]

    def same(self, words: list[str] | None = None, **options: object) -> Seen:
        """Start the probe bare and through the wrapper; return their common output.

        It is by these words, or by those of a create.
        """
        words = self.create if words is None else words
        probe = str((self.node.prefix / "lib/runtime/runc").readlink())
        bare, _ = _seen([probe, *words], **options)
        wrapped, pid = _seen([str(self.node.wrapper), *words], **options)
        assert wrapped.pop("pid") == [str(pid)]
        bare.pop("pid")
        for seen in (bare, wrapped):  # each run has a pipe of its own for stdout
            seen["fd"] = [fd for fd in seen["fd"] if not fd.startswith("1 pipe:")]
        assert wrapped == bare
        return wrapped


@pytest.fixture
def probed(own_installation: Installed, bundle: Bundle, built: Callable[[str], Path]) -> Probed:
    install.use_runtime(own_installation, built("probe"))
    return Probed(own_installation, bundle)


@pytest.fixture
def created(probed: Probed) -> Iterator[Probed]:
    """The same; the config has got a profile in the end."""
    yield probed
    assert probed.is_confined


def _seen(argv: list[str], **options: object) -> tuple[Seen, int]:
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, **options)  # type: ignore[call-overload]
    output, _ = process.communicate(timeout=30)
    seen: Seen = {}
    for entry in output.decode(errors="surrogateescape").split("\0")[:-1]:
        name, _, value = entry.partition("=")
        seen.setdefault(name, []).append(value)
    return seen, process.pid


@pytest.mark.parametrize("command", ["passed on", "created"])
def test_pid_argv_environment_and_cwd_are_the_same(
    created: Probed, command: str, tmp_path: Path
) -> None:
    words = PASSED_ON if command == "passed on" else created.create
    environment = {"PATH": "/nowhere", "EMPTY": "", "PWD": str(tmp_path), "LC_CTYPE": "C"}
    created.same(cwd=tmp_path, env=environment)
    seen = created.same(words, cwd=tmp_path, env=environment)
    assert seen["argv"][0] == str((created.node.prefix / "lib/runtime/runc").readlink())


def test_an_empty_environment_stays_empty(created: Probed) -> None:
    seen = created.same(env={})  # Python would have set LC_CTYPE
    assert "env" not in seen


def test_variables_with_odd_names_survive(created: Probed) -> None:
    odd = {b"a.b": b"1", b"LC_CTYPE": b"", b"n": b"\xff\xfe", b"=x": b"y"}
    seen = created.same(env=odd)
    assert sorted(seen["env"]) == sorted(["a.b=1", "LC_CTYPE=", "n=\udcff\udcfe", "=x=y"])


@contextmanager
def inheritable(number: int) -> Iterator[list[int]]:
    """Yield open descriptors that a child inherits."""
    descriptors = [os.open("/dev/null", os.O_RDONLY) for _ in range(number)]
    try:
        for descriptor in descriptors:
            os.set_inheritable(descriptor, True)
        yield descriptors
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def test_inherited_descriptors_stay_open(created: Probed) -> None:
    with inheritable(20) as descriptors:
        seen = created.same(pass_fds=descriptors)
    assert len([fd for fd in seen["fd"] if fd.endswith(" /dev/null")]) >= 20


@pytest.mark.parametrize("closed", [[0], [2], [0, 2]])
def test_closed_standard_descriptors_stay_closed(created: Probed, closed: list[int]) -> None:
    def close() -> None:
        for descriptor in closed:
            os.close(descriptor)

    seen = created.same(preexec_fn=close)
    assert {fd.partition(" ")[0] for fd in seen["fd"]}.isdisjoint(map(str, closed))


IGNORED = [
    (),
    (signal.SIGPIPE,),
    (signal.SIGXFSZ,),
    (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGHUP),
]


@pytest.mark.parametrize("ignored", IGNORED, ids=lambda signals: "+".join(s.name for s in signals))
def test_signal_dispositions_and_mask_are_unchanged(
    created: Probed, ignored: tuple[signal.Signals, ...]
) -> None:
    def ignore() -> None:
        for number in IGNORED[-1]:
            signal.signal(number, signal.SIG_DFL)
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGUSR1})

    seen = created.same(preexec_fn=ignore, restore_signals=False)
    mask = next(int(s.split()[1], 16) for s in seen["status"] if s.startswith("SigIgn"))
    assert {number for number in IGNORED[-1] if mask >> number - 1 & 1} == set(ignored)


def test_the_umask_is_unchanged(created: Probed) -> None:
    assert "Umask:\t0137" in created.same(umask=0o137)["status"]


def test_arguments_that_are_not_utf_8_arrive_unchanged(created: Probed) -> None:
    odd = b"\xff\xfe \xc3("
    seen = created.same([*created.create[:-1], os.fsdecode(odd)])
    assert os.fsencode(seen["argv"][-1]) == odd


def test_a_hundred_thousand_arguments_arrive(created: Probed) -> None:
    command, *rest = created.create
    seen = created.same([command, *["--pid-file", "x"] * 50_000, *rest])
    assert len(seen["argv"]) == 100_005


def test_a_closed_pipe_kills_the_runtime_as_without_us(created: Probed) -> None:
    """SIGPIPE has its default action again, so a writer without a reader dies."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [created.node.wrapper, *created.create], stdout=writer, check=False, timeout=30
    )
    os.close(writer)
    assert done.returncode == -signal.SIGPIPE


@pytest.mark.cold  # the limit is not the agent's
def test_a_limit_on_file_size_is_a_refusal_and_leaves_the_old_config(probed: Probed) -> None:
    bundle = probed.bundle
    before = bundle.config.read_bytes()
    done = attempt([program("prlimit"), "--fsize=4096", probed.node.wrapper, *probed.create])
    assert done.returncode == 1
    assert "cannot be replaced" in done.stderr
    assert bundle.config.read_bytes() == before
    assert not list(bundle.path.glob(".config*"))
