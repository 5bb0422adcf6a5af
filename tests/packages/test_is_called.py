"""The question of the package's scripts whether a process still names a runtime in our bin."""

from __future__ import annotations

import pytest

from deploy.packages.tree import OWN
from harness.host.processes import attempt
from harness.node.requirements import requires

_QUESTIONS = (OWN / "is_called.sh").read_text()
ASK = _QUESTIONS + "names_process"
NAMED = "/usr/lib/runc-wrap/bin/runc-wrap"
_ALONE = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c"]
_WITH = """
sh -c 'sleep 100; :' sh {} &
until grep -qs sleep /proc/[0-9]*/comm; do :; done
"""


def _is_called(before: str, seconds: str = "") -> bool:
    """Ask where there are no other processes than those that a script starts."""
    requires("unshare", root=True)
    done = attempt([*_ALONE, f"{before}{ASK} {seconds}"], seconds=60)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode == 0


@pytest.mark.parametrize(
    ("words", "is_called"),
    [
        (NAMED, True),
        (f"-r {NAMED} create", True),
        (f"$(head -c 60000 /dev/zero | tr '\\0' x) {NAMED}", True),
        (f"$(head -c 70000 /dev/zero | tr '\\0' x) {NAMED}", False),
        (f"not{NAMED}", False),
        ("/usr/lib/runc-wrap/binary", False),
    ],
    ids=["alone", "among others", "late", "too late to be read", "within a word", "beside it"],
)
def test_a_process_calls_us_if_one_of_its_first_words_is_a_path_of_ours(
    words: str, *, is_called: bool
) -> None:
    assert _is_called(_WITH.format(words)) == is_called


@pytest.mark.parametrize("process", ["unreadable", "gone"])
def test_a_process_whose_words_cannot_be_read_is_waited_for_within_bounds(process: str) -> None:
    """And then it may be one that calls us; one that is gone is none."""
    make = "mkfifo /proc/7/cmdline" if process == "unreadable" else ":"
    fake = f"mount -t tmpfs none /proc; mkdir /proc/7; {make}; "
    assert _is_called(fake, "2") == (process == "unreadable")


_PODMAN = """
mount -t tmpfs none /var/lib/containers && mkdir -p /var/lib/containers/storage{}
mount -t tmpfs none /usr/local/bin && PATH=/usr/local/bin:$PATH
printf '#!/bin/sh\n[ $HOME$THEIRS = /nonexistent ] || exit 1\n' > /usr/local/bin/podman
printf '[ "$1" = ps ] && echo one || echo {}\n' >> /usr/local/bin/podman
export THEIRS=1
chmod +x /usr/local/bin/podman
"""


@pytest.mark.parametrize(
    ("beneath", "runtime", "is_called"),
    [
        ("/libpod", NAMED, True),
        ("/libpod", "runc-wrap", False),
        ("/libpod", "/opt/runc-wrap/bin/runc-wrap", False),
        ("", NAMED, False),
    ],
    ids=["by our path", "by a name", "by another path", "not asked"],
)
def test_a_container_that_podman_starts_by_our_path_calls_us(
    beneath: str, runtime: str, *, is_called: bool
) -> None:
    requires("unshare", "podman", root=True)
    script = f"{_PODMAN.format(beneath, runtime)}{_QUESTIONS}names_podman"
    done = attempt([*_ALONE, script], seconds=60)
    assert (done.returncode, done.stderr) == (0 if is_called else 1, "")
