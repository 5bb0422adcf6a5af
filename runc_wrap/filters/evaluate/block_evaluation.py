"""The result of a resolved linux.seccomp block for a given call, loaded by runc or by crun.

libseccomp resolves several rules for one call as follows (src/db.c db_rule_add, 2.5.0 to 2.6.1):

* An unconditional rule overrides every conditional one, regardless of order; of several
  unconditional rules the first applies. No action has precedence over another.
* Conditional rules of one action hold if any of them does.
* Overlapping conditional rules of different actions are tested in the order of libseccomp's tree
  (by argument, operator and value), not in the profile's.
* Several rules of which one compares a range, or two arguments, are sometimes compiled wrongly:
  after a comparison has failed halfway, the next uses the wrong half or argument (src/gen_bpf.c;
  tests/unit has a case), and the filter does not do what the rules say.
* Names that an ABI lacks stay in its list under their pseudo numbers. If such a name is first in
  the list, because no call there has an unconditional rule, src/gen_bpf.c forgets to load the
  number (2.6.0), and every call of that ABI gets the default.

In the last three cases a verdict is not `certain`; evaluate the filter that libseccomp makes
(runc_wrap.filters.kernel.libseccomp_compiler) to be sure.

ABIs: calls through one that is not listed get KILL_THREAD. x32 is an ABI of its own if it is
listed; otherwise x32 numbers count as calls through an unlisted one, except -1 (seccomp_data.nr of
a call that a tracer skipped), which gets the default. On 32-bit ABIs, including x32, only the lower
half of arguments is compared. If an ABI has socketcall(2) or ipc(2), a rule for socket(2) or a
similar call also becomes one for the multiplexer, with the call's number as its first argument
(src/syscalls.c).
"""

from collections.abc import Hashable, Iterator, KeysView, Mapping, Sequence
from dataclasses import dataclass, field, replace
from errno import ENOSYS
from itertools import chain

from runc_wrap.filters.evaluate.libseccomp_input import Added, Block, Loader, load
from runc_wrap.hotpath.operators import EQ, MASKED_EQ, NE, holds
from runc_wrap.profiles import return_codes, syscall_names
from runc_wrap.profiles.abis import ABIS, Abi
from runc_wrap.profiles.arguments.parameter_widths import WHOLE
from runc_wrap.profiles.source_profile import Argument

_TELLS_EQUALITY = frozenset({EQ, NE, MASKED_EQ})
# libseccomp include/seccomp.h __PNR_*: pseudo numbers of the calls of socketcall(2) and ipc(2)
_SOCKET_CALLS = range(-120, -100)
_IPC_CALLS = range(-224, -200)
_S390 = frozenset({ABIS["s390"], ABIS["s390x"]})
_NEGATIVE = (1 << 33) - 1  # the upper bits of a negative number of 32 bits
_ENOSYS = return_codes.ERRNO | ENOSYS

Conditions = tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A call's result: SECCOMP_RET_* with data; the module's docstring explains `certain`."""

    code: int
    certain: bool = True


_MOST_HELD = 1000  # values of arguments


@dataclass(slots=True)
class _Call:
    """The rules of one number on one ABI, in the order added; `mask` has an argument's bits.

    `equal` has those that test one argument for equality, by argument, mask and value: a list of
    thousands is not searched for each call. `is_plain`: each rule tests one argument for equality.
    `others` are the rest as bits, `compared` their comparisons by argument; `held` remembers which
    do not hold for a value of an argument. `dropped` are those of Load.dropped.
    """

    mask: int = 0
    action: int | None = None
    conditional: list[tuple[Conditions, int]] = field(default_factory=list)
    equal: dict[tuple[int, int], dict[int, list[int]]] = field(default_factory=dict)
    others: int = 0
    compared: dict[int, list[tuple[int, Argument]]] = field(default_factory=dict)
    is_plain: bool = True
    held: dict[tuple[int, int], int] = field(default_factory=dict)
    dropped: "_Call | None" = None

    def add(self, conditions: Conditions, code: int) -> None:
        if conditions:
            place, one = len(self.conditional), conditions[0]
            self.conditional.append((conditions, code))
            if len(conditions) == 1 and one.op in (EQ, MASKED_EQ):
                mask, value = (-1, one.value) if one.op == EQ else (one.value, one.value_two)
                values = self.equal.setdefault((one.index, mask & self.mask), {})
                values.setdefault(value & mask & self.mask, []).append(place)
            else:
                self.others |= 1 << place
                for each in conditions:
                    self.compared.setdefault(each.index, []).append((place, each))
            self.is_plain &= len(conditions) == 1 and one.op in _TELLS_EQUALITY
        elif self.action is None:
            self.action = code

    def verdict(self, args: Sequence[int], default: int) -> Verdict:
        if self.action is not None or not self.conditional:
            return Verdict(default if self.action is None else self.action)
        found = [self.conditional[place][1] for place in sorted(self._holding(args))]
        certain = len(set(found)) <= 1 and (len(self.conditional) <= 1 or self.is_plain)
        return Verdict(found[0] if found else default, certain)

    @property
    def may_be_miscompiled(self) -> bool:
        """Tell whether libseccomp makes a chain of comparisons of these rules."""
        return self.action is None and not self.is_plain and len(self.conditional) > 1

    @property
    def may_conflict(self) -> bool:
        """Tell whether rules of other actions may hold at once."""
        codes = [code for _, code in self.conditional] if self.action is None else []
        alike = (places for values in self.equal.values() for places in values.values())
        may_overlap = len(self.equal) > 1 or self.others or any(len(one) > 1 for one in alike)
        return bool(codes and (self.dropped or (len({*codes}) > 1 and may_overlap)))

    def meant(self, args: Sequence[int], default: int) -> frozenset[int]:
        """Return the results that the rules allow: several if rules of other actions hold."""
        if self.action is not None:
            return frozenset((self.action,))
        found = frozenset(self.conditional[place][1] for place in self._holding(args))
        more = self.dropped.meant(args, -1) - {-1} if self.dropped else frozenset()
        return (found | more) or frozenset((default,))

    def _holding(self, args: Sequence[int]) -> Iterator[int]:
        """Yield the places of the rules that hold."""
        for (index, mask), values in self.equal.items():
            yield from values.get(args[index] & mask, ())
        bits = self.others
        for index in self.compared if bits else ():
            bits &= ~self._lacking(index, args[index] & self.mask)
        while bits:
            yield (bits & -bits).bit_length() - 1
            bits &= bits - 1

    def _lacking(self, index: int, given: int) -> int:
        if (index, given) not in self.held:
            if len(self.held) >= _MOST_HELD:
                self.held.clear()
            lacking = 0
            for place, one in self.compared.get(index, ()):
                lacking |= 0 if compares(one, given, self.mask) else 1 << place
            self.held[index, given] = lacking
        return self.held[index, given]


_UNNAMED = _Call()
_ONE_LIST = {ABIS["x86_64"], ABIS["x32"]}  # libseccomp keeps one list for both


class Simulation:
    """A block as loaded. Building one raises ProfileError if the runtime would refuse it."""

    def __init__(self, block: Block, loader: Loader) -> None:
        self.load = load(block, loader)
        self._rules: dict[str, list[tuple[int, Added]]] = {}  # by name, each with its place
        for placed in enumerate(self.load.rules):
            self._rules.setdefault(placed[1].name, []).append(placed)
        self._dropped = [one for one in self.load.dropped if one.conditions]
        self._names = {abi: _named(abi, self._rules.keys()) for abi in self.load.abis}
        self._made: dict[tuple[Abi, int, int], _Call] = {}  # of numbers that were asked about
        self.led_by_pseudo = {abi for abi in self._names if self._may_lack_number(abi)}
        if not self.led_by_pseudo.isdisjoint(_ONE_LIST):
            self.led_by_pseudo |= _ONE_LIST
        self.common = self.load.stub, self.led_by_pseudo
        """What results depend on beside a call's own rules and the default: on other rules."""

    def verdict(self, abi: Abi, number: int, args: Sequence[int] = (0,) * 6) -> Verdict:
        """Return a call's result; `args` are six unsigned numbers of 64 bits."""
        if abi not in self._names:
            is_64 = abi is ABIS["x32"] and ABIS["x86_64"] in self._names
            is_default = is_64 and number == syscall_names.SKIPPED
            return Verdict(self.load.default if is_default else return_codes.KILL_THREAD)
        if is_beyond(self.load.stub, abi, number):
            return Verdict(_ENOSYS)
        verdict = self._call(abi, number).verdict(args, self.load.default)
        return replace(verdict, certain=False) if abi in self.led_by_pseudo else verdict

    def meant(self, abi: Abi, number: int, args: Sequence[int]) -> frozenset[int]:
        """Return the results that the text allows for a call: one, if it is not ambiguous."""
        if abi not in self._names or is_beyond(self.load.stub, abi, number):
            return frozenset((self.verdict(abi, number, args).code,))
        cut = [one & (1 << abi.bits) - 1 for one in args]
        return self._call(abi, number, WHOLE).meant(cut, self.load.default)

    def is_uncertain(self, abi: Abi, number: int) -> bool:
        """Tell whether some verdict of a number may not be certain."""
        return abi in self.led_by_pseudo or self._call(abi, number).may_be_miscompiled

    def may_conflict(self, abi: Abi, number: int) -> bool:
        """Tell whether rules of other actions may hold for the same arguments of a number."""
        return self._call(abi, number).may_conflict

    def is_any_of(self, abi: Abi, number: int) -> bool:
        """Tell whether a call gets one result whichever rule holds, and else the default."""
        codes = {code for _, code in self._call(abi, number).conditional}
        return len(codes) < 2 and not self.is_uncertain(abi, number)  # noqa: PLR2004 - as it says

    def is_cut(self, abi: Abi, number: int) -> bool:
        """Tell whether rules compare with more bits than an argument has there."""
        as_written = self._call(abi, number, WHOLE)
        return as_written.conditional != self._call(abi, number).conditional

    def key(self, abi: Abi, number: int) -> Hashable:
        """Return what a call's results depend on: its own rules, in order, and the default."""
        call = self._call(abi, number)
        if abi in self.led_by_pseudo:
            return abi, number, self
        if call.action is None and call.conditional and not is_beyond(self.load.stub, abi, number):
            dropped = tuple(call.dropped.conditional) if call.dropped else ()
            return abi, number, (*call.conditional, dropped), self.load.default
        return abi, number, self.verdict(abi, number).code

    def rules(self, abi: Abi, number: int) -> Sequence[Conditions]:
        """Return the conditions that decide a number's outcome; [] if no argument matters."""
        call = self._call(abi, number)
        own = [*call.conditional] if call.action is None else []
        more = call.dropped.conditional if own and call.dropped else ()
        return [rule for rule, _ in (*own, *more)]

    def _call(self, abi: Abi, number: int, bits: int = 0) -> _Call:
        """Return a number's rules, compared in so many bits, by default as libseccomp does it.

        A profile has hundreds, of which few are asked about.
        """
        bits = bits or abi.bits
        named = self._names.get(abi, {}).get(number)
        if named is None:
            return _UNNAMED
        if (abi, number, bits) not in self._made:
            call = _Call((1 << bits) - 1)
            rules = map(self._rules.__getitem__, self._rules.keys() & named.keys())
            for _, rule in sorted(chain.from_iterable(rules)):
                call.add(_conditions(rule, named[rule.name], abi.bits, bits), rule.code)
            dropped = _Call(call.mask)
            for rule in self._dropped:
                if named.get(rule.name, rule) is None:  # a multiplexer's has other arguments
                    dropped.add(_conditions(rule, None, abi.bits, bits), rule.code)
            call.dropped = dropped if dropped.conditional else None
            self._made[abi, number, bits] = call
        return self._made[abi, number, bits]

    def _may_lack_number(self, abi: Abi) -> bool:
        if any(self._call(abi, number).action is not None for number in [*self._names[abi]]):
            return False
        return any(syscall_names.resolved(abi, name) < 0 for name in self._rules)


def is_beyond(stub: Mapping[Abi, int], abi: Abi, number: int) -> bool:
    """Tell whether runc's stub returns ENOSYS (patchbpf generateEnosysStub); for 0 on s390, too."""
    return abi in stub and (number > stub[abi] or (abi in _S390 and number == 0))


_Names = dict[int, dict[str, Argument | None]]
_NAMES: dict[Abi, tuple[_Names, set[str]]] = {}  # of all blocks, with the names that are in it


def _named(abi: Abi, names: KeysView[str]) -> _Names:
    """Return {number: {name whose rules apply to it: see targets}} of these names, and others."""
    found, known = _NAMES.setdefault(abi, ({}, set()))
    for name in names - known:
        for number, through in targets(abi, name):
            found.setdefault(number, {})[name] = through
        known.add(name)
    return found


def targets(abi: Abi, name: str) -> tuple[tuple[int, Argument | None], ...]:
    """Return the numbers that a rule applies to (arch_filter_rule_add).

    Of a multiplexer the comparison of its first argument stands beside its number.
    """
    native, found_by = syscall_names.native(), name
    if abi is not native and (number := syscall_names.resolved(native, name)) >= 0:
        found_by = syscall_names.table(native).get(number, name)
    resolved = syscall_names.resolved(abi, found_by)
    if resolved >= 0:
        return ((resolved, None),)
    multiplexes = syscall_names.resolved(abi, "socket") in _SOCKET_CALLS
    if not multiplexes or resolved not in (*_SOCKET_CALLS, *_IPC_CALLS):
        return ()
    through, base = ("socketcall", 100) if resolved in _SOCKET_CALLS else ("ipc", 200)
    numbers = syscall_names.numbers(abi)
    which = Argument(0, -resolved % base, EQ)
    found = ((through, which), (name, None))
    return tuple((numbers[one], condition) for one, condition in found if one in numbers)


def _conditions(rule: Added, through: Argument | None, taken: int, bits: int) -> Conditions:
    """Return a rule's conditions, cut to bits, without those that always hold: empty masks.

    A value that is negative in 64 bits is meant to be negative in those that are `taken`.
    """
    found = []
    for one in rule.conditions:
        value = one.value_two & one.value if one.op == MASKED_EQ else one.value
        mask = (1 << (taken if value >> 31 == _NEGATIVE else bits)) - 1
        found.append(Argument(one.index, one.value & mask, one.op, one.value_two & mask))
    kept = tuple(one for one in found if one.op != MASKED_EQ or one.value)
    return (through, *(one for one in kept if one.index)) if through else kept


def compares(one: Argument, given: int, mask: int) -> bool:
    """Tell whether a comparison holds for a value; `mask` is an argument's bits."""
    return bool(holds(one.op, given, one.value & mask, one.value_two))
