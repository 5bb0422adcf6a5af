"""Groups containers into workloads: instances of the same definition.

In Kubernetes a workload is (namespace, pod name without its owner's suffix, container, image):

    web-7d9c8b5f6-x2k4p         Deployment: a ReplicaSet's hash and five random characters -> web
    agent-x2k4p                 DaemonSet, Job, ReplicaSet of its own                      -> agent
    backup-29384756-x2k4p       CronJob: the minute, then the Job's random characters      -> backup
    db-0                        StatefulSet: an ordinal                                    -> db

Random characters and hashes use special alphabets (apimachinery util/rand), so words are rarely
taken for them; a bare pod called redis-6 is reported as redis. Elsewhere it is the container's name
with its image; without a name the image alone; without either, the id.
"""

import re
from typing import NamedTuple

from runc_wrap.ledger.decision_record import Record

# SafeEncodeString maps decimal digits to these ten characters
_RANDOM = re.compile(r"(.+)-[bcdfghjklmnpqrstvwxz2456789]{5}")
_HASH = re.compile(r"(.+)-[bcdf4-9]{5,10}")
_MINUTE = re.compile(r"(.+)-\d{8}")
_ORDINAL = re.compile(r"(.+)-\d{1,4}")
_SHORT = 12  # of an id's characters, as engines show them


class Workload(NamedTuple):
    """The names that containers share; None if unknown."""

    namespace: str | None
    pod: str | None
    container: str | None
    image: str | None

    @property
    def name(self) -> str:
        """The name to show: namespace/pod/container, or the image."""
        parts = [part for part in self[:3] if part]
        return "/".join(parts) or self.image or "-"

    def distinct_name(self, *, is_shared: bool) -> str:
        """Return its name for `suggest`, with its image if another workload shares its name."""
        return f"{self.name}@{self.image}" if is_shared and self.image else self.name


def of(record: Record) -> Workload:
    """Return the workload that a decided container belongs to."""
    container = record.container
    if container is None and record.image is None and record.pod is None:
        container = record.id[:_SHORT] if len(record.id) == 64 else record.id  # noqa: PLR2004 - engines' ids are 32 bytes in hexadecimal
    pod = None if record.pod is None else without_owner(record.pod)
    return Workload(record.namespace, pod, container, record.image)


def without_owner(pod: str) -> str:
    """Return a pod's name without its owner's suffix."""
    random = _RANDOM.fullmatch(pod)
    if random is None:
        ordinal = _ORDINAL.fullmatch(pod)
        return ordinal[1] if ordinal else pod
    rest = random[1]
    further = _HASH.fullmatch(rest) or _MINUTE.fullmatch(rest)
    return further[1] if further else rest
