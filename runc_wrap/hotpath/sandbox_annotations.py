"""The annotations with which a pod's sandbox was made, read from its config beside the container's.

    <state>/io.containerd.runtime.v2.task/k8s.io/<container>/config.json    the new container's
    <state>/io.containerd.runtime.v2.task/k8s.io/<sandbox>/config.json      the one read here

containerd gives a container the pod's present annotations, and a sandbox those at its creation. Our
seccomp block does not change them. Loaded only if annotations decide.
"""

from runc_wrap.hotpath import config_file, container_identity, json_ambiguity
from runc_wrap.hotpath.create_facts import annotations_of
from runc_wrap.hotpath.errors import Refusal, quoted

LARGEST = 1024 * 1024  # bytes; Kubernetes allows a pod 256 KiB of annotations
_LONGEST = 128  # characters of an id; containerd's own have 64
_ROOT = 0


def annotations(bundle_path: str, sandbox: str) -> "dict[str, str]":
    """Return the annotations of this sandbox, beside a container's bundle. Raises Refusal."""
    if not _is_plain(sandbox):
        raise Refusal(f"the sandbox's id {quoted(sandbox)} is not the name of a directory.")
    path = f"{config_file.directory(bundle_path.rstrip('/'))}/{sandbox}/config.json"
    found = config_file.read(path, LARGEST)
    if found.real != path or found.stat.st_uid != _ROOT:
        raise Refusal(f"{quoted(path)} is a link, or not owned by root.")
    written = annotations_of(json_ambiguity.parsed(found.text))
    if not container_identity.is_sandbox(written, sandbox):
        raise Refusal(f"{quoted(path)} does not belong to this sandbox.")
    return written


def _is_plain(name: str) -> bool:
    """Return whether a name is safe in a path: it has only the characters of ids."""
    letters = name.replace("-", "").replace("_", "")
    return len(name) <= _LONGEST and letters.isascii() and letters.isalnum()
