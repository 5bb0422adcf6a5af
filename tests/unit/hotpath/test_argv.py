"""The command line as runc 1.1 to main and crun read it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.hotpath.argv import config_path, parse

SHIM = "--root /r --log /b/log.json --log-format json create --bundle /b --pid-file /b/pid ID"

BOTH = [
    ("containerd's own call", SHIM, "/b/config.json"),
    ("conmon's own call", "--root=/r create --bundle /b --pid-file /p ID", "/b/config.json"),
    ("no bundle means the working directory", "create ID", "config.json"),
    ("a value after =", "create --bundle=/b ID", "/b/config.json"),
    ("the short flag", "create -b /b ID", "/b/config.json"),
    ("the last bundle wins", "create --bundle /a --bundle /b ID", "/b/config.json"),
    ("a container called create", "create --bundle /b create", "/b/config.json"),
    ("a bundle called create", "create --bundle create ID", "create/config.json"),
    ("a relative bundle", "run -b sub/dir ID", "sub/dir/config.json"),
    ("a root called create", "--root create create -b /b ID", "/b/config.json"),
    ("a value swallows a flag", "create -b /b --pid-file --no-pivot ID", "/b/config.json"),
    ("-- ends the global flags", "-- create -b /b ID", "/b/config.json"),
    ("-- ends the command's flags", "create -b /b -- ID", "/b/config.json"),
    ("restore reads a config too", "restore --image-path /i -b /b ID", "/b/config.json"),
    ("run with a detach flag", "run --detach -b /b ID", "/b/config.json"),
    ("a systemd cgroup flag first", "--systemd-cgroup create -b /b ID", "/b/config.json"),
]
RUNC = [
    ("long flags with one dash", "create -bundle /b -no-new-keyring=true ID", "/b/config.json"),
    ("go-runc's -no-subreaper", "restore -b /b --detach -no-subreaper=true ID", "/b/config.json"),
    ("flags after the id", "create ID --bundle /b", "/b/config.json"),
    ("= with the short flag", "create -b=/b ID", "/b/config.json"),
    ("an empty bundle is the working directory", "create --bundle= ID", "config.json"),
    ("what looks like a flag", "create ID --bundle --no-pivot", "--no-pivot/config.json"),
    ("help refused explicitly", "create --help=false -b /b ID", "/b/config.json"),
    ("runc main's global flags after the command", "create --root /r -b /b ID", "/b/config.json"),
    ("runc main's trimmed words", "create ID --no-pivot -b /b", "/b/config.json"),
]
CRUN = [
    ("a glued short value", "create -b/b ID", "/b/config.json"),
    ("a cluster ending in b", "run -db /b ID", "/b/config.json"),
    ("a cluster with its value glued", "run -db/b ID", "/b/config.json"),
    ("an abbreviated long flag", "create --bun /b ID", "/b/config.json"),
    ("an abbreviated long flag with =", "create --b=/b ID", "/b/config.json"),
    ("an abbreviated global flag", "--log-f json --roo /r create -b /b ID", "/b/config.json"),
    ("another config file", "create -f /x/c.json -b /b ID", "/x/c.json"),
    ("another config file relative to the caller", "create --config c.json -b /b ID", "c.json"),
    ("the bundle's, named", "create -f config.json -b /b ID", "/b/config.json"),
    ("network-lock swallows a word", "restore --network-lock x -b /b ID", "/b/config.json"),
]
PASSED_ON_BY_BOTH = [
    ("nothing at all", ""),
    ("another command", "kill create"),
    ("deleting a container called create", "delete create"),
    ("exec of a program called create", "exec ID create"),
    ("no id", "create --bundle /b"),
    ("two ids", "create -b /b ID ID"),
    ("a value missing at the end", "create ID --bundle"),
    ("Podman's probe", "restore --lsm-mount-context"),
    ("a request for help", "create --help"),
    ("a request for the version", "--version"),
    ("a global value flag that swallows the command", "--root create"),
]
PASSED_ON_BY_RUNC = [
    ("a boolean that takes the id with it", "create --no-pivot ID --bundle /b extra"),
    ("a boolean that is neither true nor false", "create -b /b --no-pivot=maybe ID"),
]
PASSED_ON_BY_CRUN = [
    ("flags after the id", "create ID --bundle /b"),
    ("one dash before a long name", "create -bundle /b ID extra"),
    ("a value for a boolean", "create --no-pivot=true ID"),
    ("usage", "create --usage"),
]


GUESSES = [
    ("a flag of a later release", "create --nonsense -b /b ID", "/b/config.json"),
    ("with a value of its own", "create -b /b --nonsense value ID", "/b/config.json"),
    ("behind the id", "create ID --nonsense --bundle /b", "/b/config.json"),
    ("a global one", "--nonsense create -b /b ID", "/b/config.json"),
    ("another config", "create --nonsense --config /c.json ID", "/c.json"),
]


def test_the_runtimes_own_config_is_found() -> None:
    for kind, rows in (("runc", BOTH + RUNC), ("crun", BOTH + CRUN)):
        for sentence, line, path in rows:
            invocation = parse(line.split(), kind)
            assert invocation is not None, sentence
            assert not invocation.is_guess, sentence
            assert config_path(invocation) == path, sentence


def test_a_command_that_creates_nothing_is_passed_on() -> None:
    for kind, own in (("runc", PASSED_ON_BY_RUNC), ("crun", PASSED_ON_BY_CRUN)):
        for sentence, line in PASSED_ON_BY_BOTH + own:
            assert parse(line.split(), kind) is None, sentence


@pytest.mark.parametrize("kind", ["runc", "crun"])
def test_a_command_line_with_an_unknown_flag_is_a_guess(kind: str) -> None:
    for sentence, line, path in GUESSES:
        invocation = parse(line.split(), kind)
        assert invocation is not None, sentence
        assert invocation.is_guess, sentence
        assert (config_path(invocation), invocation.id) == (path, "ID"), sentence


@pytest.mark.parametrize("kind", ["runc", "crun"])
def test_log_root_and_id_are_read_and_crun_accepts_other_destinations(kind: str) -> None:
    invocation = parse(SHIM.split(), kind)
    assert invocation is not None
    assert (invocation.log, invocation.log_format) == ("/b/log.json", "json")
    assert (invocation.root, invocation.id, invocation.command) == ("/r", "ID", "create")
    for log, file in (("file:/l", "/l"), ("journald:x", ""), ("syslog:x", ""), ("/l", "/l")):
        invocation = parse(["--log", log, "create", "ID"], kind)
        assert invocation is not None
        assert invocation.log == (file if kind == "crun" else log)


_WORDS = st.lists(
    st.sampled_from(
        "create run restore delete -b --bundle --bundle=/x -b=/y -b/z -db --bun --config -f /b ID"
        " -- - --no-pivot --log --log-format json --root -h --help=false --lsm-mount-context"
        " ''".split()
    )
    | st.text(max_size=4),
    max_size=8,
)


@given(_WORDS, st.sampled_from(["runc", "crun"]))
def test_any_arguments_are_read_or_passed_on_without_an_error(words: list[str], kind: str) -> None:
    invocation = parse(words, kind)
    assert invocation is None or invocation.command in words


@given(_WORDS)
def test_the_edited_file_is_the_config_json_that_the_arguments_name(words: list[str]) -> None:
    invocation = parse(words, "runc")
    if invocation:
        named = [word.strip() for word in words]
        assert not invocation.bundle or any(invocation.bundle in word for word in [*words, *named])
