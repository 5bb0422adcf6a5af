"""A user's own containers: the runtime is uid 0 of a user namespace, as under rootless Podman."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from harness.containers import bundles
from harness.host.processes import attempt
from harness.node import install

USER = 12345


def test_a_user_is_confined_by_the_nodes_policy_and_has_their_own_ledger(
    everybodys: install.Installed, built: Callable[[str], Path]
) -> None:
    place = everybodys.prefix.parent
    shutil.copy(built("probe"), place / "probe")
    install.use_runtime(everybodys, place / "probe")
    bundle = bundles.make(place / "bundle", "runc")
    own = place / "run"
    own.mkdir(mode=0o700)
    for path in (bundle.path, bundle.config, own):
        os.chown(path, USER, USER)
    user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
    words = ["create", "--bundle", str(bundle.path), "ID"]
    for inside in ([], ["unshare", "--user", "--map-root-user"]):
        environment = ["env", "-i", f"XDG_RUNTIME_DIR={own}"]
        done = attempt([*environment, *user, *inside, everybodys.wrapper, *words])
        assert done.returncode == 0, done.stderr
        assert "seccomp" in bundle.read()["linux"]
        assert bundle.config.stat().st_uid == USER
        bundle.config.write_text(json.dumps(bundles.config(bundle.name)))
    lines = (own / "runc-wrap" / "ledger" / "ledger.jsonl").read_text().splitlines()
    assert [json.loads(line)["action"] for line in lines] == ["inject", "inject"]
    assert everybodys.ledger() == []
