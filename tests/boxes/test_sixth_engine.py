"""An engine that no line of runc_wrap names is registered, asked, proved and removed as the others.

Its class and its names are in sixth_engine.py, as CONTRIBUTING has it; it is a unit of systemd.
The hot path knows it as `unknown`.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.host.processes import Run
from harness.kernel.process_status import FILTER, seccomp_in
from harness.node.guest import Guest, Node
from runc_wrap.engines import probe_container

HERE = Path(__file__).parent
MODULES = ("sixth_engine.py", "sixth_program.py")
# An installation of its own, whose creates no service decides; its Python runs the engine, too.
PREFIX, PLACE, CONFIG = "/opt/sixth", "/root/sixth", "/etc/sixth/sixth.conf"
ROOT = f"{PLACE}/root"
OWNERS = "runtime runc /usr/sbin/runc\ndefault runc\n"
_PYTHON = f"{PREFIX}/lib/current/venv/bin/python"
_CTL = f"""{_PYTHON} -c "
import runpy, sys; sys.path.insert(0, '{PLACE}')
runpy.run_module('tests.boxes.sixth_engine', run_name='__main__')" --prefix {PREFIX} "$@"
"""
_UNIT = f"""
[Service]
ExecStartPre=rm -f /run/sixth/loaded
ExecStart=/usr/local/sbin/sixth serve {CONFIG}
ExecStartPost=sh -c 'until [ -e /run/sixth/loaded ]; do kill -0 $MAINPID || exit; sleep 0.1; done'
"""
_BEGIN = rf"""
cp -R /root/archive {PREFIX}; {PREFIX}/bin/runc-wrapctl apply
{_PYTHON} -c "
import pathlib; from runc_wrap.engines import probe_container
probe_container.write_rootfs(pathlib.Path('{ROOT}'))"
printf '#!/bin/sh\nexec {_PYTHON} -IS {PLACE}/tests/boxes/sixth_program.py "$@"\n' \
    > /usr/local/sbin/sixth
chmod 755 /usr/local/sbin/sixth
mkdir /etc/sixth; printf %s "$1" > {CONFIG}
printf %s "$2" > /etc/systemd/system/sixth.service
systemctl daemon-reload; systemctl start sixth
"""
_END = f"""
systemctl stop sixth
rm -r /etc/sixth /etc/systemd/system/sixth.service /usr/local/sbin/sixth /run/sixth
rm -r {PREFIX} {PLACE}
systemctl daemon-reload
"""


class Sixth:
    """The box with this engine as a unit, and an installation that knows it."""

    def __init__(self, machine: Guest) -> None:
        self.machine = machine

    def engine(self, *words: str) -> Run:
        return self.machine.attempt('sixth "$@"', *words)

    def ctl(self, *words: str, status: int = 0) -> Any:
        """Run runc-wrapctl with this engine; return its document, or what it says."""
        done = self.machine.attempt(_CTL, *words)
        assert done.returncode == status, done.stderr + done.stdout
        if "--json" in words and status < 2:
            return json.loads(done.stdout)
        return done.stdout + done.stderr

    def change(self, verb: str, *words: str, status: int = 0) -> Any:
        return self.ctl("engine", verb, "sixth", "--json", *words, status=status)

    def config(self) -> str:
        return self.machine.sh(f"cat {CONFIG}")

    def write(self, file: str, text: str) -> None:
        self.machine.sh('printf %s "$2" > "$1"', file, text)


@pytest.fixture
def sixth(node: Node) -> Iterator[Sixth]:
    machine = node.machine
    machine.copy_in([HERE / name for name in MODULES], f"{PLACE}/tests/boxes")
    machine.sh(f"mkdir {ROOT}")
    machine.sh(_BEGIN, OWNERS, _UNIT)
    yield Sixth(machine)
    machine.sh(_END)


def test_it_is_registered_asked_and_removed_as_the_others(sixth: Sixth) -> None:
    added = sixth.change("add", "--restart", "--default")
    assert "in mode enforce, equal call by call" in added["proved"]
    (found,) = sixth.ctl("engine", "status", "--json")
    (handler,) = found["handlers"]
    assert (found["version"], found["drift"]) == ("29.0.0", [])
    assert (handler["configured"], handler["in_force"], handler["default_in_force"]) == (True,) * 3
    started = sixth.engine("run", "one", "", "none", "", ROOT, f"/{probe_container.PROGRAM}")
    assert started.returncode == 0, started.stderr
    pid = sixth.machine.json("runc state one")["pid"]
    assert seccomp_in(sixth.machine.sh(f"cat /proc/{pid}/status")) == FILTER
    assert "is needed by 1 container: one (sixth, running)" in sixth.change("remove", status=2)
    assert sixth.engine("remove", "one").returncode == 0
    removed = sixth.change("remove", "--restart")
    assert removed["proved"] == "the engine's default starts a container"
    assert sixth.config() == OWNERS


def test_what_it_refuses_is_taken_back(sixth: Sixth) -> None:
    sixth.write(CONFIG, f"{OWNERS}something else\n")
    assert "not a line of mine" in sixth.change("add", "--restart", status=1)["reason"]
    assert sixth.config() == f"{OWNERS}something else\n"


def test_doctor_metrics_and_list_know_it(sixth: Sixth) -> None:
    sixth.change("add", "--restart")
    (row,) = (one for one in sixth.ctl("engine", "list", "--json") if one["engine"] == "sixth")
    assert [one["in_force"] for one in row["registered"]] == [True]
    sixth.write(CONFIG, OWNERS)
    found = sixth.ctl("doctor", "--json", status=1)
    assert "sixth does not show the handler" in json.dumps(found["findings"])
    ledger = f"{PREFIX}/var/ledger/ledger.jsonl"
    line = sixth.machine.json(f"tail -n 1 {ledger}") | {"id": "other", "engine": "sixth"}
    sixth.machine.sh(f'printf "%s\\n" "$1" >> {ledger}', json.dumps(line))
    assert 'engine="sixth"' in sixth.ctl("metrics")


def test_its_default_is_captured_and_the_policy_can_name_it(sixth: Sixth) -> None:
    sixth.change("add", "--restart")
    sixth.ctl("profile", "capture", "sixth", "--json", status=1)
    rule = '[[rule]]\nname = "its own"\nengine = ["sixth"]\nmode = "audit"\n'
    chosen = '[runtime_default]\nengine = "sixth"\nsource = "captured"\n'
    sixth.write(f"{PREFIX}/etc/config.toml", chosen + rule)
    sixth.ctl("apply")
    listed = sixth.ctl("profile", "list", "--json")
    (name,) = (one["name"] for one in listed if "sixth" in one["runtime_default_of"])
    assert name.startswith("sixth@captured-")
