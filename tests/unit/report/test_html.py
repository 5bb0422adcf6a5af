from __future__ import annotations

import json
import re
import tomllib
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.shown import reports
from runc_wrap import safe_text
from runc_wrap.report import html, matrix_picture

ANY_TEXT = st.text(st.characters(exclude_categories=()))


@given(ANY_TEXT)
def test_no_character_of_a_name_acts_or_hides_text(given: str) -> None:
    shown = safe_text.name(given)
    assert len(shown) < safe_text.LONGEST_NAME * 13
    assert all(unicodedata.category(c)[0] != "C" for c in shown)
    assert shown.encode().decode() == shown


@given(st.dictionaries(ANY_TEXT.filter(lambda t: t.isprintable()), ANY_TEXT, max_size=3))
def test_pasted_text_means_the_same(value: dict[str, str]) -> None:
    written = json.dumps(value, ensure_ascii=False)
    shown = safe_text.paste(written)
    assert shown is not None
    assert json.loads(shown) == json.loads(json.dumps(value))
    assert shown.encode().decode() == shown


def test_a_bidirectional_control_in_a_rule_is_pasted_as_toml_escapes_it() -> None:
    shown = safe_text.paste('name = "gpj.\u202eexe"')
    assert shown == 'name = "gpj.\\u202eexe"'
    assert tomllib.loads(shown) == {"name": "gpj.\u202eexe"}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("plain", "plain"),
        ("naïve 日本", "naïve 日本"),
        ("\x1b[31m", "\\u001b[31m"),
        ("a\nb", "a\\u000ab"),
        ("\U000e0041", "\\udb40\\udc41"),
        ("blank\u3164", "blank\\u3164"),
        ("a\u0301\u0302\u0303", "a\u0301\u0302\\u0303"),
        ("n" * 121, "n" * 120 + "… (1 more characters)"),
        (None, ""),
        (13, "13"),
    ],
    ids=range(10),
)
def test_names_are_shown_escaped_and_shortened(given: object, shown: str) -> None:
    assert safe_text.name(given) == shown


def test_text_too_long_to_paste_is_not_shown_in_part() -> None:
    one = reports.usual()[0] | {"addition": "x" * (safe_text.LONGEST_PASTE + 1)}
    written = html.render([one], {})
    assert "x" * 1000 not in written
    assert "too long to show whole" in written


@pytest.mark.parametrize("given", reports.HOSTILE, ids=range(len(reports.HOSTILE)))
def test_a_hostile_report_stays_text(given: str) -> None:
    written = html.render(reports.hostile(), {"node": given, "version": given, "policy": given})
    assert written.count("<script") == written.count("</script") == 1
    assert "<img" not in written
    assert "<iframe" not in written
    assert len(written) < 200_000
    assert all(c.isprintable() or c == "\n" for c in written)


def test_a_report_with_nothing_but_nulls_can_be_shown() -> None:
    nothing = dict.fromkeys(reports.usual()[0])
    call = dict.fromkeys(reports.usual()[0]["calls"][0])
    written = html.render([nothing, nothing | {"calls": [call]}, {}], dict.fromkeys(reports.META))
    assert written.count("without a name") >= 3
    assert "not known" in written


def test_the_page_shows_call_program_count_times_and_what_to_paste() -> None:
    written = html.render(reports.usual(), reports.META)
    for wanted in (
        "<strong>6 of 13 workloads</strong>",
        "<code>unshare</code>",
        "<b>EPERM</b>: the call fails",
        "<b>ENOSYS</b>: as if the kernel had no such call",
        "/usr/bin/buildctl-daemonless.sh",
        ">20,418<",
        '<time datetime="2026-11-17T09:12:40.120000+00:00">17 Nov 2026, 09:12</time>',
        reports.WEEK,
        reports.MINUTE,
        "AF_ALG, SOCK_SEQPACKET, 0",
        "mode = &#34;enforce&#34;",
        reports.MANY[0],
        "runc-wrap/seccomp.buildkit: localhost/ci_runner-builds_buildkit.json",
        "runc-wrapctl suggest ci/runner-builds/buildkit &gt; /opt/runc-wrap/etc/profiles/ci_",
        "230 records were lost",
        "14 records could not be attributed to a container",
    ):
        assert wanted in written, wanted


def test_the_worst_comes_first_and_among_equals_the_most_frequent() -> None:
    shown = html.view(reports.usual(), {})
    assert [one["short"] for one in shown["affected"]] == [
        "fio",
        "buildkit",
        "perf",
        "keys",
        "crypto-worker",
        "elastic",
    ]
    assert [one["verdict"] for one in shown["untold"]] == ["unknown"]
    assert [one["verdict"] for one in shown["others"]] == ["safe"] * 6


@pytest.mark.parametrize(
    ("verdicts", "lead", "captions"),
    [
        ([None, None], "It is unknown whether 2 workloads would notice", ["have no verdict"]),
        (
            [None, "safe", "safe"],
            "none of 2 workloads would notice. For 1 more it is unknown.",
            ["have no verdict", "would not notice"],
        ),
        (["safe"], "none of 1 workload would notice.", ["would not notice"]),
    ],
)
def test_unknown_workloads_are_not_counted_as_unaffected(
    verdicts: list[str | None], lead: str, captions: list[str]
) -> None:
    names = enumerate(verdicts)
    written = html.render([reports.workload(f"n/p{at}/c|i", one) for at, one in names], {})
    assert lead in written
    found = re.findall(r"<caption class=.unseen.>Workloads that ([a-z ]+?)<", written)
    assert found == captions
    tables = [one.count('<tr id="w') for one in written.split("<caption")[1:]]
    assert sum(tables) == len(verdicts)
    assert tables[0] == (verdicts.count(None) or len(verdicts))


def test_calls_of_unknown_outcome_are_shown_and_not_called_denied() -> None:
    unknown = reports.call("keyctl", "unknown", 3, errno=None, outcome="not known")
    shown = html.view([reports.workload("a/b/c|d", None, unknown | {"verdict": None})], {})
    assert shown["noticing"] == 0
    assert [one["verdict"] for one in shown["affected"][0]["calls"]] == ["unknown"]


def test_enforced_workloads_without_denials_are_one_line_and_counted_nowhere_else() -> None:
    calm = [reports.workload(f"n/p{at}/c|i", None, calm=True) for at in range(61)]
    shown = html.view([*calm, *reports.usual()], {})
    assert (shown["total"], shown["unknown"], shown["enforced"]) == (13, 1, 61)
    written = html.render([*calm, *reports.usual()], {})
    assert "<summary>61 workloads enforced, nothing needs attention</summary>" in written
    alone = html.render(calm, {})
    assert "Everything here is enforced, and nothing needs attention." in alone


def test_among_equals_running_workloads_come_first() -> None:
    names = [("n/p/a|i", 0), ("n/p/b|i", 2)]
    call = reports.call("mount", "denied", 1)
    found = [reports.workload(name, "denied", call, running=number) for name, number in names]
    assert [one["short"] for one in html.view(found, {})["affected"]] == ["b", "a"]


@pytest.mark.parametrize(
    ("workloads", "calls", "rows", "columns"),
    [(1, 1, 1, 1), (60, 40, 60, 40), (200, 100, 61, 41)],
)
def test_the_picture_is_bounded_and_says_how_many_more_there_are(
    workloads: int, calls: int, rows: int, columns: int
) -> None:
    shown = html.view(reports.large(workloads, calls), {})
    drawn: matrix_picture.Picture = shown["picture"]
    with_calls = sum(1 for one in shown["affected"] if one["calls"])
    assert len(drawn.rows) == min(with_calls, rows)
    assert len(drawn.columns) == columns
    assert drawn.hidden_rows == max(0, with_calls - matrix_picture.ROWS)
    assert drawn.hidden_columns == max(0, calls - matrix_picture.COLUMNS)
    if drawn.hidden_columns:
        assert drawn.columns[-1].text == f"{drawn.hidden_columns} more"
    places = {(cell.x, cell.y) for cell in drawn.cells}
    assert len(places) == len(drawn.cells)
    assert max(x for x, _ in places) < len(drawn.columns) * matrix_picture.CELL


def test_a_cell_for_several_has_the_worst_of_them() -> None:
    several = [
        reports.workload(f"n/p{at}/c|i", kind, reports.call("mount", kind, 1))
        for at, kind in enumerate(["denied"] * matrix_picture.ROWS + ["degrades", "depends"])
    ]
    (last,) = [
        one for one in html.view(several, {})["picture"].cells if one.y == 60 * matrix_picture.ROW
    ]
    assert (last.verdict, last.title) == ("depends", "2 more, at worst: depends on arguments")


def test_a_long_list_of_workloads_is_cut_and_says_so() -> None:
    written = html.render(reports.large(html.MOST_WORKLOADS + 7, 1), {})
    assert "7 more workloads are" in written
    assert f"<strong>{html.MOST_WORKLOADS + 7} of" in written


@pytest.mark.parametrize(
    ("pod", "command"),
    [
        ("web", "suggest n/web/c > /etc/p/x.json"),
        ("$(reboot)", "suggest 'n/$(reboot)/c' > /etc/p/x.json"),
        ("a'; reboot", """suggest 'n/a'"'"'; reboot/c' > /etc/p/x.json"""),
        ("a\nreboot\n", ""),
        ("a\u202e", ""),
        ("p" * 200, f"suggest n/{'p' * 200}/c > /etc/p/x.json"),
        ("p" * 700, ""),
    ],
    ids=range(7),
)
def test_a_command_to_paste_runs_nothing_else(pod: str, command: str) -> None:
    one = reports.workload("n/p/c|i", "denied", reports.call("mount", "denied", 1))
    one |= {"name": f"n/{pod}/c", "file": "x.json"}
    (shown,) = html.view([one], {"profiles": "/etc/p"})["affected"]
    assert shown["command"] == (command and f"runc-wrapctl {command}")


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("/usr/lib/jvm/java-25/bin/java", "/usr/lib/jvm/java-25/bin/java"),
        ("/opt/caf\u00e9", "/opt/caf\u00e9"),
        ("a, b", '"a, b"'),
        ("/x (deleted)", '"/x (deleted)"'),
        ('x" by "y', '"x\\" by \\"y"'),
        ("a\nb", '"a\\u000ab"'),
        ("", "an unknown program"),
    ],
)
def test_a_program_stays_one_word_of_a_sentence(given: str, shown: str) -> None:
    assert safe_text.word(given) == shown
