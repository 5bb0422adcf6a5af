"""The launcher's behaviour when a part of the installation is own_installation or changes."""

import dataclasses
import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.containers import bundles
from harness.host.processes import attempt
from harness.node import install
from harness.node.install import Installed
from harness.node.requirements import program
from tests.runtime.conftest import Lab


def test_no_link_to_the_interpreter_will_lead_to_another_version(installed: Installed) -> None:
    """/usr/bin/python3 does, in the distribution's next release: it has other packages."""
    link, outside = installed.release / "venv" / "bin" / "python", []
    while link.is_symlink():
        link = link.parent / link.readlink()
        outside += [] if link.is_relative_to(installed.release) else [link]
    assert outside
    assert [path for path in outside if path.name in ("python", "python3")] == []


def test_the_reference_that_is_a_link_in_the_checkout_is_installed(installed: Installed) -> None:
    assert installed.control("policy", "reference").stdout.startswith("# Settings of config.toml")


def _no_policy(installed: Installed) -> None:
    shutil.rmtree(installed.prefix / "var")


def _no_python(installed: Installed) -> None:
    (installed.prefix / "lib" / "current").unlink()


def _nonsense_policy(installed: Installed) -> None:
    (installed.prefix / "var" / "policy.2" / "current" / "policy.json").write_text("nonsense")


BREAKAGES = [_no_policy, _no_python, _nonsense_policy]


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_other_commands_work_whatever_is_broken(
    runc: Lab, own_installation: Installed, breakage: Callable[[Installed], None]
) -> None:
    bundle = runc.bundle()
    bundle.create(own_installation.wrapper)
    breakage(own_installation)
    assert json.loads(bundle.call(own_installation.wrapper, "state").stdout)["status"] == "running"
    executed = bundle.call(own_installation.wrapper, "exec", after=("/bin/echo", "hello"))
    assert executed.stdout == "hello\n"
    assert bundle.call(own_installation.wrapper, "kill", after=("KILL",)).returncode == 0
    assert bundle.call(own_installation.wrapper, "delete", "--force").returncode == 0
    assert (
        attempt([own_installation.wrapper, "--version"]).stdout
        == attempt(["runc", "--version"]).stdout
    )


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_create_is_refused_with_a_message_when_something_is_broken(
    runc: Lab, own_installation: Installed, breakage: Callable[[Installed], None]
) -> None:
    bundle = runc.bundle()
    breakage(own_installation)
    done = attempt(bundle.argv(own_installation.wrapper, "create"))
    assert done.returncode == 1
    assert done.stderr.startswith("runc-wrap: ")
    assert "install.sh" in done.stderr or "runc-wrapctl apply" in done.stderr
    assert bundle.call("runc", "state").returncode == 1


def test_a_wrapper_that_is_its_runtime_says_so(own_installation: Installed, tmp_path: Path) -> None:
    install.use_runtime(own_installation, own_installation.wrapper)
    bundle = bundles.make(tmp_path / "b", "runc")
    for command in ("state", "create"):
        done = attempt(bundle.argv(own_installation.wrapper, command))
        assert done.returncode == 1
        assert "is runc-wrap itself" in done.stderr
    assert "is runc-wrap itself" in json.loads(bundle.log.read_text())["msg"]


def test_a_runtime_that_was_moved_is_found_under_its_name(own_installation: Installed) -> None:
    install.use_runtime(own_installation, "/where/it/was/runc")
    assert (
        attempt([own_installation.wrapper, "--version"]).stdout
        == attempt(["runc", "--version"]).stdout
    )


def test_if_the_wrapper_replaces_a_moved_runtime_the_next_runtime_is_used(
    own_installation: Installed,
) -> None:
    """An owner may install it in runc's place; it would then execute itself forever."""
    install.use_runtime(own_installation, "/where/it/was/runc")
    stand_in = "mount -t tmpfs test /usr/local/sbin && ln -s $0 /usr/local/sbin/runc && exec $0 $1"
    prefix = ["unshare", "--mount", "--propagation", "private", "sh", "-c", stand_in]
    done = attempt([*prefix, own_installation.wrapper, "--version"], seconds=20)
    assert done.stdout == attempt(["runc", "--version"]).stdout


def test_another_kind_does_not_replace_a_missing_runtime(
    own_installation: Installed, tmp_path: Path
) -> None:
    install.use_runtime(own_installation, "/where/it/was/runc")
    hide = f'mount --bind /dev/null {program("runc")} && exec "$@"'
    prefix = ["unshare", "--mount", "--propagation", "private", "sh", "-c", hide, "sh"]
    done = attempt([*prefix, own_installation.wrapper, "--version"])
    assert done.returncode == 1
    assert "/where/it/was/runc" in done.stderr
    bundle = bundles.make(tmp_path / "b", "runc")
    done = attempt([*prefix, *bundle.argv(own_installation.wrapper, "create")])
    assert done.returncode == 1
    assert "/where/it/was/runc" in done.stderr


def test_creates_succeed_while_a_new_release_is_installed(runc: Lab, tmp_path: Path) -> None:
    installed = install.install(tmp_path / "prefix")
    bundle = runc.bundle()
    before = bundle.config.read_bytes()
    upgrade = threading.Thread(target=install.install, args=(tmp_path / "prefix",))
    upgrade.start()
    releases = []
    going_on = True
    while going_on:
        going_on = upgrade.is_alive()  # the last one comes afterwards
        releases.append(installed.release)
        bundle.config.write_bytes(before)
        done = bundle.only_create(installed.wrapper)
        assert done.returncode == 0, bundle.log.read_text()
        assert "seccomp" in bundle.read()["linux"]
        bundle.delete("runc")
    upgrade.join()
    assert len(releases) > 3
    assert len(set(releases)) == 2  # the one before and the new one


def test_our_own_error_is_reported_like_any_other_failure(
    own_installation: Installed, tmp_path: Path
) -> None:
    bundle = bundles.make(tmp_path / "b", "runc")
    for path in (own_installation.prefix / "var/policy.2/current/profiles").iterdir():
        path.write_text('{"block": {}, "rules": 1}')
    done = attempt(bundle.argv(own_installation.wrapper, "create"))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "an error in runc-wrap itself: TypeError in resolve.py:" in done.stderr
    assert json.loads(bundle.log.read_text())["level"] == "error"


@pytest.mark.parametrize("breakage", ["a damaged profile", "a config nobody can read"])
def test_with_run_unmodified_a_failure_starts_it_unchanged(runc: Lab, breakage: str) -> None:
    bundle = runc.bundle({"runc-wrap/seccomp": "localhost/none.json"})
    assert bundle.call(runc.wrapper, "create").returncode == 1
    runc.node.configure('on_error = "run-unmodified"\n')
    if breakage == "a damaged profile":
        bundle.config.write_text(json.dumps({**bundle.read(), "annotations": {}}))
        profiles = runc.node.prefix / "var" / "policy.2" / "current" / "profiles"
        for path in profiles.iterdir():
            path.write_text('{"block": {}, "rules": 1}')
    before = bundle.config.read_bytes()
    bundle.create(runc.wrapper)
    assert bundle.config.read_bytes() == before
    warning = json.loads(bundle.log.read_text().splitlines()[-1])
    assert warning["level"] == "warning"
    assert "started unmodified" in warning["msg"]
    ledger = runc.node.prefix / "var" / "ledger" / "ledger.jsonl"
    assert json.loads(ledger.read_text().splitlines()[-1])["reason"].startswith(
        "Started unmodified"
    )


@pytest.mark.parametrize("name", ["run", "create"])
def test_a_container_named_like_a_command_can_be_killed_without_python(
    runc: Lab, own_installation: Installed, name: str
) -> None:
    bundle = dataclasses.replace(runc.bundle(), name=name)
    bundle.create("runc")
    _no_python(own_installation)
    assert bundle.call(own_installation.wrapper, "kill", after=("KILL",)).returncode == 0
    assert bundle.call(own_installation.wrapper, "delete", "--force").returncode == 0


@pytest.mark.parametrize("flag", ["--debug", "--systemd-cgroup", "-debug"])
@pytest.mark.parametrize("name", ["run", "create"])
def test_such_a_container_can_be_killed_after_a_global_flag_without_a_value(
    own_installation: Installed, flag: str, name: str, tmp_path: Path
) -> None:
    install.use_runtime(own_installation, "/bin/echo")
    _no_python(own_installation)
    for words in (["delete", name], ["kill", name, "9"]):
        argv: list[str | Path] = [own_installation.wrapper, "--root", tmp_path, flag, *words]
        assert attempt(argv).stdout.endswith(f"{' '.join(words)}\n")
    assert attempt([own_installation.wrapper, flag, "--root", "kill", name, "ID"]).returncode == 1


def test_installing_removes_no_foreign_files(tmp_path: Path) -> None:
    prefix = tmp_path / "shared"
    for path in ("lib/precious/file", "lib/releases/mine", "var/data", "etc/other.conf"):
        (prefix / path).parent.mkdir(parents=True, exist_ok=True)
        (prefix / path).write_text("mine")
    before = {path: path.read_text() for path in prefix.rglob("*") if path.is_file()}
    installed = install.install(prefix)
    for _ in range(2):
        install.install(tmp_path / "shared" / ".")
    assert {path: path.read_text() for path in before} == before
    releases = [path.name for path in (prefix / "lib" / "releases").iterdir()]
    assert len(releases) == 3  # this one, the one before, and what is not ours
    assert attempt([installed.wrapper, "--version"]).returncode == 0


@pytest.mark.parametrize("words", [["--prefix="], ["--prefix", ""], ["--prefix"], ["--nonsense"]])
def test_install_refuses_meaningless_arguments(words: list[str], tmp_path: Path) -> None:
    done = attempt([install.SOURCE / "install.sh", *words], cwd=tmp_path)
    assert done.returncode == 1
    assert list(tmp_path.iterdir()) == []
