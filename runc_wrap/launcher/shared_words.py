"""The words and the number that C and Python share: the build puts them into C.

Change them in Python: the commands that read a config and the runtimes' own flags in
hotpath/argv.py, the version of the compiled policy's form in hotpath/policy_file.py. The other
commands, which no create needs, are here. setup.py runs this before runc_wrap and its dependencies
are installed: it imports the standard library only, and parses policy_file.py instead of importing
it.
"""

import re
import runpy
from pathlib import Path

HERE = Path(__file__).resolve().parent
HOTPATH = HERE.parent / "hotpath"
OTHERS = (  # the commands of runc and crun that do not read a config
    "checkpoint delete events exec features help kill list mounts pause ps resume spec start state "
    "update"
).split()


def header() -> str:
    """Return the C header: each list of words as an initializer, the form as a string."""
    lists = {name: ", ".join(f'"{word}"' for word in words) for name, words in _lists().items()}
    (form,) = re.findall(
        r"^VERSION = (\d+)", (HOTPATH / "policy_file.py").read_text(), re.MULTILINE
    )
    defined = {**lists, "POLICY_FORM": f'"{form}"'}
    lines = [f"#define {name} {value}" for name, value in defined.items()]
    return "\n".join(
        ["/* Written by shared_words.py, which says where to change this. */", *lines, ""]
    )


def _lists() -> dict[str, list[str]]:
    """Return {name in C: words}; flags are without dashes."""
    argv = runpy.run_path(str(HOTPATH / "argv.py"))
    valued = {name for name, takes_value in argv["ARGP_GLOBAL"].items() if takes_value}
    alone = argv["ARGP_GLOBAL"].keys() - valued | argv["ARGP_GLOBAL_SHORT"].keys()
    return {
        "EDITED_COMMANDS": sorted(argv["EDITED"]),
        "OTHER_COMMANDS": OTHERS,
        "FLAGS_WITH_VALUE": sorted(argv["GO_GLOBAL_VALUES"] | valued),
        "FLAGS_WITHOUT_VALUE": sorted(argv["GO_GLOBAL_BOOLEANS"] | alone),
    }
