# ruff: noqa: T201 - what it prints is what the test compares
"""Threads, processes, asyncio, a subprocess, SQLite and a listening socket."""

import asyncio
import concurrent.futures
import http.server
import sqlite3
import subprocess
import threading
import urllib.request


async def spawned() -> int:
    """Return the exit status of a program that asyncio waits for."""
    return await (await asyncio.create_subprocess_exec("true")).wait()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *_: object) -> None:
        """Leave stderr alone."""


def served() -> int:
    """Return the status that our own HTTP server answers."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/") as answer:
        return int(answer.status)


if __name__ == "__main__":
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        print("threads", sum(threads.map(abs, range(10))))
    with concurrent.futures.ProcessPoolExecutor(2) as processes:
        print("processes", sum(processes.map(abs, range(10))))
    print("asyncio", asyncio.run(spawned()))
    print("subprocess", subprocess.run(["true"], check=False).returncode)
    print("sqlite", *sqlite3.connect("/tmp/base").execute("select 42").fetchone())
    print("http", served())
