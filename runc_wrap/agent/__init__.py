"""The optional service: fast decisions, live evidence, metrics. Nothing depends on its running.

Three processes, all started by start.py: the keeper holds descriptors and starts the two others,
one of which answers launchers and one gathers evidence. They run all the time, so they import
little: `posix` and `_socket` for os and socket, TYPE_CHECKING of their own for typing.
"""
