"""Lists of the API's objects, page by page, by kubectl's `get --raw`: as the API server sends them.

kubectl's own output decodes each object into its own form. Of 5,000 nodes, each with the images
that it has, that took 12 s of CPU and 700 MB; kubectl passes the same list on in 0.2 s.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from urllib.parse import quote, urlencode

from runc_wrap.documents.constraints import Key
from runc_wrap.documents.reader import DocumentError, read, record, taken
from runc_wrap.fleet.kubectl import KubectlError, TooLargeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.fleet.kubectl import Kubectl

ApiObject = TypeVar("ApiObject")
NODES = "/api/v1/nodes"
_PAGE = 500  # objects, as of kubectl's own lists
_FEWER = 10  # times fewer, where nodes have made theirs so large that a page is too large
_LARGEST = 64 << 20  # bytes of a page
_MOST_CONTAINERS = 4_000_000  # lists and objects of one: the largest node has 500,000


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
