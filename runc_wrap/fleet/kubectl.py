"""Running the caller's own kubectl: it has the credentials, the proxies and the transport.

It is found by PATH and gets the caller's environment, which its credentials may need. Its time and
what it prints are bounded. The API's objects are listed page by page by its `get --raw`, as the API
server sends them: kubectl's own output decodes each object into its own form. Of 5,000 nodes, each
with the images that it has, that took 12 s of CPU and 700 MB; kubectl passes the same list on in
0.2 s.
"""

import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from runc_wrap import safe_text
from runc_wrap.documents.constraints import Key
from runc_wrap.documents.reader import DocumentError, read, record, taken
from runc_wrap.failure import Failure
from runc_wrap.host import program

_MOST_SAID = 1000  # characters
_ENDED = "command terminated with exit code"
_VIEW = ("config", "view", "--minify", "--output", "jsonpath={.clusters[0].cluster.server}")
_VIEWING = 60.0  # seconds
_LARGEST_VIEW = 1 << 16
ApiObject = TypeVar("ApiObject")
NODES = "/api/v1/nodes"
_PAGE = 500  # objects, as of kubectl's own lists
_FEWER = 10  # times fewer, where nodes have made theirs so large that a page is too large
_LARGEST = 64 << 20  # bytes of a page
_MOST_CONTAINERS = 4_000_000  # lists and objects of one: the largest node has 500,000


class KubectlError(Failure):
    """kubectl could not do it; the message is a sentence."""


class TooLargeError(KubectlError):
    """It prints more than may be read."""


@dataclass(frozen=True)
class Kubectl:
    """The program, and the words that say which cluster and as whom (--context and the like).

    `namespace` is the installer's.
    """

    path: str
    words: tuple[str, ...] = ()
    namespace: str = ""
    given_up: threading.Event = field(default_factory=threading.Event)  # ends all that run

    @cached_property
    def server_path(self) -> str:
        """The path of the kubeconfig's server, as of a gateway to several clusters; often "".

        Asked for once in a command: each start of kubectl takes 80 ms.
        """
        try:
            printed = self.run(*_VIEW, seconds=_VIEWING, largest=_LARGEST_VIEW)
            path = urlsplit(printed.decode(errors="replace").strip()).path
        except (KubectlError, ValueError):  # without a kubeconfig: in a pod, say
            return ""
        return path.rstrip("/") if path.startswith("/") else ""

    def run(self, *words: str, seconds: float, largest: int) -> bytes:
        """Return what it printed. Raises KubectlError, also if it failed."""
        ended = self.ended(*words, seconds=seconds, largest=largest)
        if ended.status:
            raise KubectlError(said(ended.complaint) or ended.said)
        return ended.raw

    def ended(self, *words: str, seconds: float, largest: int, given: bytes = b"") -> program.Ended:
        """Return how it ended; `given` is its stdin.

        Raises KubectlError if it cannot be started or takes longer, TooLargeError if it prints
        more than `largest`.
        """
        ended = program.run(
            self.path, *self.words, *words, seconds=seconds, stdin=given, environment=os.environ,
            largest=largest, is_given_up=self.given_up.is_set,
        )  # fmt: skip
        if ended.status == program.TOO_MUCH:
            raise TooLargeError(f"it answered with more than {largest >> 20} MiB")
        if ended.status in (program.HUNG, program.GIVEN_UP):
            raise KubectlError(ended.said)
        return ended


def found(words: Sequence[str], namespace: str) -> Kubectl:
    """Return the kubectl of the caller's PATH. Raises KubectlError."""
    path = shutil.which("kubectl")
    if path is None:
        raise KubectlError("kubectl is not in PATH; install it, or call the plugin through it")
    return Kubectl(path, tuple(words), namespace)


def said(complaint: str) -> str:
    """Return the last line of what kubectl said, whole if it is not endless.

    Where that tells only the status of what was run in a pod, the one before is what that said.
    """
    lines = [" ".join(line.split()) for line in complaint.splitlines() if line.strip()]
    number = 2 if lines and lines[-1].startswith(_ENDED) else 1
    return safe_text.fitted(" ".join(lines[-number:]), _MOST_SAID)


@record
class _ListMetadata:
    following: Annotated[str, Key("continue")] = ""  # the next page's token, "" at the end


@record
class _Page:
    items: list[Any]
    metadata: _ListMetadata = _ListMetadata()


def pods(namespace: str) -> str:
    """Return the path of a namespace's pods."""
    return f"/api/v1/namespaces/{quote(namespace, safe='')}/pods"


def items(
    kubectl: Kubectl, path: str, kind: type[ApiObject], selector: str, seconds: float
) -> Iterator[ApiObject]:
    """Yield the objects at a path of the API that meet a label selector, all if it is "".

    `kind` is the record that each becomes. `get --raw` leaves out the path of the kubeconfig's
    server. Raises KubectlError, also if it takes longer.
    """
    until = time.monotonic() + seconds
    path = kubectl.server_path + path
    limit, following = _PAGE, ""
    while time.monotonic() < until:
        words = {"limit": limit, "labelSelector": selector, "continue": following}
        query = urlencode({name: value for name, value in words.items() if value})
        try:
            page = _page(kubectl, f"{path}?{query}", seconds)
            yield from taken(list[kind], page.items)  # type: ignore[valid-type]
        except TooLargeError:
            limit //= _FEWER
            if not limit:
                raise
            continue
        except DocumentError as error:
            raise KubectlError(f"the API server's list cannot be used: {error}") from None
        following = page.metadata.following
        if not following:
            return
    raise KubectlError(f"the list of {path} did not end within {seconds:g} s")


def _page(kubectl: Kubectl, path: str, seconds: float) -> _Page:
    printed = kubectl.run("get", "--raw", path, seconds=seconds, largest=_LARGEST)
    if printed.count(b"{") + printed.count(b"[") > _MOST_CONTAINERS:
        raise TooLargeError("the API server's list holds more than fits")
    return read(_Page, printed)
