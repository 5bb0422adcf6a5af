"""The exception by which a command ends with a sentence: what was found, wanted, what to try."""


class Failure(Exception):
    """What was asked for cannot be done; the message is the sentence for the user.

    `status` is the exit status of a command that ends so: 2, it could not run. A subclass exists
    only where a caller has to tell one failure from the others.
    """

    status = 2
