"""Executing the real runtime: its process state must be exactly the same as without us.

The real runtime is a probe that prints how it was started.
"""

import os
import resource
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.containers import bundles
from harness.node import install

Seen = dict[str, list[str]]
PASSED_ON = ["--root", "/r", "state", "ID"]


@pytest.fixture
def wrapper(own_installation: install.Installed, built: Callable[[str], Path]) -> install.Installed:
    """An installation whose runtime is the probe."""
    install.use_runtime(own_installation, built("probe"))
    return own_installation


@pytest.fixture
def created(tmp_path: Path) -> Iterator[list[str]]:
    """The arguments of a create whose config gets a profile."""
    bundle = bundles.make(tmp_path / "bundle", "runc")
    yield ["create", "--bundle", str(bundle.path), "ID"]
    assert "seccomp" in bundle.read()["linux"]


def _seen(argv: list[str], **options: object) -> tuple[Seen, int]:
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, **options)  # type: ignore[call-overload]
    output, _ = process.communicate(timeout=30)
    seen: Seen = {}
    for entry in output.decode(errors="surrogateescape").split("\0")[:-1]:
        name, _, value = entry.partition("=")
        seen.setdefault(name, []).append(value)
    return seen, process.pid


def _same(wrapper: install.Installed, words: list[str], **options: object) -> Seen:
    """Start the probe bare and through the wrapper; return their common output."""
    probe = str((wrapper.prefix / "lib/runtime/runc").readlink())
    bare, _ = _seen([probe, *words], **options)
    wrapped, pid = _seen([str(wrapper.wrapper), *words], **options)
    assert wrapped.pop("pid") == [str(pid)]
    bare.pop("pid")
    for seen in (bare, wrapped):  # each run has a pipe of its own for stdout
        seen["fd"] = [fd for fd in seen["fd"] if not fd.startswith("1 pipe:")]
    assert wrapped == bare
    return wrapped


@pytest.mark.parametrize("command", ["passed on", "created"])
def test_pid_argv_environment_and_cwd_are_the_same(
    wrapper: install.Installed, created: list[str], command: str, tmp_path: Path
) -> None:
    words = PASSED_ON if command == "passed on" else created
    environment = {"PATH": "/nowhere", "EMPTY": "", "PWD": str(tmp_path), "LC_CTYPE": "C"}
    _same(wrapper, created, cwd=tmp_path, env=environment)
    seen = _same(wrapper, words, cwd=tmp_path, env=environment)
    assert seen["argv"][0] == str((wrapper.prefix / "lib/runtime/runc").readlink())


def test_an_empty_environment_stays_empty(wrapper: install.Installed, created: list[str]) -> None:
    seen = _same(wrapper, created, env={})  # Python would have set LC_CTYPE
    assert "env" not in seen


def test_variables_with_odd_names_survive(wrapper: install.Installed, created: list[str]) -> None:
    odd = {b"a.b": b"1", b"LC_CTYPE": b"", b"n": b"\xff\xfe", b"=x": b"y"}
    seen = _same(wrapper, created, env=odd)
    assert sorted(seen["env"]) == sorted(["a.b=1", "LC_CTYPE=", "n=\udcff\udcfe", "=x=y"])


def test_inherited_descriptors_stay_open(wrapper: install.Installed, created: list[str]) -> None:
    descriptors = [os.open("/dev/null", os.O_RDONLY) for _ in range(20)]
    try:
        for descriptor in descriptors:
            os.set_inheritable(descriptor, True)
        seen = _same(wrapper, created, pass_fds=descriptors)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    assert len([fd for fd in seen["fd"] if fd.endswith(" /dev/null")]) >= 20


@pytest.mark.parametrize("closed", [[0], [2], [0, 2]])
def test_closed_standard_descriptors_stay_closed(
    wrapper: install.Installed, created: list[str], closed: list[int]
) -> None:
    def close() -> None:
        for descriptor in closed:
            os.close(descriptor)

    seen = _same(wrapper, created, preexec_fn=close)
    assert {fd.partition(" ")[0] for fd in seen["fd"]}.isdisjoint(map(str, closed))


IGNORED = [
    (),
    (signal.SIGPIPE,),
    (signal.SIGXFSZ,),
    (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGHUP),
]


@pytest.mark.parametrize("ignored", IGNORED, ids=lambda signals: "+".join(s.name for s in signals))
def test_signal_dispositions_and_mask_are_unchanged(
    wrapper: install.Installed, created: list[str], ignored: tuple[signal.Signals, ...]
) -> None:
    def ignore() -> None:
        for number in IGNORED[-1]:
            signal.signal(number, signal.SIG_DFL)
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGUSR1})

    seen = _same(wrapper, created, preexec_fn=ignore, restore_signals=False)
    mask = next(int(s.split()[1], 16) for s in seen["status"] if s.startswith("SigIgn"))
    assert {number for number in IGNORED[-1] if mask >> number - 1 & 1} == set(ignored)


def test_the_umask_is_unchanged(wrapper: install.Installed, created: list[str]) -> None:
    seen = _same(wrapper, created, umask=0o137)
    assert "Umask:\t0137" in seen["status"]


def test_arguments_that_are_not_utf_8_arrive_unchanged(
    wrapper: install.Installed, tmp_path: Path
) -> None:
    bundle = bundles.make(tmp_path / "b", "runc")
    odd = b"\xff\xfe \xc3("
    words = ["create", "--bundle", str(bundle.path), os.fsdecode(odd)]
    seen = _same(wrapper, words)
    assert os.fsencode(seen["argv"][-1]) == odd
    assert "seccomp" in bundle.read()["linux"]


def test_a_hundred_thousand_arguments_arrive(wrapper: install.Installed, tmp_path: Path) -> None:
    bundle = bundles.make(tmp_path / "b", "runc")
    many = ["--pid-file", "x"] * 50_000
    seen = _same(wrapper, ["create", *many, "--bundle", str(bundle.path), "ID"])
    assert len(seen["argv"]) == 100_005
    assert "seccomp" in bundle.read()["linux"]


def test_a_closed_pipe_kills_the_runtime_as_without_us(
    wrapper: install.Installed, created: list[str]
) -> None:
    """SIGPIPE has its default action again, so a writer without a reader dies."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([wrapper.wrapper, *created], stdout=writer, check=False, timeout=30)
    os.close(writer)
    assert done.returncode == -signal.SIGPIPE


@pytest.mark.cold  # the limit is not the agent's
def test_a_limit_on_file_size_is_a_refusal_and_leaves_the_old_config(
    wrapper: install.Installed, tmp_path: Path
) -> None:
    bundle = bundles.make(tmp_path / "b", "runc")
    before = bundle.config.read_bytes()

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    done = subprocess.run(
        [wrapper.wrapper, "create", "--bundle", bundle.path, "ID"],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 1
    assert "cannot be replaced" in done.stderr
    assert bundle.config.read_bytes() == before
    assert not list(bundle.path.glob(".config*"))
