"""What engines with a command like Docker's have in common."""

from abc import ABC, abstractmethod
from typing import Any

from harness.kernel import process_status


class Containers(ABC):
    """The containers of an engine, by name or id."""

    @abstractmethod
    def start(self, *words: Any, **more: Any) -> str:
        """Start a container of the test's image in the background; return its id."""

    @abstractmethod
    def inspected(self, container: str, field: str) -> str:
        """Return a field of a container, such as State.Pid."""

    def pid(self, container: str) -> int:
        """Return the host's pid of the container's first process."""
        return int(self.inspected(container, "State.Pid"))

    def seccomp(self, container: str) -> int:
        """Return the Seccomp value of a container's first process."""
        return process_status.seccomp(self.pid(container))

    def started(self, *words: Any, **more: Any) -> int:
        """Start a container; return the Seccomp value of its first process."""
        return self.seccomp(self.start(*words, **more))
