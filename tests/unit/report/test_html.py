import json
import unicodedata
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.shown import reports
from runc_wrap import safe_text
from runc_wrap.report import html

ANY_TEXT = st.text(st.characters(exclude_categories=()))


@given(ANY_TEXT)
def test_no_character_of_a_name_acts_or_hides_text(given: str) -> None:
    shown = safe_text.name(given)
    assert len(shown) < safe_text.LONGEST_NAME * 13
    assert all(unicodedata.category(c)[0] != "C" for c in shown)
    assert shown.encode().decode() == shown


@given(st.dictionaries(ANY_TEXT.filter(lambda t: t.isprintable()), ANY_TEXT, max_size=3))
def test_pasted_text_means_the_same(value: dict[str, str]) -> None:
    shown = safe_text.paste(json.dumps(value, ensure_ascii=False))
    assert shown is not None
    assert json.loads(shown) == json.loads(json.dumps(value))
    assert shown.encode().decode() == shown


NAMES = [
    ("naïve 日本", "naïve 日本"),
    ("a\nb", "a\\u000ab"),
    ("\U000e0041", "\\udb40\\udc41"),
    ("blank\u3164", "blank\\u3164"),
    ("a\u0301\u0302\u0303", "a\u0301\u0302\\u0303"),
    ("n" * 121, "n" * 120 + "… (1 more characters)"),
    (None, ""),
]


@pytest.mark.parametrize(("given", "shown"), NAMES, ids=range(7))
def test_names_are_shown_escaped_and_shortened(given: object, shown: str) -> None:
    assert safe_text.name(given) == shown


def test_text_too_long_to_paste_is_not_shown_in_part() -> None:
    one = reports.usual()[0] | {"addition": "x" * (safe_text.LONGEST_PASTE + 1)}
    written = html.render([one], reports.META)
    assert "x" * 1000 not in written
    assert "It is too long to show" in written


@pytest.mark.parametrize("given", reports.HOSTILE, ids=range(len(reports.HOSTILE)))
def test_a_hostile_report_stays_text(given: str) -> None:
    meta = {"node": given, "policy": given, "profiles": given, "missing": [given], "kept": [given]}
    written = html.render(reports.hostile(), {**reports.META, **meta, "missing_count": 1})
    assert written.count("<script") == written.count("</script") == 1
    assert "<img" not in written
    assert "<iframe" not in written
    assert len(written) < 200_000
    assert all(c.isprintable() or c == "\n" for c in written)


LEADS = [
    ([None, None], 0, "It is unknown whether 2 workloads would notice."),
    ([None, "safe", "safe"], 9, "none of 3 workloads would notice. For 1 it is unknown."),
    (["safe"], 0, "none of 1 workload would notice."),
    ([], 2, "The profile is enforced, and nothing needs attention."),
    ([], 0, "No workload has been seen: nothing is known."),
]


@pytest.mark.parametrize(("verdicts", "calm", "lead"), LEADS)
def test_unknown_and_enforced_workloads_are_not_counted_as_unaffected(
    verdicts: list[str | None], calm: int, lead: str
) -> None:
    found = [reports.workload(f"n/p{at}/c|i", one) for at, one in enumerate(verdicts)]
    found += [reports.workload("n/p/c|i", "safe", calm=True)] * calm
    written = html.render(found, reports.META)
    assert f"{lead}</p>" in written
    assert written.count('<b class="unknown">') == verdicts.count(None)
    assert written.count('<b class="enforced">') == calm


def test_a_long_list_of_workloads_or_calls_is_cut_and_says_so() -> None:
    several = reports.large(html.MOST_WORKLOADS + 7, 0) + reports.large(1, 0)
    several[0] = reports.large(1, html.MOST_CALLS + 2)[0]
    written = html.render(several, reports.META)
    assert "8 more workloads left out here" in written
    assert "2 more calls left out here" in written
    assert f"{html.MOST_WORKLOADS + 8} of {html.MOST_WORKLOADS + 8} workloads would" in written


COMMANDS = [
    ("web", "suggest n/web/c > /etc/p/x.json"),
    ("$(reboot)", "suggest 'n/$(reboot)/c' > /etc/p/x.json"),
    ("a'; reboot", """suggest 'n/a'"'"'; reboot/c' > /etc/p/x.json"""),
    ("a\nreboot\n", ""),
    ("a\u202e", ""),
    ("p" * 200, f"suggest n/{'p' * 200}/c > /etc/p/x.json"),
    ("p" * 700, ""),
]


@pytest.mark.parametrize(("pod", "command"), COMMANDS, ids=range(7))
def test_a_command_to_paste_runs_nothing_else(pod: str, command: str) -> None:
    one = reports.workload("n/p/c|i", "denied", reports.call("mount", "denied", 1))
    one |= {"name": f"n/{pod}/c", "file": "x.json"}
    written = unescape(html.render([one], {**reports.META, "profiles": "/etc/p"}))
    assert (f"<pre>runc-wrapctl {command}</pre>" in written) == bool(command)
    assert ("<pre>runc-wrapctl" in written) == bool(command)


WORDS = [
    ("/opt/caf\u00e9", "/opt/caf\u00e9"),
    ("a, b", '"a, b"'),
    ("/x (deleted)", '"/x (deleted)"'),
    ('x" by "y', '"x\\" by \\"y"'),
    ("a\nb", '"a\\u000ab"'),
    ("", "an unknown program"),
]


@pytest.mark.parametrize(("given", "shown"), WORDS)
def test_a_program_stays_one_word_of_a_sentence(given: str, shown: str) -> None:
    assert safe_text.word(given) == shown
