"""A test of the real kernel that failed is run once more; this keeps that from hiding anything.

    pytest -p tests.reruns --reruns 1

Such tests share one kernel and its records with all that runs on the machine. A second failure is a
failure. So are more tests that failed once than MOST. Those that failed once are named at the end,
with what they said: each is a defect, of the test or of what it tests.
"""

import pytest
from _pytest.terminal import TerminalReporter

MOST = 3  # tests in one run that may fail once
_RERUN = "rerun"  # pytest-rerunfailures' outcome


def _reporter(config: pytest.Config) -> TerminalReporter | None:
    found: TerminalReporter | None = config.pluginmanager.get_plugin("terminalreporter")
    return found


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run if too many tests failed once."""
    reporter = _reporter(session.config)
    if reporter and len(reporter.stats.get(_RERUN, ())) > MOST:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Show what each test said that failed once."""
    once = terminalreporter.stats.get(_RERUN, ())
    if once:
        terminalreporter.section(f"{len(once)} failed once (more than {MOST} fail the run)")
    for report in once:
        terminalreporter.write_line(f"{report.nodeid}\n{report.longreprtext}\n")
