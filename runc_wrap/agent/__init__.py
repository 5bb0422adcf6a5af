"""Two optional services: decide (fast decisions) and observe (live evidence, metrics).

Each is one plain process, which start.py starts; an init system supervises it. Nothing depends on
their running. Short-lived processes serve observe: an inspector reads callers' memory, a program
makes the metrics' text.

They run all the time, on every node, so they import `posix` and `_socket` instead of os and socket.
What decide loads has a TYPE_CHECKING constant instead of typing's; observe has typing in any case,
by socket and mmap. pyproject.toml has a contract of what each may load.
"""
