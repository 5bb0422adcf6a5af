"""install.sh as a whole: what it says beforehand, what it installs for itself, how a step fails."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.host.processes import Run, attempt, run, script
from harness.node.install import OPTIONS, SOURCE
from harness.node.requirements import program, requires

PRIVATE = ("unshare", "--mount", "--propagation", "private", "sh", "-c")


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(tmp_path: Path) -> None:
    done = attempt([SOURCE / "install.sh", "--prefix", tmp_path / "p", "--dry-run"])
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert all(line.startswith("would ") for line in lines)
    for words in ("make a virtual environment", "compile the policy", "switch", "three containers"):
        assert any(words in line for line in lines), words
    assert list(tmp_path.iterdir()) == []


def _in_a_full_place(tmp_path: Path, *words: str | Path) -> Run:
    """Run install.sh for a prefix on a file system of 1 MiB."""
    prefix = tmp_path / "full"
    prefix.mkdir()
    mounted = f'mount -t tmpfs -o size=1m,mode=755 full {prefix} && exec "$@"'
    return attempt([*PRIVATE, mounted, "sh", *words, "--prefix", prefix, *OPTIONS], seconds=200)


def _with_a_failing_apt(tmp_path: Path, *words: str | Path) -> Run:
    """Run install.sh where runc must be installed and apt-get does not reach its sources."""
    failing = script(
        tmp_path / "apt-get", "echo E: Temporary failure resolving deb.example >&2\nexit 100"
    )
    absent = [path for name in ("runc", "crun") if (path := shutil.which(name))]
    hide = " && ".join(f"mount --bind /dev/null {Path(path).resolve()}" for path in absent)
    apt = f"mount --bind {failing} {program('apt-get')}"
    hidden = f'{hide} && {apt} && exec "$@"'
    return attempt([*PRIVATE, hidden, "sh", *words, "--prefix", tmp_path / "p", *OPTIONS])


def _without_an_index(tmp_path: Path, *words: str | Path) -> Run:
    index = ("--index-url", "http://127.0.0.1:9/simple")  # the port discard: nobody listens
    return attempt([*words, "--prefix", tmp_path / "p", *OPTIONS, *index], seconds=200)


STEPS = [
    (_in_a_full_place, "Making a virtual environment", "make room where it says"),
    (_with_a_failing_apt, "Installing Debian's packages runc", "install runc by hand"),
    (_without_an_index, "Fetching Python packages", "(--index-url)"),
]


@pytest.mark.parametrize(("failing", "step", "advice"), STEPS)
def test_a_step_of_install_sh_that_fails_says_what_to_do(
    failing: Callable[..., Run], step: str, advice: str, tmp_path: Path
) -> None:
    requires("runc", "apt-get", "unshare", root=True)
    done = failing(tmp_path, SOURCE / "install.sh")
    assert done.returncode != 0
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f'install.sh: "{step}'), done.stderr
    assert "failed; what was in force before is in force. Try: " in last
    assert advice in last
    assert last.endswith("; then run install.sh again.")
    assert not [*tmp_path.glob("*/lib/releases/*")]


@pytest.fixture(name="archive")
def unpacked_archive(tmp_path: Path) -> Path:
    """What install.sh looks at in an unpacked release archive; nothing of it can be installed."""
    archive = tmp_path / "archive"
    venv = archive / "lib" / "releases" / "0.2.0" / "venv"
    packages = venv / "lib" / "python3.13" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "runc_wrap").symlink_to(SOURCE / "runc_wrap")
    script(venv / "bin" / "python", 'exec /usr/bin/python3 "$@"')
    shutil.copy(SOURCE / "install.sh", archive)
    (archive / "SHA256SUMS").write_text(run(["sha256sum", archive / "install.sh"]).stdout)
    return archive


@pytest.mark.parametrize("occupied", ["lib", "var/lock"])
def test_a_file_in_the_place_of_a_directory_does_not_speak_against_the_archive(
    occupied: str, archive: Path, tmp_path: Path
) -> None:
    place = tmp_path / "p" / occupied
    place.parent.mkdir(parents=True)
    place.touch()
    done = attempt([archive / "install.sh", "--prefix", tmp_path / "p", *OPTIONS])
    assert done.returncode != 0
    assert re.search(r"^Comparing .* SHA256SUMS \.\.\.$", done.stdout, re.MULTILINE)
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f'install.sh: "Preparing {tmp_path}/p" failed; '), done.stderr
    assert "or move away what is in the place of a directory; then run" in last


def test_a_prefix_where_nothing_may_be_executed_is_named(archive: Path, tmp_path: Path) -> None:
    requires("unshare", "runc", root=True)
    prefix = tmp_path / "p"
    prefix.mkdir()
    mounted = f'mount -t tmpfs -o noexec,mode=755 none {prefix} && exec "$@"'
    words: list[str | Path] = [archive / "install.sh", "--prefix", prefix, *OPTIONS]
    done = attempt([*PRIVATE, mounted, "sh", *words])
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"install.sh: the interpreter in {prefix} cannot be started; mount that")
    assert "without noexec" in last


HIDDEN = ("cc", "gcc", "musl-gcc", "apt-get")  # as where there is neither compiler nor Debian


def _install_without_a_compiler(checkout: Path, prefix: Path, *more: str) -> Run:
    found = [path for name in HIDDEN if (path := shutil.which(name))]
    hide = " && ".join(f"mount --bind /dev/null {Path(path).resolve()}" for path in found)
    inside = [*PRIVATE, f'{hide} && exec "$@"']
    words: list[str | Path] = [checkout / "install.sh", "--prefix", prefix, *OPTIONS, *more]
    return attempt([*inside, "sh", *words], seconds=200)


@pytest.fixture(name="checkout")
def copied_checkout(tmp_path: Path) -> Path:
    """A copy of what install.sh needs of the checkout."""
    copy = tmp_path / "beside" / "checkout"
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("runc_wrap", "requirements", "hooks", "deploy"):
        shutil.copytree(SOURCE / name, copy / name, ignore=ignored)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "NOTICE", "install.sh"):
        shutil.copy(SOURCE / name, copy)
    return copy


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_without_a_compiler_it_names_the_archive_and_runs_nothing_that_lies_beside_it(
    checkout: Path, tmp_path: Path, more: tuple[str, ...]
) -> None:
    """Any user may make such a directory in /tmp, where a checkout lies, too."""
    requires("runc", "unshare", root=True)
    witness = tmp_path / "executed"
    for place in (checkout, checkout.parent):
        python = place / "runc-wrap-0.2.0-linux-any/lib/releases/0.2.0/venv/bin/python"
        script(python, f"touch {witness}")
    done = _install_without_a_compiler(checkout, tmp_path / "p", *more)
    assert not witness.exists()
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "no C compiler" in line
    assert "install from the release archive (runc-wrap-VERSION-linux-ARCH.tar.xz)" in line
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize("option", ["--python", "--cc"])
def test_a_program_that_others_may_replace_is_named_and_not_executed(
    tmp_path: Path, option: str
) -> None:
    requires("runc", "namei", root=True)
    program = script(tmp_path / "theirs" / "program", f"touch {tmp_path}/executed")
    program.parent.chmod(0o777)
    link = tmp_path / "link"
    link.symlink_to(program)
    words: list[str | Path] = [SOURCE / "install.sh", "--prefix", tmp_path / "p", "--dry-run"]
    done = attempt([*words, option, link])
    assert not (tmp_path / "executed").exists()
    assert done.returncode == 1
    assert f"others may replace {link}" in done.stderr
    assert "drwxrwxrwx" in done.stderr


# {compilers} are hidden by mounts; the one that "installs" them takes these away.
APT_GET = """#!/bin/sh
echo "$*" >> {log}
[ "$1" = update ] || umount {compilers}
"""


def test_a_compiler_is_installed_like_other_needs_and_the_launcher_is_compiled_with_it(
    tmp_path: Path,
) -> None:
    requires("runc", "apt-get", "unshare", "gcc", root=True)
    found = {Path(path).resolve() for name in HIDDEN[:-1] if (path := shutil.which(name))}
    compilers = " ".join(map(str, sorted(found)))
    apt = script(tmp_path / "apt-get", APT_GET.format(log=tmp_path / "asked", compilers=compilers))
    hide = f"for one in {compilers}; do mount --bind /dev/null $one || exit 3; done"
    mounted = f'{hide}; mount --bind {apt} {program("apt-get")} && exec "$@"'
    words: list[str | Path] = [SOURCE / "install.sh", "--prefix", tmp_path / "p", *OPTIONS]
    done = attempt([*PRIVATE, mounted, "sh", *words], seconds=200)
    assert done.returncode == 0, done.stdout + done.stderr
    packages = ["gcc", "libc6-dev", "musl-tools"]
    update, installation = (tmp_path / "asked").read_text().splitlines()
    assert update.startswith("update")
    assert installation.endswith(" ".join(packages))
    assert (tmp_path / "p" / "bin" / "runc-wrap").read_bytes().startswith(b"\x7fELF")
    assert "Installing Debian's packages gcc libc6-dev musl-tools ..." in done.stdout
