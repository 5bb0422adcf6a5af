"""Sources of audit records, one module for each; all are read in the same way.

A source for a report has `read(since, until)`, which yields Sighting and LossSpan roughly in time
order, and may raise Unavailable. audit_netlink is the agent's, live.
"""


class Unavailable(Exception):
    """The source does not exist or may not be read; the text says which and why, in a sentence."""
