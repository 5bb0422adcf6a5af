"""What previous releases compiled, which did not report installations of filters."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from runc_wrap.hotpath import json_codec, policy_file
from runc_wrap.profiles.mode_profiles import modes

if TYPE_CHECKING:
    from harness.node.install import Installed


def put_in_force(installed: Installed, mode: str) -> None:
    """Put the profiles of one mode in force as the previous release compiled them."""
    profiles = installed.prefix / f"var/policy.{policy_file.VERSION}/current/profiles"
    for one in profiles.glob(f"*+{mode}.json"):
        enforced = one.with_name(one.name.replace(f"+{mode}.json", "+enforce.json"))
        made = modes.former(json.loads(one.read_bytes()), json.loads(enforced.read_bytes()), mode)
        one.with_suffix(".new").write_bytes(json_codec.dumps(made))
        one.with_suffix(".new").replace(one)
