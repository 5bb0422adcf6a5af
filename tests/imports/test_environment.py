"""Nothing that root starts or makes follows the caller's environment."""

import ast
from pathlib import Path

import runc_wrap

ROOT = Path(runc_wrap.__file__).parent
# the kubectl plugin, which is no root's, and the caller's own command, which `profile record` runs
CALLERS_OWN = (ROOT / "fleet", ROOT / "agent" / "observe" / "recorded_command.py")
PASSED_ON = ROOT / "hotpath"  # an engine's environment goes to the real runtime as it is
WITHOUT_ENVIRONMENT = ("execl", "execlp", "execv", "execvp", "system", "popen")


def _findings(text: str) -> list[str]:
    """Return what takes TMPDIR, or the whole environment, as it comes."""
    found = []
    for call in (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)):
        module, _, name = ast.unparse(call.func).rpartition(".")
        given = {keyword.arg for keyword in call.keywords}
        if module == "tempfile" and "dir" not in given:
            found.append(f"tempfile.{name} without dir=, line {call.lineno}")
        if module == "subprocess" and "env" not in given:
            found.append(f"subprocess.{name} without env=, line {call.lineno}")
        if module in ("os", "posix") and name in WITHOUT_ENVIRONMENT:
            found.append(f"{module}.{name}, line {call.lineno}")
    return found


def test_what_root_makes_and_starts_does_not_follow_the_callers_environment() -> None:
    modules = [
        path
        for path in ROOT.rglob("*.py")
        if not any(path.is_relative_to(one) for one in (*CALLERS_OWN, PASSED_ON))
    ]
    found = {str(path): lines for path in modules if (lines := _findings(path.read_text()))}
    assert found == {}
    assert not [path for path in modules if "from tempfile import" in path.read_text()]


def test_each_kind_is_found() -> None:
    text = "tempfile.mkstemp()\nsubprocess.run(['x'])\nos.execv('/x', ['x'])\n"
    assert len(_findings(text)) == 3
    assert _findings("tempfile.mkstemp(dir=x)\nsubprocess.run(['x'], env={})\n") == []
