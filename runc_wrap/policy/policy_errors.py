"""The error of a policy that cannot be put in force."""


class PolicyError(ValueError):
    """The policy cannot be put in force; the message has one line for each problem."""
