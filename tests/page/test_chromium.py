"""The page in headless Chromium, in an empty network namespace."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.node.requirements import program
from harness.shown import browser, reports
from runc_wrap.report import html

REPORTS = {
    "one": (reports.usual()[:1], reports.META),
    "a dozen and sixty": (
        [*reports.usual(), *(one | {"calm": True} for one in reports.large(60, 0))],
        reports.META,
    ),
    "hostile": (reports.hostile(), {**reports.META, "node": reports.HOSTILE[0]}),
}


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Page]:
    program("unshare")
    program("chromium")
    with browser.page(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


def written(directory: Path, name: str) -> Path:
    path = directory / "page.html"
    path.write_text(html.render(*REPORTS[name]), encoding="utf-8")
    return path


def test_hostile_markup_does_not_run(tab: browser.Page, tmp_path: Path) -> None:
    path = written(tmp_path, "hostile")
    tab.open(path, browser.PHONE)
    assert not tab.evaluate("document.documentElement.scrollWidth > innerWidth")
    assert (tab.requests, tab.complaints) == ([path.as_uri()], [])  # it loads nothing
    assert tab.evaluate("document.title") == f"What would break? {reports.HOSTILE[0]}"
    counts = (
        "['script', 'img', 'iframe', '[onerror]'].map(s => document.querySelectorAll(s).length)"
    )
    assert tab.evaluate(counts) == [1, 0, 0, 0]
    shown = tab.evaluate("document.documentElement.textContent")
    assert not set("\x1b\0\u202e\u2066\u2069\u2028\x85\x07") & set(shown)
    assert "{{ 7 * 7 }}" in shown
    assert len(shown) < 100_000


def test_without_the_pages_defences_the_same_markup_runs(tab: browser.Page, tmp_path: Path) -> None:
    path = tmp_path / "open.html"
    path.write_text(f"<title>x</title><p>{reports.HOSTILE[0]}</p>")
    tab.open(path, browser.DESKTOP)
    assert tab.evaluate("document.title") == "ran"


def test_the_pages_content_policy_stops_what_escaping_would_miss(
    tab: browser.Page, tmp_path: Path
) -> None:
    path = tmp_path / "policy.html"
    foreign = "<script>document.title = 'ran'</script><img src='http://192.0.2.1/x.png'>"
    path.write_text(html.render(*REPORTS["one"]).replace("<main>", f"<main>{foreign}"))
    tab.open(path, browser.DESKTOP)
    assert tab.evaluate("document.title") != "ran"
    assert len(tab.complaints) == 2
    assert all("Content Security Policy" in one for one in tab.complaints)


FILTERED = """
(() => {{
  const input = document.querySelector("input");
  input.value = "{words}";
  input.dispatchEvent(new Event("input"));
  const shown = [...document.querySelectorAll(".workload")].filter((one) => one.checkVisibility());
  return shown.map((one) => one.querySelector("bdi").textContent);
}})()
"""


def test_the_filter_shows_workloads_with_all_its_words(tab: browser.Page, tmp_path: Path) -> None:
    tab.open(written(tmp_path, "a dozen and sixty"), browser.DESKTOP)
    assert len(tab.evaluate(FILTERED.format(words=""))) == 73
    assert tab.evaluate(FILTERED.format(words="Moby UNSHARE")) == ["ci/runner-builds/buildkit"]
    assert len(tab.evaluate(FILTERED.format(words="enforced"))) == 60
    assert tab.evaluate(FILTERED.format(words="nowhere")) == []
    assert tab.complaints == []
