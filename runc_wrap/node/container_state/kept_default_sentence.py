"""The sentence on containers that keep their engine's default profile, of a node or of many."""

from runc_wrap.hotpath.decision import ADOPT


def of(number: int, names: str, *, adopts: bool, where: str = "") -> str:
    """Return the sentence for a number of containers, and the names of what they keep.

    `where` stands behind the containers, from its space on.
    """
    noun, verb, whom = "containers", "keep their", "them"
    if number == 1:
        noun, verb, whom = "container", "keeps its", "it"
    if adopts:
        then = "the policy decides about those that start from now on"
    else:
        then = f'no rule, mode or opt-out reaches {whom}; adopt = "{ADOPT}" does'
    return f"{number} {noun}{where} {verb} engine's default profile ({names}): {then}"
