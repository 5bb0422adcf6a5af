"""hooks/: with real Podman, on the bare runtimes; the opposite, without the hook, first."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from harness.containers.block_rules import of_bundle
from harness.engines.images import REFERENCE
from harness.engines.podman import Podman
from harness.host.processes import attempt
from harness.kernel.process_status import DISABLED, FILTER
from harness.node.install import Installed
from runc_wrap.hotpath import json_codec
from runc_wrap.hotpath.json_codec import digest
from tests.engine.conftest import Ctl

BOTH = pytest.mark.parametrize("runtime", ["runc", "crun"])


@pytest.fixture(name="own")
def _own(own_installation: Installed) -> Installed:
    return own_installation


def hooks_dir(own: Installed, stage: str, *options: str) -> Path:
    """Return a directory for --hooks-dir with the definition that is installed, for this copy."""
    source = own.prefix / "hooks" / f"{stage}.d" / f"runc-wrap-{stage}.json"
    definition = json.loads(source.read_text())
    definition["hook"]["path"] = str(own.prefix / "hooks" / f"runc-wrap-{stage}")
    definition["hook"]["args"] += options
    target = own.prefix / f"{stage}.d"
    target.mkdir()
    (target / source.name).write_text(json.dumps(definition))
    return target


def block(podman: Podman, container: str) -> Any:
    return of_bundle(podman.bundle(container))


@pytest.fixture
def ctl(podman: Podman, own: Installed) -> Ctl:
    return Ctl(own, podman.space.prefix)


def test_the_definition_names_the_installation(installed: Installed) -> None:
    prefix = (installed.prefix / "lib" / "releases").resolve().parents[1]  # of which this is a copy
    file = prefix / "hooks" / "precreate.d" / "runc-wrap-precreate.json"
    definition = json.loads(file.read_text())
    assert definition["stages"] == ["precreate"]
    assert definition["hook"]["path"] == f"{prefix}/hooks/runc-wrap-precreate"
    assert Path(definition["hook"]["path"]).stat().st_mode & 0o111


@BOTH
def test_precreate_confines_without_replacing_the_runtime(
    podman: Podman, own: Installed, ctl: Ctl, runtime: str
) -> None:
    assert podman.started(runtime) == DISABLED
    hooks = hooks_dir(own, "precreate", "--runtime", runtime)
    container = podman.start(runtime, hooks=hooks)
    assert podman.seccomp(container) == FILTER
    (line,) = own.ledger(container)
    assert (line["via"], line["engine"], line["action"]) == ("hook", "podman", "inject")
    one = ctl.status()[container]
    assert (one["agrees"], one["action"]) == (True, "inject")
    assert ctl.shown("verify", "--deep")["disagreeing"] == []


def test_precreate_injects_what_the_runtime_would(podman: Podman, own: Installed) -> None:
    hooked = podman.start("runc", hooks=hooks_dir(own, "precreate"))
    wrapped = podman.start("wrapped")
    assert block(podman, hooked) == block(podman, wrapped)


def test_precreate_honours_opt_outs_and_own_profiles(podman: Podman, own: Installed) -> None:
    hooks = hooks_dir(own, "precreate")
    opt_out = ["--annotation", "runc-wrap/seccomp=unconfined"]
    container = podman.start("runc", *opt_out, hooks=hooks)
    assert podman.seccomp(container) == DISABLED
    assert own.ledger(container)[0]["declared"] == "unconfined"
    profile = own.prefix / "profile.json"
    profile.write_text('{"defaultAction": "SCMP_ACT_LOG"}')
    container = podman.start("runc", "--security-opt", f"seccomp={profile}", hooks=hooks)
    assert block(podman, container)["defaultAction"] == "SCMP_ACT_LOG"
    assert own.ledger(container)[0]["action"] == "keep"


def test_precreate_refuses_what_the_runtime_would_refuse(podman: Podman, own: Installed) -> None:
    words = ["run", "--rm", "--annotation", "runc-wrap/seccomp=nonsense", REFERENCE, "true"]
    assert podman.try_podman("--runtime", "runc", *words).returncode == 0
    hooks = hooks_dir(own, "precreate")
    done = podman.try_podman("--hooks-dir", hooks, "--runtime", "runc", *words)
    assert done.returncode != 0
    assert "runc-wrap-precreate" in done.stderr
    config = '{"linux": {}, "annotations": {"runc-wrap/seccomp": "nonsense"}}'
    said = attempt([own.prefix / "hooks" / "runc-wrap-precreate"], stdin=config)
    assert (said.returncode, said.stdout) == (1, "")
    assert "nonsense" in said.stderr


OBSERVE = '[default]\nmode = "observe"\n'


@BOTH
def test_precreate_in_observe_without_an_agent_audits_as_a_create_does(
    podman: Podman, own: Installed, runtime: str
) -> None:
    """Both runtimes refuse a config with a listener path at which no agent listens."""
    own.configure(f'runtime = ["{runtime}"]\n{OBSERVE}')
    container = podman.start(runtime, hooks=hooks_dir(own, "precreate", "--runtime", runtime))
    assert podman.seccomp(container) == FILTER
    (line,) = own.ledger(container)
    assert (line["action"], line["mode"]) == ("inject", "audit")
    assert line["reason"].endswith("No agent listens, so the mode is audit instead of observe.")
    assert "listenerPath" not in block(podman, container)


def test_precreate_confines_although_the_ledger_is_full(podman: Podman, own: Installed) -> None:
    full = own.prefix / "var" / "ledger" / "ledger.jsonl"
    full.parent.mkdir(exist_ok=True)
    os.mknod(full, 0o600 | stat.S_IFCHR, Path("/dev/full").stat().st_rdev)
    with pytest.raises(OSError, match="No space left"):
        full.write_text("a line")
    assert podman.started("runc", hooks=hooks_dir(own, "precreate")) == FILTER


def test_the_digest_is_of_the_profile_as_podman_writes_it(
    podman: Podman, own: Installed, ctl: Ctl
) -> None:
    odd = {
        "args": [{"value": 1, "op": "SCMP_CMP_NE", "valueTwo": 0, "index": 0}],
        "errnoRet": 0,
        "action": "SCMP_ACT_ERRNO",
        "names": ["mkdir"],
    }
    profile = {"syscalls": [odd], "flags": [], "defaultAction": "SCMP_ACT_ALLOW"}
    (own.prefix / "etc" / "profiles" / "odd.json").write_text(json.dumps(profile))
    own.control("apply")
    words = ["--annotation", "runc-wrap/seccomp=localhost/odd.json"]
    container = podman.start("runc", *words, hooks=hooks_dir(own, "precreate"))
    assert own.ledger(container)[0]["digest"] == digest(json_codec.dumps(block(podman, container)))
    ctl.shown("verify", "--deep")
