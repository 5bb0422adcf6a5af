"""Bad input: a clear refusal in bounded time, the old config, and no container."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.containers import bundles
from harness.containers.bundles import Bundle
from harness.host.processes import attempt, run
from harness.node import install
from harness.node.requirements import program
from tests.runtime.conftest import Lab

SECONDS = 20  # far more than any refusal takes; a hang lasts forever


def _write(data: bytes) -> Callable[[Bundle], object]:
    return lambda bundle: bundle.config.write_bytes(data)


def _change(change: Callable[[dict[str, Any]], object]) -> Callable[[Bundle], object]:
    def spoil(bundle: Bundle) -> None:
        with bundle.edited() as config:
            change(config)

    return spoil


def _asks(value: str) -> Callable[[Bundle], object]:
    return _change(lambda config: config.update(annotations={"runc-wrap/seccomp": value}))


def _fifo(bundle: Bundle) -> None:
    bundle.config.unlink()
    os.mkfifo(bundle.config)


def _truncated(bundle: Bundle) -> None:
    bundle.config.write_bytes(bundle.config.read_bytes()[:-3])


# What a config may be wrong in: tests/unit/hotpath. Here is what becomes of one at each place.
BAD: dict[str, tuple[Callable[[Bundle], object], str]] = {
    "missing": (lambda bundle: bundle.config.unlink(), "it does not exist"),
    "truncated": (_truncated, "not valid JSON"),
    "64 MiB": (lambda bundle: os.truncate(bundle.config, 64 << 20), "larger than"),
    "nested deeply": (_write(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), "not valid JSON"),
    "seccomp is a list": (_change(lambda c: c["linux"].update(seccomp=[1])), "not an object"),
    "a FIFO": (_fifo, "not a regular file"),
    "linux in another case": (_change(lambda c: c.update(LINUX={})), "instead of"),
    "an unknown annotation value with escapes": (_asks("\x1b[31m\n\u202e"), "\\x1b[31m\\n\\u202e"),
    "a profile that is not there": (_asks("localhost/none.json"), "localhost/none.json"),
    "a profile that leads out": (_asks("localhost/../policy"), "within the profile directory"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_with_one_line_in_the_log_and_the_same_on_stderr(
    runc: Lab, name: str
) -> None:
    bundle = runc.bundle()
    spoil, sentence = BAD[name]
    spoil(bundle)
    before = bundle.config.read_bytes() if bundle.config.is_file() else None
    start = time.monotonic()
    done = attempt(bundle.argv(runc.wrapped, "create"), seconds=60)
    assert time.monotonic() - start < SECONDS
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = bundle.log.read_text().splitlines()
    assert json.loads(line)["msg"] + "\n" == done.stderr
    assert sentence in done.stderr
    assert done.stderr.rstrip("\n").isprintable()
    assert before == (bundle.config.read_bytes() if bundle.config.is_file() else None)
    assert bundle.call(runc.bare, "state").returncode == 1


@pytest.mark.cold  # the agent may read what its caller may not
def test_an_unreadable_config_is_a_refusal(runc: Lab) -> None:
    """Unreadable also to root: without CAP_DAC_OVERRIDE, as some engines run."""
    bundle = runc.bundle()
    bundle.config.chmod(0)
    os.chown(bundle.config, 1234, 1234)
    drop = ["--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]
    done = attempt([program("setpriv"), *drop, *bundle.argv(runc.wrapped, "create")])
    assert done.returncode == 1
    assert "access to it is denied" in done.stderr
    assert "permission denied" not in done.stderr.lower()


def test_no_part_of_a_broken_config_is_shown(runc: Lab) -> None:
    bundle = runc.bundle()
    config = bundle.read()
    config["process"]["env"].append("PASSWORD=hunter2 permission denied")
    bundle.config.write_text(json.dumps(config)[:-1])
    done = attempt(bundle.argv(runc.wrapped, "create"))
    assert done.returncode == 1
    assert "not valid JSON: " in done.stderr
    assert "hunter2" not in done.stderr + bundle.log.read_text()


def test_a_config_that_is_nested_deeper_than_orjson_writes_is_confined(runc: Lab) -> None:
    bundle = runc.bundle()
    deep: Any = 1
    for _ in range(300):
        deep = {"a": deep}
    bundle.config.write_text(json.dumps({**bundle.read(), "deep": deep}))
    assert bundle.seccomp(runc.wrapped) == 2


def test_a_temporary_file_of_a_killed_create_does_not_block_another(
    own_installation: install.Installed, tmp_path: Path
) -> None:
    bundle = bundles.make(tmp_path / "bundle", "runc")
    install.use_runtime(own_installation, "/bin/true")
    plant = 'touch "$1/.config.json.runc-wrap.$$"; shift; exec "$@"'
    run(["sh", "-c", plant, "sh", bundle.path, *bundle.argv(own_installation.wrapper, "create")])
    assert "seccomp" in bundle.read()["linux"]


def test_a_nul_in_a_name_is_refused_for_crun(crun: Lab) -> None:
    bundle = crun.bundle()
    bundle.config.write_text(json.dumps({"linux\0x": {}, **bundle.read()}))
    done = attempt(bundle.argv(crun.wrapped, "create"))
    assert done.returncode == 1
    assert "NUL character" in done.stderr


def test_a_flag_of_a_later_runtime_does_not_turn_confinement_off(runc: Lab, tmp_path: Path) -> None:
    """A runtime with flags that we do not know; the installed one would refuse the command line."""
    bundle = bundles.make(tmp_path / "bundle", "runc")
    install.use_runtime(runc.node, runc.built("probe"))
    run(bundle.argv(runc.wrapper, "create", "--flag-of-tomorrow", "value"))
    assert "seccomp" in bundle.read()["linux"]


def test_a_malformed_command_line_reaches_the_runtime_and_its_error_reaches_the_engine(
    runc: Lab, tmp_path: Path
) -> None:
    for words in (["create", "--nonsense", "ID"], ["restore", "--lsm-mount-context"]):
        within = ("sh", "-c", 'cd "$1"; shift; exec "$@"', "sh", tmp_path)
        bare, ours = (attempt([*within, one, *words]) for one in (runc.bare, runc.wrapped))
        assert (ours.returncode, ours.stdout) == (bare.returncode, bare.stdout)
