"""What the kernel said does not depend on the runtime, unless a test says so (BOTH)."""

import pytest

from tests.runtime.conftest import Pair


@pytest.fixture
def pair(request: pytest.FixtureRequest, pairs: dict[str, Pair]) -> Pair:
    return pairs[getattr(request, "param", "runc")]
