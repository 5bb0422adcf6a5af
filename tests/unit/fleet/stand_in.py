"""A stand-in for kubectl in PATH: lists nodes and pods from files, answers exec by files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

_SCRIPT = """#!/bin/sh
cd {place}
printf '%s\\n' "$*" >> calls
for word; do
    [ "$last" = --selector ] && selector=$(printf %s "$word" | tr / _)
    last=$word
done
[ -e "nodes $selector" ] && exec cat "nodes $selector"
for word; do
    case $word in
        nodes|pods|annotate) exec cat "$word" ;;
        pod-*) pod=$word ;;
    esac
done
printf x >> "$pod.attempts"
[ -e "$pod.sh" ] && . "./$pod.sh"
[ -e "$pod.json" ] && exec cat "$pod.json"
echo "Error from server (NotFound): pods \\"$pod\\" not found" >&2
exit 1
"""
_READY = ("true", "0.2.0", "ready 1f0c5b2e9a44", "True")


def _words(*words: str) -> str:
    """Return a line of quoted words, as kubectl makes it from the plugin's template."""
    return "".join(map(json.dumps, words))


class StandIn:
    """Writes the program, and what it answers."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.mkdir()
        (place / "nodes").touch()
        (place / "pods").touch()
        program = place / "kubectl"
        program.write_text(_SCRIPT.format(place=place))
        program.chmod(0o755)

    def use(self, patch: pytest.MonkeyPatch) -> None:
        patch.setenv("PATH", f"{self.place}:/usr/bin:/bin")

    def node(self, name: str, answer: Any = None, *, script: str = "", phase: str = "Running",
             state: tuple[str, ...] = _READY, system: str = "linux") -> None:  # fmt: skip
        """Add a node whose pod prints `answer`, after `script` has run in the shell."""
        self._append("nodes", _words(name, system, *state))
        if phase:
            self._append("pods", _words(name, f"pod-{name}", phase))
        if answer is not None:
            text = answer if isinstance(answer, str) else json.dumps(answer)
            (self.place / f"pod-{name}.json").write_text(text)
        if script:
            (self.place / f"pod-{name}.sh").write_text(f"{script}\n")

    def select(self, selector: str, *names: str) -> None:
        """Have a label selector find these nodes only."""
        lines = "".join(f"{_words(name, 'linux', *_READY)}\n" for name in names)
        (self.place / f"nodes {selector.replace('/', '_')}").write_text(lines)

    def attempts(self, name: str) -> int:
        path = self.place / f"pod-{name}.attempts"
        return len(path.read_text()) if path.exists() else 0

    @property
    def calls(self) -> list[str]:
        return (self.place / "calls").read_text().splitlines()

    def _append(self, name: str, line: str) -> None:
        with (self.place / name).open("a") as file:
            file.write(f"{line}\n")
