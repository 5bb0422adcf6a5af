"""What install.sh would do after making a release: a line each; changes nothing.

python -I -S …/dry_run.py … runs with any Python from 3.11 on, in a checkout or an archive.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path


def sentences(prefix: Path, units: Path, *, has_services: bool) -> Iterator[str]:
    """Yield what would be done, in order; `units` is the directory of the release's units."""
    from runc_wrap.host import systemd  # noqa: PLC0415 - main adds the path
    from runc_wrap.installation import links, services  # noqa: PLC0415

    yield f"compile the policy in {prefix}/etc"
    current = prefix / "lib" / "current"
    now = current.readlink() if current.is_symlink() else "nothing"
    yield f"switch {current} to the new release; in force is {now}"
    names = services.texts(units, prefix)
    if why := services.obstacle(prefix, names) if has_services else "--no-services":
        yield f"install no services: {why}"
    else:
        yield f"write, enable and start or restart {', '.join(names)} in {systemd.UNITS}"
    if linked := links.wanted(prefix, prefix):
        yield f"link {' and '.join(map(str, linked))}, and manual and completions beside them"
    yield "run three containers, and go back to what is in force now if any step fails"


def main(words: Sequence[str]) -> None:
    """Print the sentences."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--prefix", type=Path, required=True)
    parser.add_argument("--units", type=Path, required=True)
    parser.add_argument("--no-services", action="store_true")
    options = parser.parse_args(words)
    sys.path.append(str(Path(__file__).parents[2]))
    for each in sentences(options.prefix, options.units, has_services=not options.no_services):
        sys.stdout.write(f"would {each}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
