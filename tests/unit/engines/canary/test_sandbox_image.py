"""Nothing is pulled for a canary: the image of its sandbox must be known, and be there."""

from __future__ import annotations

from pathlib import Path

import pytest

from runc_wrap.engines import engine_query
from runc_wrap.engines.canary import sandbox_image
from runc_wrap.engines.cri import cri_runtime
from runc_wrap.engines.handler import EngineError
from runc_wrap.engines.transaction.engine_access import ByCri

SOCKET = Path("/nowhere")
CRIO = engine_query.installation("crio", Path("/etc/crio/crio.conf"))


@pytest.mark.parametrize(
    ("printed", "name"),
    [
        ('[crio.image]\npause_image = "a/pause:1"\n', "a/pause:1"),
        ('[crio.image]\n# pause_image = "a/pause:2"\n', "a/pause:2"),
        ('[crio.image]\n# pause_image = "a/pause:2"\npause_image = "own:3"\n', "own:3"),
        ('[crio.image]\n# pause_image_auth_file = "/x"\n', ""),
        ("no TOML", ""),
    ],
)
def test_a_default_that_crio_prints_as_a_comment_is_its_image(printed: str, name: str) -> None:
    assert sandbox_image.name_of(sandbox_image.crio_document(printed)) == name


@pytest.mark.parametrize(
    ("document", "has", "told"),
    [
        ({}, True, "crio does not print which image"),
        ({"crio": {"image": {"pause_image": "p:1"}}}, False, "has no image p:1 .*crictl pull p:1"),
        ({"crio": {"image": {"pause_image": "p:1"}}}, True, ""),
    ],
)
def test_without_its_image_no_sandbox_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, document: dict[str, object], has: object, told: str
) -> None:
    monkeypatch.setattr(sandbox_image, "_document", lambda _found: document)
    monkeypatch.setattr(cri_runtime, "has_image", lambda *_words: has)
    access = ByCri(CRIO, SOCKET)
    asked: list[str] = []
    monkeypatch.setattr(cri_runtime, "run_pod", lambda *_words: asked.append("a pod"))
    monkeypatch.setattr(cri_runtime, "remove_pods", lambda *_words: None)
    if told:
        with pytest.raises(EngineError, match=told), access.canary("ours"):
            pass
    else:
        with access.canary("ours"):
            pass
    assert asked == ([] if told else ["a pod"])
