"""Where audit records come from, one module for each place; reading them is the same for all.

A source for a report has `read(since, until)`, which yields Sighting and Lost about in time order,
and may raise Unavailable. netlink is the agent's, live.
"""


class Unavailable(Exception):
    """The source is not there or may not be read; the text says which and why, in one sentence."""
