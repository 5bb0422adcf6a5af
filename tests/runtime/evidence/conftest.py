"""What the kernel said does not depend on the runtime, unless a test says so (BOTH)."""

import pytest

from tests.runtime.conftest import Lab, Pair


@pytest.fixture
def pair(request: pytest.FixtureRequest, pairs: dict[str, Pair]) -> Pair:
    return pairs[getattr(request, "param", "runc")]


@pytest.fixture
def in_audit(lab: Lab) -> None:
    lab.mode("audit")


IN_AUDIT = pytest.mark.usefixtures("in_audit")
