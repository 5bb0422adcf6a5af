"""The optional service: fast decisions, live evidence, metrics. Nothing depends on its running.

start.py starts each process and lists the roles. The keeper holds descriptors and starts two
workers: one answers launchers (decide), the other answers observed containers and records evidence
(evidence_worker, with observe and record). Short-lived processes serve them: an inspector reads
callers' memory, a program makes the metrics' text, drain holds what an older agent left.

They run all the time, on every node, so they import `posix` and `_socket` instead of os and socket,
and have a TYPE_CHECKING constant instead of typing's. pyproject.toml has a contract of what each
may load.
"""
