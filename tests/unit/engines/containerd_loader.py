"""What containerd 2 makes of its files: a model, by its sources (see loaded_files), and cases.

tests/worlds compares it with the containerd that is installed there.
"""

import tomllib
from pathlib import Path
from typing import Any

from runc_wrap.engines import toml_text

OLD, NEW = "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime"
NEWEST = {1: 3, 2: 3, 3: 4}  # minor release of containerd 2: the configuration's version


class RefusedError(Exception):
    """Such a containerd does not start."""


def runc(plugin: str, *, cgroup: str = "true") -> str:
    return f"[plugins.'{plugin}'.containerd.runtimes.runc.options]\nSystemdCgroup = {cgroup}\n"


def loaded(config: Path, minor: int) -> dict[str, Any]:
    """Return the CRI's section that containerd 2.MINOR has in force, {} without a main file."""
    if not config.exists():
        return {}
    files, known = [config], {config}
    whole: dict[str, Any] = {"version": NEWEST[minor]}
    root = 0
    for path in files:
        table = tomllib.loads(path.read_text())
        version = table.get("version", 0)
        if version < 2:
            table = _of_version_1(table, whole["version"] if minor < 3 else version)
        if minor > 2:
            root = root or version
            if version > root:
                raise RefusedError(f"{path}: {version} > {root}")
            table = {**table, "plugins": _migrated(table.get("plugins", {}))}
            table["version"] = max(version, NEWEST[minor])
        whole = toml_text.merged(whole, table)
        for pattern in table.get("imports", []):
            found = sorted(config.parent.glob(pattern.removeprefix(f"{config.parent}/")))
            if "*" not in pattern and not found:
                raise RefusedError(f"{pattern} is missing")
            files += [each for each in found if each not in known]
            known |= set(found)
    if whole["version"] > NEWEST[minor]:  # of all files together
        raise RefusedError(f"version {whole['version']}")
    plugins = whole.get("plugins", {})
    if whole["version"] < 3:
        plugins = _migrated(plugins)
    return dict(plugins.get(NEW, {}).get("containerd", {}))


def _of_version_1(table: dict[str, Any], version: int) -> dict[str, Any]:
    plugins = {OLD if k == "cri" else k: v for k, v in table.get("plugins", {}).items()}
    return {**table, "version": version, "plugins": plugins}


def _migrated(plugins: dict[str, Any]) -> dict[str, Any]:
    old, new = (plugins.get(name, {}).get("containerd", {}) for name in (OLD, NEW))
    return {NEW: {"containerd": {**old, **new}}}


def without_ours(section: dict[str, Any]) -> dict[str, Any]:
    runtimes = {k: v for k, v in section.get("runtimes", {}).items() if k != "runc-wrap"}
    return {**section, "runtimes": runtimes}


MAINS = {
    "none": None,
    "no version, imports": "imports = ['conf.d/*.toml']\n" + runc("cri"),
    "1": "version = 1\n" + runc("cri"),
    "comments": "# disabled_plugins = ['cri']\n",
    "3": "version = 3\n",
    "2, imports": "version = 2\nimports = ['conf.d/*.toml']\n" + runc(OLD),
    "3, imports": "version = 3\nimports = ['conf.d/*.toml']\n",
    "3, imports, runc": "version = 3\nimports = ['conf.d/*.toml']\n" + runc(NEW),
    "4, imports": "version = 4\nimports = ['conf.d/*.toml']\n",
}
DROP_INS = {
    "none": None,
    "no version": runc("cri"),
    "2, runc": "version = 2\n" + runc(OLD),
    "3, runc": "version = 3\n" + runc(NEW),
    "4, runc": "version = 4\n" + runc(NEW),
    "other": f"version = 3\n[plugins.'{NEW}'.containerd.runtimes.x]\nruntime_type = 'io.x.v1'\n",
}
