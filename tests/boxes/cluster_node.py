"""A box as a cluster's node, without a kubelet: Podman runs the pod, beside containerd.

The API server runs in a container of the installer's image, which has a Python with TLS.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.engines.images import REFERENCE
from harness.host.processes import CommandError, run, wait_until
from harness.node.guest import CONTAINERD, LISTING, PAUSE, PREFIX, Guest
from harness.node.requirements import program
from runc_wrap.cluster import api_server
from runc_wrap.cluster.node_object import STATE
from tests.kubernetes import installer_pod, node_api_server, rendered
from tests.kubernetes.installer_pod import CONTAINER, Given
from tests.unit.cluster import api_stand_in

NODE, POD = "n1", "runc-wrap-x7k2p"
INSTALLER, METRICS = f"{POD}-{CONTAINER}", f"{POD}-metrics"  # as Podman names the containers
CONFIG, ORIGINAL = "/etc/containerd/config.toml", "/root/containerd.toml"
_API, _PLAYED, _TOKEN, _PROGRAMS = (f"/root/{name}" for name in "api played token programs".split())
_PATIENT = 1500  # seconds, beside other work; most take a few
_SHORT = 0.1  # seconds between two looks
_ADDRESS = "127.0.0.1"  # a box has no bridge for pods
_UNITS = """
systemctl list-unit-files --no-legend --plain | grep -v '^session-' | sort  # a boot's own logins
systemctl list-units --all --no-legend --plain 'runc-wrap*'
"""
# As on a minimal distribution; what a boot makes writable is made read-only again.
_MINIMAL = """
rmdir /opt 2>/dev/null || [ -d /opt/runc-wrap ]
mount --bind /usr /usr; mount -o remount,bind,ro /usr
"""
_UPGRADE = """
mount -o remount,bind,rw /usr; install -m 755 "$1"/* /usr/bin; mount -o remount,bind,ro /usr
systemctl restart containerd
"""
_STATUS = f"{PREFIX}/bin/runc-wrapctl engine status --json || :"
# What holds a pod's namespaces: Podman's own program for that is not on the machine.
_PREPARE = f"""
mkdir -p /etc/containers/containers.conf.d
printf '[engine]\\ninfra_image = "{REFERENCE}"\\ninfra_command = "/bin/sleep 1000000"\\n' \\
    > /etc/containers/containers.conf.d/30-pause.conf
{CONTAINERD}
podman load -q -i "/root/$1"; systemctl restart containerd
"""
_PYTHON = "/runc-wrap/lib/current/venv/bin/python3"
_SERVE = f"""
podman run -d --name api --network host --read-only -v {_API}:{node_api_server.PLACE} \\
    --entrypoint {_PYTHON} "$1" -c "
import sys; sys.path[:0] = ['{node_api_server.PLACE}']
from {api_server.__name__} import provide_tls; provide_tls()
from tests.kubernetes import node_api_server; node_api_server.main()"
"""
_SERVES = f"""
until podman exec api {_PYTHON} -c "
import socket; socket.create_connection(('127.0.0.1', {node_api_server.PORT}))"
do
    podman inspect --format '{{{{.State.Running}}}}' api | grep -q true ||
        {{ podman logs api >&2; exit 1; }}
    sleep 1
done
"""
_PLAY = f"podman kube play --quiet --replace --network host {_PLAYED}/pod.yaml"
_UNTIL = f'until eval "$1"; do sleep {_SHORT}; done'
_KILL = f"podman pod kill -s KILL {POD} >/dev/null"
# Not before Podman has cleaned up: it stops a pod whose containers have ended.
_START = f"""
while pgrep -x podman || ! podman pod inspect {POD} | grep -q '"Exited"'
do sleep {_SHORT}; done >/dev/null
podman pod start {POD}
"""
# What the installer has begun on the host is over, and no change of the engine is half done.
_WHOLE = f"""
while systemctl list-units --no-legend --state=activating 'runc-wrap-cluster-*' | grep -q .
do sleep 1; done
if ls {PREFIX}/var/changes/*.json 2>/dev/null >&2
then exit 1; fi
ctr version >/dev/null
sha256sum < {CONFIG}
"""
_METRICS = f"""
pid=$(podman inspect --format '{{{{.State.Pid}}}}' {METRICS})
nsenter --net --target "$pid" bash -c "
exec 3<>/dev/tcp/127.0.0.1/9556; printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3; cat <&3"
"""
_LEDGER = f"tail -qn 1 {PREFIX}/var/ledger/*.jsonl"
_STARTED = "systemctl show -p ActiveEnterTimestampMonotonic containerd"


@dataclass(frozen=True)
class ClusterNode:
    """`before` is what the machine was; `configs` gathers the digests of the engine's file."""

    machine: Guest
    place: Path
    given: Given
    before: str
    configs: set[str] = field(default_factory=set)

    def load(self, image: Path) -> None:
        """Give Podman another image under the installer's name, for the next pod."""
        self.machine.copy_in([image], "/root")
        self.machine.sh(f'podman load -q -i "/root/{image.name}"', seconds=_PATIENT)

    def asked(self, command: str, given: str = "") -> Any:
        """Return the JSON that a command of the installer prints in its pod."""
        words = f"podman exec -i {INSTALLER} /runc-wrap/bin/runc-wrapctl cluster {command}"
        done = self.machine.attempt(f'printf "%s\\n" "$1" | {words}', given)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def play(self, overlay: str, policy: str | None = None, components: Sequence[str] = ()) -> None:
        """Replace the pod by an overlay's, as a roll-out does, with this policy if there is one."""
        if policy is not None or components:
            own = self.place / str(len(list(self.place.iterdir())))
            overlay = installer_pod.own_overlay(own, overlay, policy, components)
        file = self.place / "pod.yaml"
        file.write_text(installer_pod.documents(overlay, POD, self.given))
        self.machine.copy_in([file], _PLAYED)
        self.machine.sh(_PLAY, seconds=_PATIENT)

    def until(self, condition: str) -> None:
        """Wait until a shell condition holds."""
        self.machine.sh(_UNTIL, condition, seconds=_PATIENT)

    def kill(self, condition: str = ":") -> None:
        """Kill the pod once a shell condition holds."""
        self.machine.sh(f"{_UNTIL}; {_KILL}", condition, seconds=_PATIENT)

    def cut_power(self, condition: str) -> None:
        """End the machine at once once a shell condition holds, and boot; no pod runs yet."""
        self.until(condition)
        self.machine.power_off()
        self.machine.power_on()
        self.machine.sh(_MINIMAL)
        self.start_api()

    def upgrade_engine(self, programs: Sequence[Path]) -> str:
        """Replace containerd's programs and restart it, as its package does.

        Return its version, which the API server knows then, as by a kubelet.
        """
        self.machine.copy_in(programs, _PROGRAMS)
        self.machine.sh(_UPGRADE, _PROGRAMS)
        info = _info(self.machine)
        self._change(lambda node: node["status"].update(nodeInfo=info))
        return info["containerRuntimeVersion"].removeprefix("containerd://")

    def annotate(self, name: str) -> None:
        """Give the node an annotation, as a person does."""
        self._change(lambda node: node["metadata"]["annotations"].update({name: ""}))

    def _change(self, change: Callable[[Any], object]) -> None:
        """Change what the API server knows of the node."""
        self.stop_api()
        known = self.known()
        change(known["node"])
        file = self.place / node_api_server.STATE
        file.write_text(json.dumps(known))
        self.machine.copy_in([file], _API)
        self.start_api()

    def start(self) -> None:
        """Start the pod again, as a kubelet does whenever its container ends."""
        self.machine.sh(_START)

    def settle(self) -> None:
        """Wait until the host's commands are over; then the engine runs, with a whole file."""
        self.configs.add(self.machine.sh(_WHOLE, seconds=_PATIENT))

    def stop_api(self) -> None:
        self.machine.sh("podman stop -t 0 api >/dev/null")

    def start_api(self) -> None:
        self.machine.sh(f"podman start api >/dev/null; {_SERVES}")

    def metrics(self) -> str:
        """Return what the pod's container for metrics serves, "" if nothing: asked in the pod."""
        return self.machine.attempt(_METRICS).stdout

    def known(self) -> Any:
        """Return what the API server knows: the node's object, and the Events."""
        return self.machine.json(f"cat {_API}/{node_api_server.STATE}")

    def metadata(self) -> Any:
        return self.known()["node"]["metadata"]

    def wait_event(self, reason: str, note: str) -> None:
        """Wait until the last Event is of this reason, and has these words in its note."""

        def is_last() -> bool:
            event = self.known()["events"][-1]
            return event["reason"] == reason and note in event["note"]

        self._wait(is_last, f"the Event {reason}: {note}")

    def state(self) -> str:
        return str(self.metadata().get("annotations", {}).get(STATE, ""))

    def wait_state(self, word: str, *, other_than: str | None = None) -> None:
        """Wait until the node is in a state, "" for none; `other_than` is such a state before.

        Labels come with it. An Event comes before both.
        """

        def is_in() -> bool:
            state = self.state()
            return state.partition(" ")[0] == word and state != other_than

        self._wait(is_in, f"the state {word}")

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        try:
            wait_until(condition, what, _PATIENT, pause=PAUSE)
        except CommandError as error:
            log = self.machine.attempt(f"podman logs {INSTALLER} 2>&1").stdout
            raise CommandError(f"{error}: {self.known()}\n{log}") from None

    def decision(self) -> tuple[str, str]:
        """Return action and mode of the ledger's last line."""
        line = self.machine.json(_LEDGER)
        return line["action"], line["mode"]

    def engine_start(self) -> str:
        """Return when containerd was started last."""
        return self.machine.sh(_STARTED)

    def drift(self) -> list[str]:
        """Return what `engine status` finds to be other than it was proved."""
        return [line for one in self.machine.json(_STATUS) for line in one["drift"]]

    def listing(self) -> str:
        """Return all files of the machine, and its units."""
        return self.machine.sh(LISTING + _UNITS, seconds=_PATIENT)


def prepared(machine: Guest, image: Path, place: Path) -> ClusterNode:
    """Make a machine a node: with the image, and an API server that knows it; no pod runs yet."""
    machine.copy_in([image], "/root")
    machine.sh(_PREPARE + _MINIMAL, image.name, seconds=_PATIENT)
    api, overlays = place / "api", place / "overlays"
    api.mkdir()
    overlays.mkdir()
    given = _serve(machine, api)
    before = ClusterNode(machine, overlays, given, "").listing()
    made = ClusterNode(machine, overlays, given, before)
    made.settle()  # which notes the engine's file as it was
    machine.sh(f"cp {CONFIG} {ORIGINAL}")
    return made


def _serve(machine: Guest, place: Path) -> Given:
    _certify(place)
    metadata = {"name": NODE, "uid": "u", "resourceVersion": "1"}
    node = {"metadata": metadata, "spec": {}, "status": {"nodeInfo": _info(machine)}}
    (place / node_api_server.STATE).write_text(json.dumps({"node": node, "events": []}))
    machine.copy_in(list(place.iterdir()), _API)
    for module in (node_api_server, api_stand_in):
        package = module.__name__.rpartition(".")[0].replace(".", "/")
        machine.copy_in([Path(str(module.__file__))], f"{_API}/{package}")
    (daemonset,) = rendered.of_kind("base", "DaemonSet")
    machine.sh(_SERVE + _SERVES, rendered.pod(daemonset)["containers"][0]["image"])
    token, authority = place / "token", place / "ca.crt"
    token.write_text(api_stand_in.TOKEN)
    (place / node_api_server.CERTIFICATE).rename(authority)
    machine.copy_in([token, authority], _TOKEN)
    return Given(NODE, _ADDRESS, node_api_server.PORT, _TOKEN)


def _info(machine: Guest) -> dict[str, str]:
    """Return what a kubelet tells of a node."""
    version = machine.sh("containerd --version").split()[2]
    kernel = machine.sh("uname -r").strip()
    return {"containerRuntimeVersion": f"containerd://{version}", "kernelVersion": kernel}


def _certify(place: Path) -> None:
    words = "req -x509 -newkey ec -nodes -subj /CN=api -pkeyopt ec_paramgen_curve:prime256v1"
    name = f"subjectAltName=IP:{_ADDRESS}"
    key, certificate = place / node_api_server.KEY, place / node_api_server.CERTIFICATE
    more: list[str | Path] = ["-days", "2", "-addext", name, "-keyout", key, "-out", certificate]
    run([program("openssl"), *words.split(), *more])
