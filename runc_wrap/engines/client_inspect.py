"""All containers of Docker or Podman, as the engine's own client shows them."""

from __future__ import annotations

from runc_wrap.host import program

_AT_ONCE = 100  # containers in one command line
_TRIES = 3  # a container that is removed meanwhile makes `inspect` fail


def inspected(client: str, *columns: str) -> list[list[str]] | None:
    """Return these columns of `inspect` for each container, None if the engine fails."""
    shown = "\t".join(f"{{{{.{column}}}}}" for column in columns)
    for _ in range(_TRIES):
        listed = program.output(client, "ps", "--all", "--quiet", "--no-trunc")
        if listed is None:
            return None
        names = listed.split()
        batches = [names[at : at + _AT_ONCE] for at in range(0, len(names), _AT_ONCE)]
        words = ("inspect", "--type", "container", "--format", shown)
        printed = [program.output(client, *words, *batch) for batch in batches]
        if None not in printed:
            rows = [line.split("\t") for text in printed for line in (text or "").splitlines()]
            return [row for row in rows if len(row) == len(columns)]
    return None
