"""The error of a policy that cannot be put in force."""

from __future__ import annotations

from runc_wrap.failure import Failure


class PolicyError(Failure):
    """The policy cannot be put in force; the message has one line for each problem."""
