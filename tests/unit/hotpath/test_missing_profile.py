"""A pod's developer reads the refusal in the pod's Event, and cannot write to any node."""

from pathlib import Path
from typing import Any

import pytest

from runc_wrap.hotpath import policy_file
from runc_wrap.hotpath.errors import Refusal


def test_a_profile_that_is_missing_comes_from_the_configmap_in_a_cluster(tmp_path: Path) -> None:
    policy: Any = {"directory": str(tmp_path), "loaded": {}}
    with pytest.raises(Refusal, match=r"localhost/<file> is a key of the ConfigMap runc-wrap-pro"):
        policy_file.load_profile(policy, "localhost/web.json", "enforce")


def test_a_built_in_profile_that_was_deleted_is_compiled_again(tmp_path: Path) -> None:
    policy: Any = {"directory": str(tmp_path), "loaded": {}}
    with pytest.raises(Refusal, match=r"is missing\. Run `runc-wrapctl apply` to compile"):
        policy_file.load_profile(policy, "containerd@1.7.24", "enforce")
