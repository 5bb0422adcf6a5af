"""A Python that cannot start, or dies before it reaches our own code."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.containers import bundles
from harness.containers.bundles import Bundle
from harness.host.processes import attempt, run, script
from harness.node import install
from harness.node.install import Installed
from tests.runtime.launcher.test_exec_runtime import Probed

NOT_STARTED = "did not come as far as runc-wrap's own code"


@pytest.fixture
def own(own_installation: Installed, tmp_path: Path) -> Installed:
    """An installation with its own copy of the release."""
    release = tmp_path / "release"
    skip = shutil.ignore_patterns("venv")
    shutil.copytree(own_installation.release, release, symlinks=True, ignore=skip)
    (own_installation.prefix / "lib" / "current").unlink()
    (own_installation.prefix / "lib" / "current").symlink_to(
        os.path.relpath(release, own_installation.prefix / "lib")
    )
    return own_installation


@pytest.fixture
def probed(own: Installed, bundle: Bundle, built: Callable[[str], Path]) -> Probed:
    """The same with the probe as its runtime."""
    install.use_runtime(own, built("probe"))
    return Probed(own, bundle)


def _use_python(own: Installed, program: Path) -> None:
    (own.release / "python").unlink()
    (own.release / "python").symlink_to(program)


def _script(own: Installed, text: str) -> None:
    _use_python(own, script(own.release / "interpreter", text))


def _no_standard_library(own: Installed) -> None:
    """The real interpreter, for which an empty directory hides its library."""
    python = (own.release / "python").resolve()
    told = run([python, "-c", "import sysconfig; print(sysconfig.get_path('stdlib'))"])
    hide = f'mount -t tmpfs none {told.stdout.strip()} && exec "$@"'
    private = f"unshare --mount --propagation private sh -c '{hide}'"
    _script(own, f'exec {private} sh {python} "$@"')


def _killed(own: Installed) -> None:
    _script(own, "kill -KILL $$")


def _no_hot_path(own: Installed) -> None:
    shutil.rmtree(own.release / "hotpath")


def _a_module_less(own: Installed) -> None:
    (own.release / "hotpath" / "hotpath.packed").unlink()
    shutil.rmtree(own.release / "hotpath" / "runc_wrap" / "hotpath" / "__pycache__")
    (own.release / "hotpath" / "runc_wrap" / "hotpath" / "splice.py").unlink()


def _a_damaged_module(own: Installed) -> None:
    (own.release / "hotpath" / "hotpath.packed").unlink()
    (own.release / "hotpath" / "runc_wrap" / "hotpath" / "json_codec.py").write_text("def")


STARTED = [_no_standard_library, _killed, _no_hot_path, _a_module_less, _a_damaged_module]


def _no_link(own: Installed) -> None:
    (own.prefix / "lib" / "current").unlink()


def _no_interpreter(own: Installed) -> None:
    _use_python(own, Path("/nowhere/python3"))


def _no_interpreter_link(own: Installed) -> None:
    (own.release / "python").unlink()


NOT_EVEN_STARTED: dict[Callable[[Installed], None], str] = {  # and what the sentence names
    _no_link: "/lib/current cannot be read",
    _no_interpreter: "/nowhere/python3 cannot be executed (errno 2)",
    _no_interpreter_link: "/python cannot be read",
}


@pytest.mark.parametrize("damage", STARTED)
def test_a_failed_create_leaves_the_line_that_the_launcher_wrote_in_advance(
    own: Installed, make_bundle: Callable[..., Bundle], damage: Callable[[Installed], None]
) -> None:
    running = make_bundle("runc")
    running.create(own.wrapper)
    bundle = make_bundle("runc")
    damage(own)
    assert attempt(bundle.argv(own.wrapper, "create")).returncode != 0
    (line,) = bundle.log.read_text().splitlines()
    assert json.loads(line)["level"] == "error"
    assert NOT_STARTED in json.loads(line)["msg"]
    assert bundle.call("runc", "state").returncode == 1
    assert running.call(own.wrapper, "exec", after=("/bin/echo", "hello")).stdout == "hello\n"
    assert running.call(own.wrapper, "kill", after=("KILL",)).returncode == 0
    assert running.call(own.wrapper, "delete", "--force").returncode == 0


def test_an_interpreter_that_the_kernel_refuses_leaves_one_line_that_says_so(
    own: Installed, bundle: Bundle
) -> None:
    program = own.release / "interpreter"
    program.write_bytes(b"\x7fELF nonsense")
    program.chmod(0o755)
    _use_python(own, program)
    assert attempt(bundle.argv(own.wrapper, "create")).returncode == 1
    (line,) = bundle.log.read_text().splitlines()
    assert f"{program} cannot be executed (errno 8)" in json.loads(line)["msg"]


@pytest.mark.parametrize("flags", [[], ["--log-format", "text"]])
def test_a_text_log_gets_a_line_of_text(own: Installed, tmp_path: Path, flags: list[str]) -> None:
    _killed(own)
    log = tmp_path / "log"
    attempt([own.wrapper, "--log", log, *flags, "create", "--bundle", tmp_path, "ID"])
    (line,) = log.read_text().splitlines()
    assert line.startswith('time="2')
    assert ' level=error msg="runc-wrap: the interpreter ' in line


NO_FILE = [["--log", "journald:x"], ["--log=syslog:x"], ["--log="], ["--log", "/dev/null"]]


@pytest.mark.parametrize("flags", NO_FILE)
def test_a_log_that_is_not_a_file_is_not_written(
    own: Installed, tmp_path: Path, flags: list[str]
) -> None:
    _killed(own)
    argv = [str(own.wrapper), *flags, "create", "--bundle", str(tmp_path), "ID"]
    before = sorted(tmp_path.iterdir())
    subprocess.run(argv, cwd=tmp_path, capture_output=True, check=False, timeout=30)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("works", [True, False])
def test_a_log_with_lines_is_not_changed(probed: Probed, works: bool) -> None:
    log = probed.bundle.log
    log.write_text("another's line\n")
    if not works:
        _killed(probed.node)
    assert (attempt(probed.bundle.argv(probed.node.wrapper, "create")).returncode == 0) == works
    assert log.read_text() == "another's line\n"


def test_a_python_that_starts_removes_the_line_and_leaks_no_descriptor(probed: Probed) -> None:
    probed.same(probed.bundle.argv("", "create")[1:])
    assert probed.bundle.log.read_text() == ""
    assert probed.is_confined


ANOTHERS = '{"level":"error","msg":"another"}\n'


def test_a_line_written_meanwhile_stays_and_ours_is_blanked(probed: Probed) -> None:
    """Another writer uses an interpreter's start to append a line."""
    own, log = probed.node, probed.bundle.log
    (own.release / "another").write_text(ANOTHERS)
    python = (own.release / "python").resolve()
    _script(own, f'cat {own.release}/another >> {log}; exec {python} "$@"')
    assert attempt(probed.bundle.argv(own.wrapper, "create")).returncode == 0
    blank, another = log.read_text().splitlines(keepends=True)
    assert (blank.strip(), another) == ("", ANOTHERS)
    assert json.loads(log.read_text())["msg"] == "another"  # one object, as Podman reads it


def test_creates_at_once_with_one_fresh_log_leave_no_line_of_a_failure(
    probed: Probed, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    argvs: list[list[str | Path]] = []
    for number in range(4):
        bundle = bundles.make(tmp_path / str(number), "runc")
        argvs.append([probed.node.wrapper, "--log", log, "create", "--bundle", bundle.path, "ID"])
    for _ in range(15):
        log.unlink(missing_ok=True)
        started = [subprocess.Popen(argv, stdout=subprocess.DEVNULL) for argv in argvs]
        assert [each.wait(30) for each in started] == [0] * 4
        assert log.read_text().strip() == ""


def test_with_closed_standard_descriptors_python_does_not_write_into_the_log(
    own: Installed, bundle: Bundle
) -> None:
    _script(own, "echo words >&2; exit 1")

    def close() -> None:
        for descriptor in range(3):
            os.close(descriptor)

    subprocess.run(bundle.argv(own.wrapper, "create"), preexec_fn=close, check=False, timeout=30)
    (line,) = bundle.log.read_text().splitlines()
    assert NOT_STARTED in json.loads(line)["msg"]


@pytest.mark.parametrize("damage", [*STARTED, *NOT_EVEN_STARTED])
def test_with_run_unmodified_the_container_starts_unchanged_with_a_warning(
    own: Installed, make_bundle: Callable[..., Bundle], damage: Callable[[Installed], None]
) -> None:
    bundle = make_bundle("runc")
    own.configure('on_error = "run-unmodified"\n')
    before = bundle.config.read_bytes()
    damage(own)
    bundle.create(own.wrapper)
    assert bundle.config.read_bytes() == before
    (warning,) = bundle.log.read_text().splitlines()
    assert json.loads(warning)["level"] == "warning"
    assert json.loads(warning)["msg"].startswith("runc-wrap: started unmodified: ")
    assert NOT_EVEN_STARTED.get(damage, "") in json.loads(warning)["msg"]
    assert json.loads(bundle.call("runc", "state").stdout)["status"] == "running"


@pytest.mark.parametrize("children", [signal.SIG_DFL, signal.SIG_IGN])
@pytest.mark.parametrize("works", [True, False])
def test_the_trial_start_leaves_no_trace(
    probed: Probed, children: signal.Handlers, works: bool
) -> None:
    (probed.node.prefix / "var" / "policy.2" / "current" / "run-unmodified").touch()
    if not works:
        _no_hot_path(probed.node)

    def prepare() -> None:
        signal.signal(signal.SIGCHLD, children)
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGALRM})

    seen = probed.same(preexec_fn=prepare)
    ignored = next(int(s.split()[1], 16) for s in seen["status"] if s.startswith("SigIgn"))
    assert (ignored >> signal.SIGCHLD - 1 & 1) == (children == signal.SIG_IGN)
    assert probed.is_confined == works


def test_the_wait_for_a_hanging_interpreter_is_bounded(
    own: Installed, make_bundle: Callable[..., Bundle]
) -> None:
    bundle = make_bundle("runc")
    own.configure('on_error = "run-unmodified"\n')
    _script(own, "exec sleep 1000")

    def ignore() -> None:
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})

    start = time.monotonic()
    null = subprocess.DEVNULL
    argv = bundle.argv(own.wrapper, "create")
    subprocess.run(argv, preexec_fn=ignore, stdout=null, stderr=null, check=True, timeout=60)
    assert 9 < time.monotonic() - start < 20
    assert "started unmodified" in bundle.log.read_text()
