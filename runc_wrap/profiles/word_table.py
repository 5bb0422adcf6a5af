"""A table of words as text: a line is `key: words`; one without a colon continues the last."""


def read(text: str) -> dict[str, tuple[str, ...]]:
    """Return the words of each key, in order; a key may have blanks."""
    found: dict[str, tuple[str, ...]] = {}
    key = ""
    for line in text.strip().splitlines():
        before, colon, words = line.rpartition(":")
        key = before if colon else key
        found[key] = (*found.get(key, ()), *words.split())
    return found
