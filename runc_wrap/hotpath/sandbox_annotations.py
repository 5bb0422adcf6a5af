"""The annotations that a pod's sandbox was made with: its config lies beside the container's.

    <state>/io.containerd.runtime.v2.task/k8s.io/<container>/config.json    what is created
    <state>/io.containerd.runtime.v2.task/k8s.io/<sandbox>/config.json      what is read here

containerd hands a container the annotations that its pod has by now, a sandbox those that it had
then. A seccomp block that we put in changes none of them. Loaded for annotations that ask only.
"""

from runc_wrap.hotpath import config_file, identity, json_ambiguity
from runc_wrap.hotpath.create_facts import annotations_of
from runc_wrap.hotpath.errors import Refusal, quoted

LARGEST = 1024 * 1024  # bytes; Kubernetes lets a pod have 256 KiB of annotations
_LONGEST = 128  # characters of an id, in containerd's own 64
_ROOT = 0


def annotations(bundle_path: str, sandbox: str) -> "dict[str, str]":
    """Return those of the sandbox of this id, whose container has this bundle. Raises Refusal."""
    if not _is_plain(sandbox):
        raise Refusal(f"the sandbox's id {quoted(sandbox)} is no name of a directory.")
    path = f"{config_file.directory(bundle_path.rstrip('/'))}/{sandbox}/config.json"
    found = config_file.read(path, LARGEST)
    if found.real != path or found.stat.st_uid != _ROOT:
        raise Refusal(f"{quoted(path)} is a link, or is not root's.")
    written = annotations_of(json_ambiguity.parsed(found.text))
    if not identity.is_sandbox(written, sandbox):
        raise Refusal(f"{quoted(path)} is not this sandbox's.")
    return written


def _is_plain(name: str) -> bool:
    """Return whether a name leads nowhere else; it has nothing but what ids are made of."""
    letters = name.replace("-", "").replace("_", "")
    return len(name) <= _LONGEST and letters.isascii() and letters.isalnum()
