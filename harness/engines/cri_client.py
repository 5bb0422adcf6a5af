"""The CRI client, generated at test time from Debian's api.proto (golang-github-kubernetes-…-dev).

grpcio-tools lacks gogoproto, so its import and options are left out: they only affect Go code.
"""

import functools
import importlib
import os
import re
import shutil
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.node.install import SOURCE
from harness.node.requirements import requires

_OF_DEBIAN = "/usr/share/gocode/src/k8s.io/cri-api/pkg/apis/runtime/v1/api.proto"
_TAKEN_OUT = SOURCE / "build" / "api.proto"  # of Debian's package, by make
PROTO = str(_TAKEN_OUT) if _TAKEN_OUT.exists() else _OF_DEBIAN
GOGO = re.compile(r'^(import "[^"]*gogo[^"]*"|option \(gogoproto\.)', re.IGNORECASE)


@dataclass(frozen=True)
class Api:
    """`messages` is api_pb2, `services` api_pb2_grpc, `grpc` the library itself."""

    messages: Any
    services: Any
    grpc: Any


@functools.cache
def api() -> Api:
    """Generate and import the client, once per process."""
    requires(PROTO)
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    target = tempfile.mkdtemp(prefix="rw-cri-")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _generate(Path(target))
        sys.path.insert(0, target)
        try:
            return Api(*map(importlib.import_module, ("api_pb2", "api_pb2_grpc", "grpc")))
        finally:
            sys.path.remove(target)
            shutil.rmtree(target)


def _generate(target: Path) -> None:
    protoc = importlib.import_module("grpc_tools.protoc")
    kept = [line for line in Path(PROTO).read_text().splitlines() if not GOGO.match(line)]
    (target / "api.proto").write_text("\n".join(kept))
    outputs = [f"-I{target}", f"--python_out={target}", f"--grpc_python_out={target}"]
    if protoc.main(["protoc", *outputs, str(target / "api.proto")]) != 0:
        raise AssertionError(f"protoc could not read Debian's {PROTO}")
