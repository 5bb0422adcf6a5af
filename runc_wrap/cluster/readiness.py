"""What the pod's readiness probe (the image's is-ready) finds: how the node is, in a sentence."""

from __future__ import annotations

from pathlib import Path

from runc_wrap import safe_text
from runc_wrap.host import files
from runc_wrap.hotpath import config_file

# The one while the node is as it should be, the other with what to say of it.
MARK, SENTENCE = Path("/run/runc-wrap/ready"), Path("/run/runc-wrap/sentence")
_LONGEST = 300  # characters; the probe prints 1000 bytes


def note(sentence: str, *, is_well: bool) -> None:
    """Have the probe say so: a sentence on one line, whatever others wrote into it.

    Nothing where there is no pod. Raises OSError.
    """
    if not MARK.parent.is_dir():
        return
    said = safe_text.name(" ".join(sentence.split()), _LONGEST).encode()
    files.replace(SENTENCE, said, is_synced=False, writer="installer")
    if is_well:
        MARK.touch()
    else:
        config_file.remove(str(MARK))
