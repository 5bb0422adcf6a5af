from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runc_wrap.evidence.attribution import exec_joins
from runc_wrap.evidence.attribution.container_index import Known
from tests.unit.evidence.samples import line, write_ledger

if TYPE_CHECKING:
    from pathlib import Path

    from runc_wrap.hotpath.ledger_file import Key

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
    containers: Known, words: str, key: Key | None
) -> None:
    assert exec_joins.named(words.split(), containers) == key
