"""The program of the sixth engine, which exists only in the tests.

Its file has lines of two forms, `runtime NAME PATH` and `default NAME`. The daemon reads it when it
is started; its client starts containers by the runtimes that the daemon has read.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

STATE = Path("/run/sixth")
LOADED = STATE / "loaded"
DENIED = {"names": ["ptrace"], "action": "SCMP_ACT_ERRNO"}
BUT_TO_ADMINS = {"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}


def told(text: str) -> tuple[str | None, dict[str, str]]:
    """Return the default and the runtimes of a file. Raises ValueError for any other line."""
    default, runtimes = None, {}
    for line in filter(None, text.splitlines()):
        match line.split():
            case ["runtime", name, path]:
                runtimes[name] = path
            case ["default", name]:
                default = name
            case _:
                raise ValueError(f"not a line of mine: {line}")
    return default, runtimes


def show(path: str) -> None:
    sys.stdout.write(json.dumps(told(Path(path).read_text() if Path(path).exists() else "")))


def serve(config: str) -> None:
    STATE.mkdir(exist_ok=True)
    text = Path(config).read_text()
    told(text)
    LOADED.write_text(text)
    signal.pause()


def list_() -> None:
    for path in sorted(STATE.glob("*/handler")):
        sys.stdout.write(f"{path.parent.name} {path.read_text()}\n")


def remove(name: str) -> None:
    subprocess.run(
        [_runtime((STATE / name / "handler").read_text()), "delete", "-f", name], check=True
    )
    subprocess.run(["rm", "-r", STATE / name], check=True)


def run(name: str, handler: str, profile: str, caps: str, *args: str) -> None:
    """Start a container; `handler` "" is the default, `profile` is `none` or `default`.

    `args` are its root file system and its command.
    """
    handler = handler or told(LOADED.read_text())[0] or "runc"
    bundle = STATE / name
    bundle.mkdir()
    subprocess.run(["runc", "spec", "--bundle", bundle], check=True)
    config = json.loads((bundle / "config.json").read_text())
    _fill(config, [each for each in caps.split(",") if each], *args)
    if profile == "default":
        rules = [DENIED, *([] if "CAP_SYS_ADMIN" in caps else [BUT_TO_ADMINS])]
        config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}
    (bundle / "config.json").write_text(json.dumps(config))
    words = [_runtime(handler), "run", "--detach", "--bundle", str(bundle), name]
    with (bundle / "log").open("w") as log:  # which the container has open, too
        done = subprocess.run(words, check=False, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    if done.returncode:
        sys.stderr.write((bundle / "log").read_text())
        subprocess.run(["rm", "-r", bundle], check=True)
        raise SystemExit(1)
    (bundle / "handler").write_text(handler)


def _fill(config: dict[str, Any], caps: list[str], root: str, command: str) -> None:
    token = os.environ.get("RUNC_WRAP_CAPTURE")
    config["root"] = {"path": root, "readonly": True}
    config["process"] |= {
        "args": [command], "terminal": False, "noNewPrivileges": False,
        "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), caps),
        "env": [f"RUNC_WRAP_CAPTURE={token}"] if token else [],
    }  # fmt: skip


def _runtime(handler: str) -> str:
    return told(LOADED.read_text())[1][handler]


if __name__ == "__main__":
    VERBS: dict[str, Callable[..., None]] = {
        "show": show,
        "serve": serve,
        "list": list_,
        "remove": remove,
        "run": run,
    }
    if sys.argv[1] == "--version":
        sys.stdout.write("sixth version 29.0.0\n")
    else:
        VERBS[sys.argv[1]](*sys.argv[2:])
