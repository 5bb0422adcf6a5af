"""Which containers/common a release of Podman or Buildah is built with.

Source: go.mod at every release tag of Podman from v4.2.0 to v5.8.2 and of Buildah from v1.27.0 to
v1.44.0, and Podman's main of May 2026 for 6.0. There is an entry for each series in which the
profile changed. The profiles of releases older than every entry are unknown.
"""

from runc_wrap.host import engine_names
from runc_wrap.profiles.engine_versions import parse

# engine -> {its first release: the containers/common it is built with}, newest first
_BUILT_WITH = {
    engine_names.PODMAN.name: {
        "6.0.0": "0.68.0",
        "5.8.0": "0.67.0",
        "5.5.0": "0.63.0",
        "5.2.0": "0.60.0",
        "5.0.0": "0.58.0",
        "4.2.0": "0.49.1",
    },
    engine_names.BUILDAH.name: {
        "1.44.0": "0.68.0",
        "1.43.0": "0.67.0",
        "1.40.0": "0.63.0",
        "1.37.0": "0.60.0",
        "1.35.0": "0.58.0",
        "1.27.0": "0.49.1",
    },
}


def built_with(engine: str, version: str) -> str | None:
    """Return a containers/common with the default profile of this release, None if unknown."""
    release = parse(version)
    table = _BUILT_WITH.get(engine, {})
    return next((common for first, common in table.items() if release >= parse(first)), None)
