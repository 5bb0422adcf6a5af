"""Before a package is removed: names that engines will still call lead to the real runtime.

    python -I -m runc_wrap.installation.package_removal

The package's scripts run it (deploy/packages/node/leave-path); `uninstall` does the same for other
installations. It changes no engine's configuration, as no package's script may. Exit status 3: the
package must not be removed now; stderr says why.
"""

import sys
from collections.abc import Iterator

from runc_wrap import safe_text
from runc_wrap.engines.registration import registration_state
from runc_wrap.host import files
from runc_wrap.installation import uninstall_obstacles
from runc_wrap.node import installed_programs, paths

REFUSED = 3
_LONGEST = 1000  # characters of a line: it names containers


def main(places: paths.Places) -> int:
    """Hand over what is still called; return the exit status."""
    if why := uninstall_obstacles.observed(places):
        return _refuse(why)
    called = dict(_called(places))
    runtime = installed_programs.real_runtime(places)
    if called and runtime is None:
        return _refuse(
            f"{', '.join(called)} is still called ({'; '.join(called.values())}), and there is no "
            "runc or crun to which it could lead. Install one and run `runc-wrapctl apply`"
        )
    for name, why in called.items():
        path = places.wrapper.with_name(name)
        files.replace_link(path, str(runtime))
        _say(f"{path} stays and leads to {runtime}, without runc-wrap: {why}")
    if why := uninstall_obstacles.foreground(places):
        _say(f"{why}.")
    return 0


def _called(places: paths.Places) -> Iterator[tuple[str, str]]:
    """Yield each name in PREFIX/bin that an engine calls, will call, or may call, and why."""
    why, unsure = uninstall_obstacles.calls(places)
    if unsure:
        yield from ((name, unsure[0]) for name in uninstall_obstacles.names(places))
    yield from why.items()
    for where, name in registration_state.handlers(places):
        how = (
            f"{where.config} has it; to take that back, install runc-wrap again, run "
            f"`runc-wrapctl engine remove {where.engine} --handler {name}`, and remove it again"
        )
        yield name, how


def _refuse(why: str) -> int:
    _say(f"not removed: {why}.")
    return REFUSED


def _say(line: str) -> None:
    sys.stderr.write(f"runc-wrap: {safe_text.name(line, _LONGEST)}\n")


if __name__ == "__main__":
    sys.exit(main(paths.installed()))
