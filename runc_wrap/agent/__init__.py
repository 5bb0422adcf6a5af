"""The optional service: fast decisions, live evidence, metrics. Nothing depends on its running.

start.py starts each of its processes, whose roles it lists. The keeper holds descriptors and starts
two workers: one answers launchers (decide), one answers observed containers and writes down what is
seen (evidence_worker, with observe and record). Short-lived ones serve them: an inspector reads a
caller's memory, a program makes the metrics' text, drain holds what an older agent left.

They run all the time, on every node: `posix` and `_socket` stand for os and socket, a TYPE_CHECKING
of their own for typing. What each may load is a contract in pyproject.toml.
"""
