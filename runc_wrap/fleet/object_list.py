"""Lists of the API's objects, page by page, by kubectl's `get --raw`: as the API server sends them.

kubectl's own output decodes each object into its own form. Of 5,000 nodes, each with the images
that it has, that took 12 s of CPU and 700 MB; kubectl passes the same list on in 0.2 s.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from runc_wrap.fleet.kubectl import KubectlError, TooLargeError
from runc_wrap.hotpath import json_codec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.fleet.kubectl import Kubectl

Json = dict[str, Any]
NODES = "/api/v1/nodes"
_PAGE = 500  # objects, as of kubectl's own lists
_FEWER = 10  # times fewer, where nodes have made theirs so large that a page is too large
_LARGEST = 64 << 20  # bytes of a page
_MOST_CONTAINERS = 4_000_000  # lists and objects of one: the largest node has 500,000


def pods(namespace: str) -> str:
    """Return the path of a namespace's pods."""
    return f"/api/v1/namespaces/{quote(namespace, safe='')}/pods"


def items(kubectl: Kubectl, path: str, selector: str, seconds: float) -> Iterator[Json]:
    """Yield the objects at a path of the API that meet a label selector, all if it is "".

    `get --raw` leaves out the path of the kubeconfig's server. Raises KubectlError, also if it
    takes longer.
    """
    until = time.monotonic() + seconds
    path = kubectl.server_path + path
    limit, following = _PAGE, ""
    while time.monotonic() < until:
        words = {"limit": limit, "labelSelector": selector, "continue": following}
        query = urlencode({name: value for name, value in words.items() if value})
        try:
            found = _page(kubectl, f"{path}?{query}", seconds)
        except TooLargeError:
            limit //= _FEWER
            if not limit:
                raise
            continue
        yield from (one for one in found["items"] if isinstance(one, dict))
        following = _following(found)
        if not following:
            return
    raise KubectlError(f"the list of {path} did not end within {seconds:g} s")


def _page(kubectl: Kubectl, path: str, seconds: float) -> Json:
    printed = kubectl.run("get", "--raw", path, seconds=seconds, largest=_LARGEST)
    if printed.count(b"{") + printed.count(b"[") > _MOST_CONTAINERS:
        raise TooLargeError("the API server's list holds more than fits")
    try:
        found = json_codec.loads(printed)
    except json_codec.Unreadable as error:
        raise KubectlError(f"the API server's list is not JSON ({error})") from None
    if not isinstance(found, dict) or not isinstance(found.get("items"), list):
        raise KubectlError("the API server's answer is no list")
    return found


def _following(found: Json) -> str:
    """Return the token of the next page, "" at the end."""
    metadata = found.get("metadata")
    token = metadata.get("continue") if isinstance(metadata, dict) else None
    return token if isinstance(token, str) else ""
