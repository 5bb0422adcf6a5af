"""Nothing is pulled for a canary: the image of its sandbox must be known, and be there."""

from __future__ import annotations

from pathlib import Path

import pytest

from runc_wrap.node.engines import engine_query
from runc_wrap.node.engines.canary import idle_image, sandbox_image
from runc_wrap.node.engines.cri import cri_runtime
from runc_wrap.node.engines.cri.grpc_call import CallFailed
from runc_wrap.node.engines.handler import EngineError

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
        ({"crio": {"image": {"pause_image": "p:1"}}}, False, "has no image p:1 .* not there"),
        ({"crio": {"image": {"pause_image": "p:1"}}}, True, ""),
    ],
)
def test_without_its_image_no_sandbox_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, document: dict[str, object], has: object, told: str
) -> None:
    monkeypatch.setattr(sandbox_image, "_document", lambda _found: document)
    monkeypatch.setattr(cri_runtime, "has_image", lambda *_words: has)
    asked = []
    if told:
        with pytest.raises(EngineError, match=told), sandbox_image.lent_image(CRIO, SOCKET):
            asked.append("a sandbox")
    else:
        with sandbox_image.lent_image(CRIO, SOCKET):
            asked.append("a sandbox")
    assert asked == ([] if told else ["a sandbox"])


@pytest.mark.parametrize(
    ("document", "images", "left"),
    [
        ({"plugins": {}}, {"sha256:other": "p:1"}, {"sha256:other": "p:1"}),
        ({"plugins": {}}, {idle_image.identity(): "of a name that no file has now"}, {}),
        ({}, {idle_image.identity(): "p:1"}, None),
    ],
)
def test_a_lent_image_is_gone_only_if_its_engine_said_so(
    monkeypatch: pytest.MonkeyPatch,
    document: dict[str, object],
    images: dict[str, str],
    left: dict[str, str] | None,
) -> None:
    """Whose configuration is not printed may answer elsewhere."""
    monkeypatch.setattr(sandbox_image, "_document", lambda _found: document)
    monkeypatch.setattr(cri_runtime, "image_id", lambda _, name: name if name in images else "")
    monkeypatch.setattr(cri_runtime, "remove_image", lambda _, name: images.pop(name))
    if left is None:
        with pytest.raises(CallFailed, match="does not print its configuration"):
            sandbox_image.remove_lent(CRIO, SOCKET)
    else:
        sandbox_image.remove_lent(CRIO, SOCKET)
        assert images == left
