"""The distributions of Kubernetes that bring a containerd of their own, and where they keep it.

They write its configuration again at every start, so that a handler goes elsewhere:

    k3s, RKE2  a drop-in where the generated file imports them (since February 2026, k3s pull
               request 13680), otherwise the template that it is generated from
    k0s        /etc/k0s/containerd.d, which it watches: no restart
    MicroK8s   the template, in which sed replaces ${NAME}: TOML before as after

Sources: k3s-io/k3s pkg/agent/containerd; k0sproject/k0s pkg/component/worker/containerd and
docs/runtime.md; canonical/microk8s microk8s-resources/wrappers/run-containerd-with-args.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runc_wrap.node.installed_programs import DISTRIBUTIONS

if TYPE_CHECKING:
    from pathlib import Path

_RANCHER = "agent/etc/containerd/config.toml"


@dataclass(frozen=True)
class Distribution:
    """`config`: the file by which a registration is known: what containerd reads, or its template.

    `in_force`: what containerd reads. `drop_ins`: where it takes drop-ins by itself, "" if the file
    tells. `units`: the first that the node has runs it. `state`: its directory of running
    containers, if a flag says it, and another one the socket: the configuration does not count.
    """

    name: str
    config: str
    in_force: str
    socket: str
    binary: str
    units: tuple[str, ...]
    drop_ins: str = ""
    state: str = ""


def _rancher(name: str, units: tuple[str, ...]) -> Distribution:
    config = f"/var/lib/rancher/{name}/{_RANCHER}"
    socket = "/run/k3s/containerd/containerd.sock"
    return Distribution(name, config, config, socket, DISTRIBUTIONS[name], units)


ALL = (
    _rancher("k3s", ("k3s.service", "k3s-agent.service")),
    _rancher("rke2", ("rke2-server.service", "rke2-agent.service")),
    Distribution(
        "k0s",
        "/etc/k0s/containerd.toml",
        "/etc/k0s/containerd.toml",
        "/run/k0s/containerd.sock",
        DISTRIBUTIONS["k0s"],
        ("k0scontroller.service", "k0sworker.service"),
        "/etc/k0s/containerd.d",
        state="/run/k0s/containerd",
    ),
    Distribution(
        "microk8s",
        "/var/snap/microk8s/current/args/containerd-template.toml",
        "/var/snap/microk8s/current/args/containerd.toml",
        "/var/snap/microk8s/common/run/containerd.sock",
        DISTRIBUTIONS["microk8s"],
        ("snap.microk8s.daemon-containerd.service",),
        state="/var/snap/microk8s/common/run/containerd",
    ),
)


def named(flavour: str) -> Distribution | None:
    """Return the distribution of an installation's flavour; None for "", which is none."""
    return next((each for each in ALL if each.name == flavour), None)


def of_config(config: Path) -> Distribution | None:
    """Return the distribution that writes this configuration of containerd, None if none does.

    With `--data-dir` k3s and RKE2 keep it elsewhere, at the same path below.
    """
    found = next((each for each in ALL if str(config) == each.config), None)
    if found is None and str(config).endswith(f"/{_RANCHER}"):
        return ALL[1 if "rke2" in config.parts else 0]
    return found


def binary(each: Distribution, config: Path | None = None) -> str:
    """Return the path of its containerd; `--data-dir` moves it, as it moves `config`."""
    if config is None or str(config) == each.config or not str(config).endswith(f"/{_RANCHER}"):
        return each.binary
    usual, moved = (str(one).removesuffix(f"/{_RANCHER}") for one in (each.config, config))
    return each.binary.replace(usual, moved, 1)


def installed(each: Distribution, root: Path) -> bool:
    """Tell whether the node has this distribution's containerd: its configuration or its binary."""
    return (root / each.config.lstrip("/")).exists() or (root / each.binary.lstrip("/")).exists()
