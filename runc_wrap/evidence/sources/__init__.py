"""Sources of audit records, one module for each; all are read in the same way.

`read` of a source for a report yields Sighting and LossSpan roughly in time order, perhaps older
ones than are asked for, and may raise Unavailable. audit_netlink is the agent's, live.
"""


class Unavailable(Exception):
    """The source does not exist or may not be read; the text says which and why, in a sentence."""
