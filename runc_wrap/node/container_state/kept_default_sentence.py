"""The sentence on containers that keep their engine's default profile, of a node or of many."""

from collections.abc import Mapping

from runc_wrap.hotpath.decision import ADOPT


def of(kept: Mapping[str, int], names: str = "", where: str = "", *, adopts: bool) -> str:
    """Return the sentence for the containers that keep defaults, {profile: how many}.

    `names` are those of the profiles, all if left out. `where` stands behind the containers, from
    its space on.
    """
    number, names = sum(kept.values()), names or ", ".join(sorted(kept))
    noun, verb, whom = "containers", "keep their", "them"
    if number == 1:
        noun, verb, whom = "container", "keeps its", "it"
    if adopts:
        then = "the policy decides about those that start from now on"
    else:
        then = f'no rule, mode or opt-out reaches {whom}; adopt = "{ADOPT}" does'
    return f"{number} {noun}{where} {verb} engine's default profile ({names}): {then}"
