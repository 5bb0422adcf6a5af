"""Writes runtime.txt and build.txt beside this file: what install.sh installs, by its hashes.

    make lock       after a change of pyproject.toml or constraints.txt

pip itself resolves the pinned requirements for every interpreter and kind of machine that is
supported, and reports which wheel it would take and its hash. Nothing is installed. The index is
the one that pip is set up with; its name stands nowhere in what is written.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
MACHINES = ("x86_64", "aarch64")
# An installer takes the wheel for the newest C library that the machine has: one for each of these.
GLIBC = (17, 28, 34, 39)
MUSL = (2,)
HEAD = """\
# Written by `make lock`: {what}, for Python {first} to {last}
# on amd64 and arm64. Do not edit: change pyproject.toml or constraints.txt instead.
"""

Found = dict[tuple[str, str], set[str]]  # (name, version) -> hashes


def platforms(machine: str) -> list[list[str]]:
    """Return the tags that each kind of C library accepts, the best first."""
    glibc = [
        [f"manylinux_2_{minor}_{machine}" for minor in range(newest, 4, -1)]
        + [f"manylinux2014_{machine}", f"manylinux2010_{machine}", f"linux_{machine}"]
        for newest in GLIBC
    ]
    musl = [[f"musllinux_1_{minor}_{machine}" for minor in range(newest, 0, -1)] for newest in MUSL]
    return glibc + musl


def resolved(wanted: list[str], python: str, tags: list[str]) -> list[dict[str, Any]]:
    """Return what pip would install: [{"metadata": {...}, "download_info": {...}}]."""
    with tempfile.TemporaryDirectory() as place:
        report = Path(place) / "report.json"
        words = ["install", "--quiet", "--disable-pip-version-check", "--dry-run"]
        words += ["--ignore-installed", "--only-binary", ":all:", "--target", place]
        words += ["--python-version", python, "--constraint", str(ROOT / "constraints.txt")]
        words += ["--report", str(report), *(f"--platform={tag}" for tag in tags), *wanted]
        subprocess.run([sys.executable, "-m", "pip", *words], check=True)
        return list(json.loads(report.read_text())["install"])


def locked(wanted: list[str]) -> Found:
    """Return every wheel that some supported machine would take."""
    targets = [
        (python, tags)
        for python, machine in product(PYTHONS, MACHINES)
        for tags in platforms(machine)
    ]
    found: Found = defaultdict(set)
    with ThreadPoolExecutor(2) as several:
        for items in several.map(lambda target: resolved(wanted, *target), targets):
            for item in items:
                name = item["metadata"]["name"].lower().replace("_", "-")
                key = name, item["metadata"]["version"]
                found[key].add(item["download_info"]["archive_info"]["hashes"]["sha256"])
    return found


def written(what: str, found: Found) -> str:
    """Return the file's text. SystemExit where one package has two versions: it is not pinned."""
    names = [name for name, _ in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SystemExit(f"not pinned in constraints.txt: {', '.join(twice)}")
    lines = [HEAD.format(what=what, first=PYTHONS[0], last=PYTHONS[-1])]
    for (name, version), hashes in sorted(found.items()):
        each = "".join(f" \\\n    --hash=sha256:{one}" for one in sorted(hashes))
        lines.append(f"{name}=={version}{each}\n")
    return "".join(lines)


def main() -> None:
    """Write both files."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for name, what, wanted in (
        ("runtime.txt", "what runc-wrapctl runs with", project["project"]["dependencies"]),
        ("build.txt", "what the package is built with", project["build-system"]["requires"]),
    ):
        (HERE / name).write_text(written(what, locked(wanted)))


if __name__ == "__main__":
    main()
