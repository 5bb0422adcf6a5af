"""Parses the command line as the real runtime does.

Grammars: runc up to 1.5 is urfave/cli v1 over Go's `flag` (runc:main.go, urfave/cli command.go
reorderArgs); runc's main branch is urfave/cli v3 (command_parse.go); crun is glibc argp with
ARGP_IN_ORDER (crun:src/crun.c, run_create.c). A line that no grammar accepts is left to the real
runtime, whose own error text engines read. The launcher is built with the names that have no
underscore (launcher/shared_words.py).
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    Found = dict[str, str]  # long name of a flag -> its last value; "" for a boolean
    Given = dict[str, str | None]  # None: the value is the next word
    Parsed = tuple[Found, list[str]] | None  # flags and what follows them; None: malformed

EDITED = frozenset({"create", "run", "restore"})  # the commands that read config.json

GO_GLOBAL_VALUES = frozenset({"log", "log-format", "root", "criu", "rootless"})
GO_GLOBAL_BOOLEANS = frozenset({"debug", "systemd-cgroup", "help", "h", "version", "v"})
_GO_CREATE_VALUES = frozenset("bundle b console-socket pidfd-socket pid-file preserve-fds".split())
_GO_CREATE_BOOLEANS = frozenset({"no-pivot", "no-new-keyring", "help", "h"})
_GO_RESTORE_VALUES = frozenset(
    "console-socket image-path work-path manage-cgroups-mode bundle b pid-file empty-ns "
    "lsm-profile lsm-mount-context".split()
)
_GO_RESTORE_BOOLEANS = frozenset(
    "tcp-established ext-unix-sk shell-job file-locks detach d no-subreaper no-pivot auto-dedup "
    "lazy-pages help h".split()
)
_GO_COMMANDS = {
    "create": (_GO_CREATE_VALUES, _GO_CREATE_BOOLEANS),
    "run": (_GO_CREATE_VALUES, _GO_CREATE_BOOLEANS | {"detach", "d", "keep", "no-subreaper"}),
    "restore": (_GO_RESTORE_VALUES, _GO_RESTORE_BOOLEANS),
}
_GO_TRUE = frozenset({"", "1", "t", "T", "true", "TRUE", "True"})
_GO_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})


def _options(alone: str, valued: str) -> "dict[str, int]":
    """Return {long name: whether it takes a value} of argp, with what argp itself adds."""
    built_in = dict.fromkeys(("help", "usage", "HANG", *alone.split()), 0)
    return built_in | dict.fromkeys(("program-name", *valued.split()), 1)


NEXT = 2  # declared without a value, but takes the next word
ARGP_GLOBAL = _options(
    "debug systemd-cgroup version", "cgroup-manager log log-format log-level root rootless"
)
_ARGP_CREATE = _options(
    "no-pivot no-subreaper no-new-keyring", "bundle config console-socket preserve-fds pid-file"
)
_ARGP_RESTORE = {"network-lock": NEXT} | _options(
    "tcp-established tcp-close ext-unix-sk shell-job detach file-locks",
    "bundle image-path work-path pid-file console-socket manage-cgroups-mode lsm-profile "
    "lsm-mount-context",
)
_ARGP_COMMANDS = {
    "create": _ARGP_CREATE,
    "run": {**_ARGP_CREATE, "detach": 0, "keep": 0},
    "restore": _ARGP_RESTORE,
}
_NO_FILES = ("journald:", "syslog:")  # other destinations of crun's --log
_ARGP_SHORT = {"b": "bundle", "f": "config", "d": "detach", "?": "help"}
ARGP_GLOBAL_SHORT = {"v": "version", "V": "version", "?": "help"}

UNKNOWN = "unknown flag"
_COMMAND_AND_ID = 2
_SHORT = {"b": "bundle", "f": "config"}
_ANY_VALUES = GO_GLOBAL_VALUES | _GO_CREATE_VALUES | _GO_RESTORE_VALUES
_ANY_VALUES |= {"cgroup-manager", "log-level", "config", "f"}
_ANY_BOOLEANS = GO_GLOBAL_BOOLEANS | _GO_RESTORE_BOOLEANS | _GO_CREATE_BOOLEANS


class Invocation:
    """A create, run or restore that the runtime will accept.

    `bundle`, `config` and `pid_file` are as written, "" when not given; `root`, `log` (a file) and
    `log_format` are the runtime's own flags; `id` is the container's. `is_guess`: we do not know a
    flag; a newer runtime may accept the line, or refuse it.
    """

    def __init__(self, command: str, flags: "Found", container: str) -> None:
        self.command = command
        self.id = container
        self.bundle = flags.get("bundle", "")
        self.config = flags.get("config", "")
        self.log = flags.get("log", "")
        self.log_format = flags.get("log-format", "")
        self.root = flags.get("root", "")
        self.pid_file = flags.get("pid-file", "")
        self.is_guess = UNKNOWN in flags


def parse(arguments: "list[str]", kind: str) -> "Invocation | None":
    """Read the words after argv[0] as a runtime of this kind ("runc" or "crun") would.

    None: not a create, run or restore, or not acceptable; the words are passed on unchanged.
    """
    if kind == "crun":
        return _crun(arguments) or _guess(arguments)
    return _runc_v1(arguments) or _runc_v3(arguments) or _guess(arguments)


def config_path(invocation: Invocation) -> str:
    """Return the path of the file that the runtime will read, relative to the caller's cwd."""
    if invocation.config:
        return invocation.config
    return f"{invocation.bundle}/config.json" if invocation.bundle else "config.json"


def _runc_v1(arguments: "list[str]") -> "Invocation | None":
    outer = _go_flags(arguments, GO_GLOBAL_VALUES, GO_GLOBAL_BOOLEANS)
    if not outer or not outer[1] or outer[1][0] not in EDITED:
        return None
    command, *rest = outer[1]
    values, booleans = _GO_COMMANDS[command]
    inner = _go_flags(_reorder(rest, values | booleans), values, booleans)
    if not inner or ("b" in inner[0] and "bundle" in inner[0]):
        return None
    return _go_invocation(command, {**outer[0], **inner[0]}, inner[1])


def _go_invocation(command: str, flags: "Found", words: "list[str]") -> "Invocation | None":
    if len(words) != 1 or _asks_for_help(flags):
        return None
    return Invocation(command, {"bundle": flags.get("b", ""), **flags}, words[0])


def _asks_for_help(flags: "Found") -> bool:
    return any(flags.get(name, "0") in _GO_TRUE for name in ("help", "h", "version", "v"))


def _go_flags(words: "list[str]", values: "frozenset[str]", booleans: "frozenset[str]") -> "Parsed":
    """Go's flag package: stops at the first word that is not a flag (go:src/flag/flag.go)."""
    found: Found = {}
    at = 0
    while at < len(words) and words[at].startswith("-") and words[at] != "-":
        if words[at] == "--":
            return found, words[at + 1 :]
        name, equals, value = _go_name(words[at]).partition("=")
        if name in values and not equals:
            at += 1
            if at == len(words):
                return None
            value = words[at]
        elif name not in values and (name not in booleans or not _is_boolean(value, equals)):
            return None
        found[name] = value
        at += 1
    return found, words[at:]


def _go_name(word: str) -> str:
    return word[2:] if word.startswith("--") else word[1:]


def _is_boolean(value: str, equals: str) -> bool:
    return not equals or (value != "" and (value in _GO_TRUE or value in _GO_FALSE))


def _reorder(words: "list[str]", known: "frozenset[str]") -> "list[str]":
    """urfave/cli v1 puts flags in front of positionals (command.go reorderArgs, 1.22.14).

    The word after any known flag without "=" moves with it, even after a boolean.
    """
    flags: list[str] = []
    others: list[str] = []
    expecting = False
    for at, word in enumerate(words):
        is_flag = word not in ("-", "--") and word.startswith("-")
        is_flag = is_flag and _go_name(word).partition("=")[0] in known
        if is_flag:
            flags.append(word)
            expecting = "=" not in word
        elif expecting:
            flags.append(word)
            expecting = False
        elif word == "--":
            return [*flags, "--", *others, *words[at + 1 :]]
        else:
            others.append(word)
    return flags + others


def _runc_v3(arguments: "list[str]") -> "Invocation | None":
    outer = _mixed_flags(arguments, GO_GLOBAL_VALUES, GO_GLOBAL_BOOLEANS, EDITED)
    if not outer or not outer[1] or outer[1][0] not in EDITED:
        return None
    command, *rest = outer[1]
    values, booleans = _GO_COMMANDS[command]
    values, booleans = values | GO_GLOBAL_VALUES, booleans | GO_GLOBAL_BOOLEANS
    inner = _mixed_flags(rest, values, booleans, frozenset())
    return _go_invocation(command, {**outer[0], **inner[0]}, inner[1]) if inner else None


def _mixed_flags(
    words: "list[str]",
    values: "frozenset[str]",
    booleans: "frozenset[str]",
    commands: "frozenset[str]",
    *,
    tolerant: bool = False,
) -> "Parsed":
    """urfave/cli v3: flags and positionals mixed, until "--" or a command (command_parse.go).

    `tolerant`: a flag in neither set is accepted, as UNKNOWN.
    """
    found: Found = {}
    others: list[str] = []
    at = 0
    while at < len(words):
        word = words[at].strip()
        if word == "--":
            return found, others + words[at + 1 :]
        if word in commands:
            return found, others + words[at:]
        if word[:2] != "--" and not (word[:1] == "-" and word[1:2].isalpha()):
            others.append(word)
            at += 1
            continue
        name, equals, value = _go_name(word).partition("=")
        if name in values and not equals:
            at += 1
            if at == len(words):
                return None
            value = words[at]
        elif name in booleans or name in values:
            if name in booleans and not _is_boolean(value, value):
                return None
        elif not tolerant:
            return None
        else:
            name = UNKNOWN
        found[_SHORT.get(name, name)] = value
        at += 1
    return found, others


def _guess(arguments: "list[str]") -> "Invocation | None":
    """Read a line with a flag that we do not know, but a newer runtime might.

    Whether the word after that flag is its value is unknown; the id is the last word, and one word
    may come before the command.
    """
    parsed = _mixed_flags(arguments, _ANY_VALUES, _ANY_BOOLEANS, frozenset(), tolerant=True)
    if not parsed or UNKNOWN not in parsed[0] or _asks_for_help(parsed[0]):
        return None
    words = parsed[1] if parsed[1][:1] and parsed[1][0] in EDITED else parsed[1][1:]
    if len(words) < _COMMAND_AND_ID or words[0] not in EDITED:
        return None
    return Invocation(words[0], parsed[0], words[-1])


def _crun(arguments: "list[str]") -> "Invocation | None":
    outer = _argp(arguments, ARGP_GLOBAL, ARGP_GLOBAL_SHORT)
    if not outer or not outer[1] or outer[1][0] not in EDITED:
        return None
    command, *rest = outer[1]
    inner = _argp(rest, _ARGP_COMMANDS[command], _ARGP_SHORT)
    if not inner or len(inner[1]) != 1:
        return None
    flags = {**outer[0], **inner[0]}
    if flags.get("config") == "config.json":  # in the bundle; all others are relative to the cwd
        del flags["config"]
    flags["log"] = flags.get("log", "").removeprefix("file:")
    if flags["log"].startswith(_NO_FILES):
        del flags["log"]
    return Invocation(command, flags, inner[1][0])


def _argp(words: "list[str]", options: "dict[str, int]", short: "dict[str, str]") -> "Parsed":
    """Glibc getopt_long in order: abbreviations, clusters, stops at the first positional."""
    found: Found = {}
    at = 0
    while at < len(words) and words[at].startswith("-") and words[at] != "-":
        word = words[at]
        if word == "--":
            return found, words[at + 1 :]
        given = _argp_long(word, options) if word[1] == "-" else _argp_cluster(word, options, short)
        if given is None or not given.keys().isdisjoint(("help", "usage", "version")):
            return None
        at += 1
        if None in given.values():
            if at == len(words):
                return None
            given = {name: value or words[at] for name, value in given.items()}
            at += 1
        found.update({name: value or "" for name, value in given.items()})
    return found, words[at:]


def _argp_long(word: str, options: "dict[str, int]") -> "Given | None":
    """Return {name: value}, value None when it is the next word; None when malformed."""
    name, equals, value = word[2:].partition("=")
    names = [name] if name in options else [n for n in options if n.startswith(name)]
    if {"root", "rootless"} == set(names):  # one option to crun up to 1.21, an error later
        names = ["root"]
    if len(names) != 1 or (equals and options[names[0]] != 1):
        return None
    return {names[0]: None if options[names[0]] and not equals else value}


def _argp_cluster(word: str, options: "dict[str, int]", short: "dict[str, str]") -> "Given | None":
    given: Given = {}
    for at, letter in enumerate(word[1:], start=2):
        name = short.get(letter, "")
        if name not in options:
            return None
        if options[name]:
            given[name] = word[at:] or None
            return given
        given[name] = ""
    return given
