from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from runc_wrap.evidence import joining, known
from runc_wrap.evidence.known import Known
from tests.unit.evidence.making import line, write_ledger

if TYPE_CHECKING:
    from pathlib import Path

KEY, DEFAULT = ("/run/test", "c1"), ("/run/runc", "c2")


@pytest.fixture
def containers(tmp_path: Path) -> Known:
    default = line("c2", root="/run/runc")
    return Known(write_ledger(tmp_path, line("c1"), default, line("c2", root=None), line("app")))


@pytest.mark.parametrize(
    ("words", "key"),
    [
        ("runc --root /run/test exec c1 true", KEY),
        ("runc --root=/run/test exec -d c1 true", KEY),
        ("runc -root /run/test --log /l --log-format json exec --process /p --detach c1", KEY),
        ("crun --root /run/test --systemd-cgroup exec --pid-file /c2 --tty c1", KEY),
        ("runc --root /run/test exec --user app --env=A=b -t c1 sh", KEY),
        ("runc --root /run/test exec -u app -c CAP_KILL c1 app", KEY),
        ("runc exec c2 true", DEFAULT),
        ("runc --root /run/test exec c1 c2", KEY),
        ("runc --root /run/test exec c3 sh", None),
        ("runc exec c1 true", None),  # the default root has no such container
        ("runc --root /run/other exec c1 true", None),
        ("runc --root exec exec", None),
    ],
)
def test_an_exec_names_its_container_by_root_and_id(
    containers: Known, words: str, key: known.Key | None
) -> None:
    assert joining.named(words.split(), containers) == key


@pytest.mark.parametrize(
    ("words", "program", "key"),
    [
        ("runc --root /run/test exec c1 true", "runtime", KEY),
        ("runc --root /run/test exec c1 true", "other", None),  # anybody can say so
        ("runc --root /run/test exec c1 true", "gone", None),
        ("runc --root /run/test kill c1", "runtime", None),
        ("", "runtime", None),
    ],
)
def test_only_the_words_of_the_runtime_itself_count(  # noqa: PLR0917 - table columns, fixtures
    containers: Known,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: str,
    program: str,
    key: known.Key | None,
) -> None:
    (tmp_path / "other").write_text("")
    (tmp_path / "runtime").symlink_to(f"/proc/{os.getpid()}/exe")
    monkeypatch.setattr(known, "words", lambda _pid: words.split())
    found = joining.container_of(os.getpid(), containers, [str(tmp_path / program)])
    assert found == key


def test_who_is_gone_joins_nothing(containers: Known) -> None:
    assert known.words(2**22 + 1) == []
    assert joining.container_of(2**22 + 1, containers, ["/proc/self/exe"]) is None


def test_words_are_those_of_the_command_line() -> None:
    assert known.words(os.getpid())[0].endswith("python3")
