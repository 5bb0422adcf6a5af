"""runc-wrapctl cluster: what the installer's image runs, in its pod and on the node."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NoReturn

import click

from runc_wrap.cli import options, output
from runc_wrap.cluster import api_server, archive_copy, policy_directory, preconditions, state_file
from runc_wrap.cluster.configmap_policy import LARGEST, PolicyNotTaken, digest, mounted
from runc_wrap.cluster.host_commands import kubectl_requests
from runc_wrap.cluster.host_commands.step_commands import NodeCommands
from runc_wrap.cluster.host_commands.systemd_dbus import Manager
from runc_wrap.cluster.installer_loop import InstallerLoop
from runc_wrap.cluster.next_step import ENGINES, REMOVED, WELL, NextStep
from runc_wrap.cluster.node_reporter import Pod, Reporter, note_readiness
from runc_wrap.failure import Failure
from runc_wrap.host import polling
from runc_wrap.host.locks import LockHeldError, locked
from runc_wrap.node.paths import DEFAULT_PREFIX, Places

_PLACES = Places(DEFAULT_PREFIX)  # the node's: by the same path here and there
_SOCKET = Path("/host/systemd/private")
_CONFIG, _PROFILES = Path("/policy/config"), Path("/policy/profiles")
_STATE = Path("/run/runc-wrap/state")  # in the pod: the state's word, for the command metrics
_FILE = Path("/host/metrics/runc-wrap.prom")
_PERIOD = 300.0  # seconds between looks at a node that needs nothing
_SOON = 20.0  # where something is waited for
_GLANCE = 5.0  # at the mounted policy
_LONGEST_POLICY = 8 * LARGEST  # of one line: JSON escapes a byte by six at most
_ANOTHER = (
    "another pod of the installer works on this node; delete the DaemonSet that is left over "
    "(`kubectl -n runc-wrap get daemonsets`)"
)


@click.group()
def cluster() -> None:
    """Run the installer of a Kubernetes cluster: docs/kubernetes.md."""


_NODE = click.option("--node", envvar="NODE_NAME", required=True, help="This node's name.")


_pod_options = options.all_of(
    _NODE,
    click.option("--pod", envvar="POD_NAME", default="installer", help="This pod's name."),
    click.option("--engine-config", default="", help="The engine's configuration, if several."),
    click.option("--once", is_flag=True, help="Do what there is to do, and end."),
)


@cluster.command()
@_pod_options
@click.option("--taint", is_flag=True, help="Keep new pods off the node until it is ready.")
def install(*, taint: bool, **given: Any) -> None:  # noqa: ANN401 - click's
    """Bring the node to the image's release and the mounted policy, and keep it there."""
    _look_after(taint=taint, removes=False, **given)


@cluster.command()
@_pod_options
def remove(**given: Any) -> None:  # noqa: ANN401 - click's
    """Take everything off the node again."""
    _look_after(taint=False, removes=True, **given)


def _look_after(  # noqa: PLR0913 - the commands' options
    *, node: str, pod: str, engine_config: str, once: bool, taint: bool, removes: bool
) -> None:
    given = Pod(node, pod, archive_copy.IMAGE, _CONFIG, _PROFILES, taint, _STATE)
    reporter = Reporter(_PLACES, given, api_server.in_pod(os.environ), output.warn)
    commands = NodeCommands(_PLACES, Manager(_SOCKET), engine_config)
    loop = InstallerLoop(_PLACES, commands, reporter, removes=removes)
    work = _alone(loop.run, installs=not removes)
    well = frozenset((REMOVED,)) if removes else WELL
    _keep(work, reporter, once=once, well=well)


@cluster.command()
@click.argument("name")
@click.pass_obj
def apply(places: Places, /, name: str) -> None:
    """Put a policy in force that the pod has written to PREFIX/var/cluster/policy: on the host."""
    remarks = policy_directory.put_in_force(places, name)
    output.document({"remarks": remarks})


@cluster.command("preflight")
@click.argument("engine", type=click.Choice(sorted(each.name for each in ENGINES.values())))
@click.option("--config", type=options.PATH, help="The engine's configuration file.")
@click.option("--policy", help="With this policy, which is laid down for the release.")
@click.pass_obj
def check_node(places: Places, /, engine: str, *, config: Path | None, policy: str | None) -> bool:
    """Say whether this release can be installed on the node: on the host, from the archive."""
    chosen = policy_directory.candidate(places, policy) if policy else places
    found, refused = [*preconditions.obstacles(chosen, engine, config)], ""
    if policy and not found:
        try:
            policy_directory.lay(places, policy)
        except (PolicyNotTaken, OSError) as error:
            refused = str(error)
    output.document({"reason": "; ".join(found), "policy": refused})
    return bool(found)


@cluster.command("remaining")
@click.pass_obj
def still_needed(places: Places, /) -> None:
    """Say which pods still need the handler: on the host."""
    output.document({"reason": preconditions.still_needed(places)})


@cluster.command()
@_NODE
@click.option("--candidate", is_flag=True, help="The report on candidates.")
def report(*, node: str, candidate: bool) -> None:
    """Print the node's own report, as its systemd makes it: for `kubectl runc-wrap`."""
    flags = ["--candidate"] * candidate
    click.echo(kubectl_requests.report(_PLACES, Manager(_SOCKET), node, *flags), nl=False)


@cluster.command("state")
def state() -> None:
    """Print the node's state, what was remarked, and what failed: for `kubectl runc-wrap`."""
    output.document(state_file.document(_PLACES))


@cluster.command("check-policy")
@_NODE
def check_policy(*, node: str) -> None:
    """Print what the node says of a policy, one line of JSON on stdin: for `kubectl runc-wrap`."""
    sent = sys.stdin.buffer.readline(_LONGEST_POLICY)
    click.echo(kubectl_requests.policy_check(_PLACES, Manager(_SOCKET), node, sent), nl=False)


@cluster.command("try-policy")
@click.argument("request")
@_NODE
@click.pass_obj
def try_policy(places: Places, /, request: str, *, node: str) -> None:
    """Print what this node says of the policy that check-policy has laid down: on the host."""
    output.document(kubectl_requests.trial(places, places.cluster / request, node))


@cluster.command()
@click.option(
    "--port", default=9556, type=click.IntRange(1, 65535), show_default=True, help="Of the pod."
)
@click.option("--file", type=options.PATH, default=_FILE, help="The agent's.")
@click.option("--state", type=options.PATH, default=_STATE, help="The state's file.")
def metrics(*, port: int, file: Path, state: Path) -> None:
    """Serve the node's metrics to Prometheus, in a container of the pod that has no more rights."""
    # The installer needs none of these.
    from runc_wrap.metrics import pod_server  # noqa: PLC0415

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    with pod_server.PodServer(port, file, state, output.warn) as server:
        server.serve_forever(pod_server.GLANCE)


def _alone(
    work: Callable[[], NextStep], places: Places = _PLACES, *, installs: bool
) -> Callable[[], NextStep]:
    """Return work that only one pod of a node does: two would undo each other's for ever.

    Where nothing is installed the lock would be all that is left after a removal: it takes none.
    A removal takes the lock's file with it, after which another pod would hold another one.
    """
    held = contextlib.ExitStack()
    taken = list[int]()

    def alone() -> NextStep:
        if taken and not os.fstat(taken[0]).st_nlink:
            held.close()
            taken.clear()
        if not taken and (installs or places.var.is_dir()):
            try:
                taken.append(held.enter_context(locked(places.var, "installer")))
            except LockHeldError:
                raise ValueError(_ANOTHER) from None
        return work()

    return alone


def _keep(
    work: Callable[[], NextStep], reporter: Reporter, *, once: bool, well: Collection[str]
) -> None:
    """Work again and again, until SIGTERM ends the pod; that undoes nothing.

    Soon, too, if all is well but the API server has not heard of it.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    note_readiness("the installer has begun to look at its node", is_well=False)
    while True:
        word = ""  # what is not known
        try:
            found = work()
            word, sentence = found.word, f"{found.word}: {found.why}".removesuffix(": ")
        except (Failure, OSError, ValueError) as error:
            output.warn(str(error))
            sentence = f"the node's state is not known: {error}"
        note_readiness(sentence, is_well=word in well)
        if once:
            raise SystemExit(0 if word in well else output.WRONG)
        _rest(_PERIOD if word in well and reporter.is_heard else _SOON)


def _rest(seconds: float) -> None:
    """Wait, but not if the mounted policy changes."""
    before = _policy()
    polling.wait_for(lambda: _policy() != before, seconds, _GLANCE)


def _policy() -> str:
    try:
        return digest(mounted(_CONFIG, _PROFILES))
    except PolicyNotTaken as error:
        return str(error)


def _end(_number: int, _frame: object) -> NoReturn:
    sys.exit(0)
