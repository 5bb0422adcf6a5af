"""Finds the policy's rule for a container.

A rule is one object of the compiled policy's "rules"; all of its selectors must match.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runc_wrap.hotpath.compiled_policy import PolicyRule
    from runc_wrap.hotpath.container_identity import Identity

    Json = dict[str, Any]

SELECTORS = ("namespace", "pod", "container", "image", "engine", "handler")
ANYTHING = "*"


def first(rules: "list[PolicyRule]", who: "Identity", now: float) -> "PolicyRule | None":
    """Return the first rule that holds for this container at `now`, seconds since the epoch."""
    for rule in rules:
        if now < rule.get("until", now + 1) and _selects(rule, who) and _drawn(rule, who):
            return rule
    return None


def _selects(rule: "PolicyRule", who: "Identity") -> bool:
    return all(
        matches_any(rule[name], getattr(who, name))  # type: ignore[literal-required]  # a selector
        for name in SELECTORS
        if name in rule
    )


def _drawn(rule: "PolicyRule", who: "Identity") -> bool:
    """Return whether the rule's percentage includes this container, stable across restarts."""
    percent: int = rule.get("percent", 100)
    if percent >= 100:  # noqa: PLR2004 - all of them
        return True
    name = f"{who.namespace}/{who.container}" if who.container else who.id
    return _spread(f"{rule['name']}\0{name}") % 100 < percent


def _spread(text: str) -> int:
    """Return FNV-1a of the text, 32 bits: stable across releases and interpreters."""
    value = 0x811C9DC5
    for byte in text.encode("utf-8", "surrogateescape"):
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


def matches_any(patterns: "list[str]", text: "str | None") -> bool:
    """Return whether one of the patterns matches; an unknown text is matched only by "*"."""
    if text is None:
        return ANYTHING in patterns
    return any(matches(pattern, text) for pattern in patterns)


def matches(pattern: str, text: str) -> bool:
    """Match a glob: "*" is any run of characters, "?" any one, all others are literal."""
    at = position = 0
    star = resume = -1
    while position < len(text):
        if at < len(pattern) and pattern[at] == "*":
            star, resume = at, position
            at += 1
        elif at < len(pattern) and pattern[at] in ("?", text[position]):
            at += 1
            position += 1
        elif star >= 0:
            resume += 1
            at, position = star + 1, resume
        else:
            return False
    return pattern[at:].strip("*") == ""
