"""Proves that libseccomp compiles each profile of a policy to what its text says.

What it compiles wrongly is written with masks instead, and proved again; what stays wrong is
refused. Blocks that were proved with this libseccomp are remembered by digest, in a file beside the
policies.
"""

import contextlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from runc_wrap.documents import reader
from runc_wrap.filters import libseccomp_proof, profile_difference
from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.filters.kernel import libseccomp_version
from runc_wrap.filters.libseccomp_proof import Miscompiled
from runc_wrap.host import files
from runc_wrap.hotpath import json_codec
from runc_wrap.hotpath.compiled_policy import CompiledProfile
from runc_wrap.hotpath.decision import AS_STRICT, RECORD
from runc_wrap.hotpath.privileged import CAPABILITIES
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.node.paths import Places
from runc_wrap.policy import named_profiles
from runc_wrap.policy.compiler_facts import Facts, PolicyError
from runc_wrap.policy.policy_compiler import Compiled
from runc_wrap.profiles.arguments import argument_sets
from runc_wrap.profiles.profile_lint import LintFinding, Severity
from runc_wrap.profiles.runtime_spec_names import USUAL
from runc_wrap.profiles.source_profile import ProfileError

Known = TypeVar("Known")
_LARGEST = 16 << 20
_MOST = 2000  # texts that are remembered, the last used: a policy has some ten for each mode
_ONE_RULE = (
    "let both never hold: give one rule the opposite of the other's comparison too, such as "
    "SCMP_CMP_NE for SCMP_CMP_EQ; do not rely on their order"
)
_ELSE = "name a call of each ABI without arguments and capabilities, list only 64-bit ABIs"
_MAY_ERR = "but verdicts and records of these calls may be wrong: "
_CALLS: dict[Hashable, Miscompiled | None] = {}  # of this process: see libseccomp_proof


class Prover:
    """Proves the profiles of one policy."""

    def __init__(self, places: Places, facts: Facts) -> None:
        self.loader = Loader.of(facts.runtime_kind, facts.runtime_version)
        self._path = places.current.parent / "proved.json"
        self._libseccomp, library = libseccomp_version.loaded() or ("", "")
        self.by = _found_by(facts, self._libseccomp, Path(library))
        # {digest of a text and by what it is compiled: what is known of it, as JSON}
        self._proved, self._known = dict[str, Any](), self._read()

    def settle(self, compiled: Compiled) -> Compiled:
        """Return the policy with profiles that are compiled rightly.

        Raises PolicyError for one that is not, if a container can get it enforced.
        """
        if not self._libseccomp:  # then nothing can be compiled, as a remark says
            return compiled
        enforceable = named_profiles.enforceable(compiled.policy, compiled.sources)
        profiles = dict(compiled.profiles)
        remarks = dict.fromkeys(compiled.remarks)
        for (name, form), made in compiled.profiles.items():
            is_strict = form.removesuffix(RECORD) in AS_STRICT
            try:
                profiles[name, form], said = self._settled(made)
                remark = f"note: profile {name}: {said}"
            except (ProfileError, PolicyError) as error:
                is_refused = isinstance(error, ProfileError)
                said = f"profile {name}: {error}{'; write fewer or other rules' * is_refused}"
                if name in enforceable if is_strict else is_refused:
                    raise PolicyError(said) from None
                remark = f"warning: the form for {form} enforces nothing here, {_MAY_ERR}{said}"
            remarks |= {remark: None} if said else {}
        return replace(compiled, profiles=profiles, remarks=tuple(remarks))

    def remembered(self, kind: type[Known], text: bytes, find: Callable[[], Known]) -> Known:
        """Return what is known by this text, else what `find` returns."""
        digest = json_codec.digest(self.by + text)
        if digest not in self._proved:
            try:
                self._proved[digest] = reader.taken(kind, self._known.get(digest))
            except reader.DocumentError:
                self._proved[digest] = find()
        found: Known = self._proved[digest]
        return found

    def findings(self, made: CompiledProfile) -> Iterator[LintFinding]:
        """Yield what libseccomp refuses of a profile, or compiles to something else than it says.

        An error is what `settle` refuses of a profile that a container can get enforced.
        """
        known: dict[Hashable, Miscompiled | None] = {}
        severity: Severity = "warning"
        try:
            sets = self._sets(made)
            for text in dict.fromkeys(json_codec.dumps(resolve(made, one)) for one in sets):
                libseccomp_proof.wrong(text, self.loader, known)
            found = (one for one in known.values() if one and not one.is_tolerable)
            if calls := {one.syscall: one.others for one in found}:
                self._masked(made, calls)
        except ProfileError as error:
            sentence, remedy = str(error), "write fewer or other rules"
            yield LintFinding("refused", "error", "syscalls", sentence, remedy)
        except PolicyError:
            severity = "error"
        for one in dict.fromkeys(filter(None, known.values())):
            masks = "compare by SCMP_CMP_MASKED_EQ, as `apply` does where masks can say it"
            check, remedy = "compiled-wrongly", f"{masks}, or {_ELSE}"
            if one.others:
                check, healed = "overlapping-rules", "`apply` writes masks that give that; else "
                remedy = (healed if severity == "warning" else "") + _ONE_RULE
            how: Severity = "warning" if one.is_tolerable else severity
            yield LintFinding(check, how, "syscalls", str(one), remedy)

    def remember(self) -> None:
        """Write what was proved: the next `apply` does not prove it again, whatever its mode."""
        before = [one for one in self._known.items() if one[0] not in self._proved]
        kept = dict([*before, *self._proved.items()][-_MOST:])
        with contextlib.suppress(OSError):  # it is proved again then
            files.replace(self._path, json_codec.dumps(reader.written(kept)), 0o644)

    def _read(self) -> dict[str, Any]:
        try:
            return reader.read(dict[str, Any], files.read(self._path, _LARGEST))
        except (OSError, ValueError):
            return {}

    def _settled(self, made: CompiledProfile) -> tuple[CompiledProfile, str]:
        """Return what is compiled rightly, and what is remarked.

        Raises ProfileError for what libseccomp refuses, PolicyError for what stays wrong.
        """
        calls = self._wrong(made)
        if not calls:
            return made, ""
        masks = "equal ones are used, which compare by masks. `profile lint` shows arguments."
        return self._masked(made, calls), f"{self._blame(calls)}; {masks}"

    def _blame(self, calls: dict[str, bool]) -> str:
        """Say whose fault calls are: the text's, where rules of other actions hold at once."""
        if both := [one for one in calls if calls[one]]:
            return f"its rules for {', '.join(both)} have other actions for the same arguments"
        names = f"its rules for {', '.join(calls)}"
        return f"libseccomp {self._libseccomp} compiles {names} to something else than they say"

    def _wrong(self, *made: CompiledProfile) -> dict[str, bool]:
        """Return the calls that are not as a profile says, if it or a second one is compiled.

        True for one that its own rules contradict.
        """
        found: dict[str, bool] = {}
        try:
            sets = self._sets(made[0])
        except profile_difference.TooManySetsError as error:
            raise PolicyError(f"{error}.") from None
        for capabilities in sets:
            blocks = [_text(resolve(one, capabilities)) for one in made]
            text, find = b"\n".join(blocks), partial(self._of, *blocks)
            for call, is_both in self.remembered(dict[str, bool], text, find).items():
                found[call] = is_both or found.get(call, False)
        return dict(sorted(found.items()))

    def _of(self, block: bytes, instead: bytes | None = None) -> dict[str, bool]:
        """Return what is compiled wrongly of a block's JSON."""
        known = {} if instead else _CALLS
        found = libseccomp_proof.wrong(block, self.loader, known, instead)
        return {one.syscall: one.others for one in found if not one.is_tolerable}

    def _sets(self, made: CompiledProfile) -> list[frozenset[str]]:
        """Return the capabilities of most containers, and all that change a call's comparisons."""
        rules = (entry["rule"] for entry in made["rules"])
        calls = {name for one in rules if one.get("args") for name in one["names"]}
        named = profile_difference.deciding(self.loader, made, stub=False)
        return capabilities(calls, named)

    def _masked(self, made: CompiledProfile, calls: dict[str, bool]) -> CompiledProfile:
        """Return the profile with masks. Raises PolicyError if it is not as the profile says.

        On a 32-bit ABI libseccomp compares the lower halves alone, which masks of the upper pass.
        """
        with contextlib.suppress(ProfileError):  # then it is no better
            other: CompiledProfile = {**made, "rules": argument_sets.masked(made["rules"], calls)}
            calls = self._wrong(made, other) or self._wrong(other)
        if not calls:
            return other
        remedy = (
            f"compare for equality or by masks, in fewer rules, {_ELSE}, or use libseccomp 2.6.1"
        )
        said = self._blame(calls)
        raise PolicyError(f"{said}; {_ONE_RULE if any(calls.values()) else remedy}.")


def _text(block: Mapping[str, object]) -> bytes:
    """Return the JSON of what is compiled: where a listener is changes nothing."""
    return json_codec.dumps({one: block[one] for one in block if not one.startswith("listener")})


def _found_by(facts: Facts, version: str, library: Path) -> bytes:
    """Return what a proof depends on beside what is proved; another release asks again."""
    texts = (path.read_bytes() for path in sorted(Path(__file__).parents[1].rglob("*.py")))
    of = library.stat() if library.is_file() else None  # an upgrade may have removed it
    built = (of.st_size, of.st_mtime_ns) if of else ()
    runtime = facts.runtime_kind, facts.runtime_version
    return f"{(version, built, *runtime, json_codec.digest(b''.join(texts)))} ".encode()


def capabilities(calls: Iterable[str], named: Mapping[str, set[str]]) -> list[frozenset[str]]:
    """Return what most containers have, and all sets that change what these calls get.

    `named` are the capabilities that decide about each. Raises ProfileError for too many.
    """
    sets = profile_difference.capability_sets(named.get(call, set()) for call in calls)
    return list(dict.fromkeys((USUAL, frozenset(), frozenset(CAPABILITIES), *sets)))
