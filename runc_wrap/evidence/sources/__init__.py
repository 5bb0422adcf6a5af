"""Where audit records come from, one module each; netlink is lean enough to stay resident.

A source for gathering has `read(since, until)`, which yields Sighting and Lost about in time order,
and may raise Unavailable.
"""


class Unavailable(Exception):
    """The source is not there or may not be read; the text says which and why, in one sentence."""
