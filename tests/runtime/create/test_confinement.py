"""A container's state in the kernel, without us and with us, and the line in the ledger."""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.containers.block_rules import profile, rule
from harness.containers.bundles import seccomp_of_exec
from runc_wrap.hotpath import json_codec
from tests.runtime.conftest import Lab

DENY_MKDIR = profile(rule("ERRNO", "mkdir", "mkdirat", errnoRet=111))


@pytest.mark.parametrize(("command", "flags"), [("create", ()), ("run", ("--detach",))])
def test_a_container_without_a_profile_gets_one(
    lab: Lab, command: str, flags: tuple[str, ...]
) -> None:
    bare = lab.bundle()
    assert bare.seccomp(lab.bare, command, *flags) == 0
    wrapped = lab.bundle()
    assert wrapped.seccomp(lab.wrapped, command, *flags) == 2
    assert seccomp_of_exec(wrapped, lab.wrapped) == 2


@pytest.mark.parametrize(
    "seccomp", [None, {}, {"architectures": ["SCMP_ARCH_X86_64"]}], ids=["null", "empty", "blank"]
)
def test_a_config_without_a_profile_for_runc_has_none_for_us(runc: Lab, seccomp: Any) -> None:
    bare = runc.bundle(seccomp=seccomp)
    assert bare.seccomp(runc.bare) == 0
    wrapped = runc.bundle(seccomp=seccomp)
    assert wrapped.seccomp(runc.wrapped) == 2


def test_a_container_that_opted_out_is_unchanged(lab: Lab) -> None:
    confined = lab.bundle({"other": "unconfined"})
    assert confined.seccomp(lab.wrapped) == 2
    bundle = lab.bundle({"runc-wrap/seccomp": "unconfined"})
    before = bundle.config.read_bytes()
    assert bundle.seccomp(lab.wrapped) == 0
    assert bundle.config.read_bytes() == before
    line = lab.installed.ledger()[-1]
    found = [line[name] for name in ("id", "action", "declared", "digest")]
    assert found == [bundle.name, "leave", "unconfined", None]


def test_an_existing_profile_is_kept(lab: Lab) -> None:
    bundle = lab.bundle(seccomp=DENY_MKDIR)
    before = bundle.config.read_bytes()
    assert bundle.seccomp(lab.wrapped) == 2
    assert bundle.config.read_bytes() == before


def test_the_owners_profile_denies(lab: Lab) -> None:
    profiles = lab.installed.prefix / "etc" / "profiles"
    (profiles / "sub").mkdir(exist_ok=True)
    (profiles / "sub" / "no-mkdir.json").write_text(json.dumps(DENY_MKDIR))
    lab.installed.control("apply")
    annotations = {"runc-wrap/seccomp": "localhost/sub/no-mkdir.json"}
    said = {}
    for runtime in (lab.bare, lab.wrapped):
        bundle = lab.bundle(annotations)
        bundle.create(runtime)
        said[runtime] = bundle.call(runtime, "exec", after=("/bin/mkdir", "/tmp/x"))
    assert said[lab.bare].returncode == 0
    assert "Connection refused" in said[lab.wrapped].stdout  # errno 111


def test_a_precompiled_filter_is_used_by_crun_and_ignored_by_runc(runc: Lab, crun: Lab) -> None:
    allow_all = "BgAAAAAA/38="  # one instruction: BPF_RET SECCOMP_RET_ALLOW
    for lab in (crun, runc):
        bundle = lab.bundle({"run.oci.seccomp_bpf_data": allow_all})
        before = bundle.config.read_bytes()
        assert bundle.seccomp(lab.wrapped) == 2
        assert (bundle.config.read_bytes() == before) == (lab is crun)


def test_the_second_container_with_the_same_profile_has_the_same_bytes(lab: Lab) -> None:
    first, second = lab.bundle(), lab.bundle()
    for bundle in (first, second):
        bundle.create(lab.wrapped)
    blocks = [json.dumps(one.read()["linux"]["seccomp"]) for one in (first, second)]
    assert blocks[0] == blocks[1]


def test_each_create_writes_one_line_with_its_decision(lab: Lab) -> None:
    bundle = lab.bundle()
    bundle.create(lab.wrapped)
    line = lab.installed.ledger()[-1]
    assert line["id"] == bundle.name
    assert line["bundle"] == str(bundle.path)
    assert line["root"] == str(bundle.path / "state")
    assert line["pid_file"] == str(bundle.path / "pid")
    assert (line["action"], line["mode"], line["engine"]) == ("inject", "enforce", "unknown")
    assert 0 < line["seconds"] < 10
    block = json_codec.dumps(bundle.read()["linux"]["seccomp"])
    assert line["digest"] == hashlib.blake2b(block, digest_size=32).hexdigest()


def test_a_command_that_creates_nothing_leaves_no_line(lab: Lab) -> None:
    bundle = lab.bundle()
    bundle.create(lab.wrapped)
    before = lab.installed.ledger()[-1]
    bundle.call(lab.wrapped, "state")
    bundle.call(lab.wrapped, "delete", "--force")
    assert lab.installed.ledger()[-1] == before


def test_a_container_starts_although_the_ledger_cannot_be_written(runc: Lab) -> None:
    ledger = runc.installed.prefix / "var" / "ledger"
    ledger.mkdir(0o700, exist_ok=True)
    aside = ledger.with_name("aside")
    aside.write_text("a file in its place")
    _exchange(ledger, aside)
    try:
        assert runc.bundle().seccomp(runc.wrapped) == 2
        assert ledger.is_file()
    finally:
        _exchange(ledger, aside)
        aside.unlink()


def _exchange(one: Path, other: Path) -> None:
    """In one step: whoever writes a line meanwhile makes a missing directory anew."""
    subprocess.run(["mv", "--exchange", "--no-target-directory", one, other], check=True)
