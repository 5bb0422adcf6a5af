"""Engines' configurations as packages, distributions and owners have them, one of each form.

Each has what that version's generator or package writes and what decides where a handler goes; the
settings that do not matter are left out. Sources: `containerd config default` of 1.6 to 2.4, the
packages' own files, k3s-io/k3s pkg/agent/templates, rancher/rke2, k0sproject/k0s
pkg/component/worker/containerd, canonical/microk8s microk8s-resources/default-args, cri-o
contrib and pkg/config, moby daemon/config, containers/common pkg/config/containers.conf.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

OLD, NEW = "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime"


@dataclass(frozen=True)
class Recorded:
    """One configuration; `files` are below the node's root, `config` is the engine's main one."""

    name: str
    engine: str
    config: str
    files: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


def _containerd_1(pause: str) -> str:
    """Return what `containerd config default` prints: every table, indented, double quotes."""
    cri = f'plugins."{OLD}"'
    return f"""disabled_plugins = []
imports = []
oom_score = 0
plugin_dir = ""
required_plugins = []
root = "/var/lib/containerd"
state = "/run/containerd"
temp = ""
version = 2

[cgroup]
  path = ""

[grpc]
  address = "/run/containerd/containerd.sock"
  uid = 0

[plugins]

  [plugins."io.containerd.gc.v1.scheduler"]
    startup_delay = "100ms"

  [{cri}]
    sandbox_image = "{pause}"

    [{cri}.cni]
      bin_dir = "/opt/cni/bin"
      conf_template = ""

    [{cri}.containerd]
      default_runtime_name = "runc"
      snapshotter = "overlayfs"

      [{cri}.containerd.default_runtime]
        runtime_type = ""

        [{cri}.containerd.default_runtime.options]

      [{cri}.containerd.runtimes]

        [{cri}.containerd.runtimes.runc]
          base_runtime_spec = ""
          container_annotations = []
          pod_annotations = []
          runtime_type = "io.containerd.runc.v2"

          [{cri}.containerd.runtimes.runc.options]
            BinaryName = ""
            Root = ""
            SystemdCgroup = true

      [{cri}.containerd.untrusted_workload_runtime]
        runtime_type = ""

        [{cri}.containerd.untrusted_workload_runtime.options]

    [{cri}.registry]
      config_path = ""

      [{cri}.registry.headers]

  [plugins."io.containerd.internal.v1.opt"]
    path = "/opt/containerd"

[proxy_plugins]

[timeouts]
  "io.containerd.timeout.shim.cleanup" = "5s"

[ttrpc]
  address = ""
"""


def _containerd_2(version: int, imports: str) -> str:
    """Return what `containerd config default` prints: single quotes, a plugin for each half."""
    cri = f"plugins.'{NEW}'"
    return f"""version = {version}
root = '/var/lib/containerd'
state = '/run/containerd'
temp = ''
disabled_plugins = []
required_plugins = []
oom_score = 0
imports = [{imports}]

[grpc]
  address = '/run/containerd/containerd.sock'

[plugins]
  [plugins.'io.containerd.cri.v1.images']
    snapshotter = 'overlayfs'

    [plugins.'io.containerd.cri.v1.images'.pinned_images]
      sandbox = 'registry.k8s.io/pause:3.10'

  [{cri}]
    enable_selinux = false

    [{cri}.containerd]
      default_runtime_name = 'runc'

      [{cri}.containerd.runtimes]
        [{cri}.containerd.runtimes.runc]
          runtime_type = 'io.containerd.runc.v2'
          pod_annotations = []
          sandboxer = 'podsandbox'
          io_type = ''

          [{cri}.containerd.runtimes.runc.options]
            BinaryName = ''
            SystemdCgroup = true

    [{cri}.cni]
      bin_dirs = ['/opt/cni/bin']

  [plugins.'io.containerd.gc.v1.scheduler']
    pause_threshold = 0.02

[timeouts]
  'io.containerd.timeout.shim.cleanup' = '5s'
"""


_ALL_OF_CONF_D = "'/etc/containerd/conf.d/*.toml'"
# Debian's package, and the one of containerd's own releases for Docker with its plugin enabled
_DEBIAN = f"""version = 2

[plugins]
  [plugins."{OLD}"]
    [plugins."{OLD}".cni]
      bin_dir = "/usr/lib/cni"
      conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.internal.v1.opt"]
    path = "/var/lib/containerd"
"""
_DOCKERS = """#   Copyright 2018-2022 Docker Inc.

#disabled_plugins = ["cri"]

#root = "/var/lib/containerd"
#state = "/run/containerd"

#[grpc]
#  address = "/run/containerd/containerd.sock"

#[debug]
#  level = "info"
"""
# As GKE and kubeadm's users write it: a second runtime, a mirror, dotted keys
_OWNERS = f"""version = 2
required_plugins = ["{OLD}"]
[plugins."{OLD}"]
  stream_server_address = "127.0.0.1"
  max_container_log_line_size = 262144
[plugins."{OLD}".containerd]
  default_runtime_name = "runc"
  discard_unpacked_layers = true
  runtimes.gvisor.runtime_type = "io.containerd.runsc.v1"
[plugins."{OLD}".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  options = {{SystemdCgroup = true, Root = "/run/runc-own"}} # inline
[plugins."{OLD}".registry.mirrors."docker.io"]
  endpoint = ["https://mirror.example",
    "https://registry-1.docker.io"]
[metrics]
  address = "127.0.0.1:1338"
"""
_NVIDIA = f"""version = 3
imports = ["/etc/containerd/conf.d/*.toml"]

[plugins]
  [plugins."{NEW}"]
    [plugins."{NEW}".containerd]
      default_runtime_name = "nvidia"
      [plugins."{NEW}".containerd.runtimes]
        [plugins."{NEW}".containerd.runtimes.nvidia]
          privileged_without_host_devices = false
          runtime_type = "io.containerd.runc.v2"
          [plugins."{NEW}".containerd.runtimes.nvidia.options]
            BinaryName = "/usr/bin/nvidia-container-runtime"
"""
_ETC = "etc/containerd/config.toml"


def _one(version: str, text: str | None, **facts: Any) -> Recorded:
    files = {} if text is None else {_ETC: text.replace("/etc/containerd", "{root}/etc/containerd")}
    return Recorded(f"containerd {version}", "containerd", _ETC, files, facts)


CONTAINERD = [
    _one("1.6 without a file", None, major=1, minor=6),
    _one("1.7 of Debian 13", _DEBIAN, major=1, minor=7),
    _one("1.7 by config default", _containerd_1("registry.k8s.io/pause:3.8"), major=1, minor=7),
    _one("2.1 of Docker's package", _DOCKERS, major=2, minor=1),
    _one("2.1 with an owner's file for 1.7", _OWNERS, major=2, minor=1),
    _one("2.1 with NVIDIA's toolkit", _NVIDIA, major=2, minor=1),
    _one("2.4 by config default", _containerd_2(4, _ALL_OF_CONF_D), major=2, minor=4),
]

# no version is version 1, and ours would have to be that of whatever the owner adds
REFUSED = _one("1.7 of Docker's package, enabled", _DOCKERS, major=1, minor=7)

_CRIO = "etc/crio/crio.conf"


def _crio(version: str, **files: str) -> Recorded:
    below = {name.replace("__", "."): text for name, text in files.items()}
    paths = {"main": _CRIO, **{name: f"{_CRIO}.d/{name}" for name in below}}
    return Recorded(version, "crio", _CRIO, {paths[name]: text for name, text in below.items()})


_RUNC_ONLY = """[crio.runtime]
default_runtime = "runc"
cgroup_manager = "systemd"
conmon_cgroup = "pod"

[crio.runtime.runtimes.runc]
runtime_path = "/usr/lib/cri-o-runc/sbin/runc"
runtime_type = "oci"
runtime_root = "/run/runc"
monitor_path = "/usr/libexec/crio/conmon"
"""
_OF_PACKAGES = """[crio.image]
signature_policy = "/etc/crio/policy.json"

[crio.runtime]
default_runtime = "crun"

[crio.runtime.runtimes.crun]
runtime_path = "/usr/libexec/crio/crun"
runtime_root = "/run/crun"
monitor_path = "/usr/libexec/crio/conmon"
allowed_annotations = [
    "io.containers.trace-syscall",
]

[crio.runtime.runtimes.runc]
runtime_path = "/usr/libexec/crio/runc"
runtime_root = "/run/runc"
monitor_path = "/usr/libexec/crio/conmon"
"""
_OPENSHIFT = """[crio.runtime]
default_env = [
    "NSS_SDB_USE_CACHE=no",
]
hooks_dir = ["/etc/containers/oci/hooks.d", "/run/containers/oci/hooks.d"]
[crio.runtime.workloads.openshift-builder]
activation_annotation = "io.openshift.builder"
allowed_annotations = ["io.kubernetes.cri-o.userns-mode", "io.kubernetes.cri-o.Devices"]
[crio.runtime.workloads.openshift-builder.resources]
"""
_COMMENTED = """# The CRI-O configuration file specifies all of the available configuration options
[crio]
# log_dir = "/var/log/crio/pods"
[crio.api]
# listen = "/var/run/crio/crio.sock"
[crio.runtime]
# default_runtime = "runc"
"""
CRIO = [
    _crio("CRI-O 1.28 of Kubic", main=_COMMENTED, **{"01-crio-runc__conf": _RUNC_ONLY}),
    _crio("CRI-O 1.36 of OpenShift", **{"00-default": _OPENSHIFT, "10-crio__conf": _OF_PACKAGES}),
]

_DOCKER = "etc/docker/daemon.json"


def _docker(version: str, text: str | None) -> Recorded:
    return Recorded(version, "docker", _DOCKER, {} if text is None else {_DOCKER: text})


DOCKER = [
    _docker("Docker 20.10 without a file", None),
    _docker("Docker 23 with NVIDIA's toolkit", """{
    "default-runtime": "nvidia",
    "runtimes": {
        "nvidia": {
            "args": [],
            "path": "nvidia-container-runtime"
        }
    }
}"""),
    _docker("Docker 28 with tabs", '{\n\t"features": {\n\t\t"buildkit": true\n\t}\n}\n'),
]  # fmt: skip

_PODMAN = "etc/containers/containers.conf"


def _podman(version: str, *, crun: bool, main: str | None, **below: str) -> Recorded:
    files = {} if main is None else {_PODMAN: main}
    files |= {f"{_PODMAN}.d/{name}.conf": text for name, text in below.items()}
    return Recorded(version, "podman", _PODMAN, files, {"crun": crun})


PODMAN = [
    _podman(
        "Podman 4.9 with its owner's lists",
        crun=True,
        main="""[containers]
# seccomp_profile = "/usr/share/containers/seccomp.json"
log_driver = "journald"
[engine]
runtime = "crun"
runtime_supports_json = ["crun", "runc", "own"]
[engine.runtimes]
own = ["/usr/local/bin/own",
       "/usr/bin/own"]
""",
    ),
    _podman(
        "Podman 5.4 with appended lists",
        crun=False,
        main="[engine]\nruntime = 'runc'\ncgroup_manager = 'cgroupfs'\n",
        **{"20-own": '[engine]\nruntime_supports_json = ["own", {append=true}]\n'},
    ),
    _podman("Podman 5.8 with other drop-ins", crun=True, main=None,
            **{"90-later": "[engine]\nevents_logger = 'file'\n"}),
]  # fmt: skip
ALL = [*CONTAINERD, *CRIO, *DOCKER, *PODMAN]
