"""A running virtual machine: it is booted, spoken to by ssh, rebooted, and deprived of its power.

The disk is a layer over the image, which stays as it is. The guest reaches no network; only its ssh
server is reached, on a port of this machine's loopback.
"""

import contextlib
import itertools
import os
import platform
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.host.processes import CommandError, Daemon, Run, attempt, free_port, run, wait_until
from harness.node.guest import PATIENCE, PAUSE, Guest
from harness.node.requirements import program
from tests.vm.image import Image

BOOT = 480  # seconds at most, emulated and beside other work; half a minute is usual
# One processor: two emulated ones wait for each other, which makes short commands up to twice as
# expensive (measured: `docker version` 1.9 instead of 1.2 seconds of CPU) and a boot no cheaper.
HARDWARE = ("-nodefaults", "-display", "none", "-smp", "1", "-m", "2048")
NEEDS = ("qemu-system-x86_64", "qemu-img", "mmdebstrap", "mke2fs", "ssh", "ssh-keygen")
_QUIET = "StrictHostKeyChecking=no UserKnownHostsFile=/dev/null LogLevel=ERROR ConnectTimeout=10"
_SILENT = "ServerAliveCountMax=12"  # four minutes: a machine that gets no processor is silent, too
_ANY_TIMER = "no_timer_check"  # it panics where its timer is late, as without a processor's time
_NO_OTHER_WAY = ("-o", "ControlMaster=no", "-o", "ProxyCommand=false")  # than the shared connection
_BOOT_ID = "cat /proc/sys/kernel/random/boot_id"


class Machine(Guest):
    """One machine, off at first; `directory` is its own, and short enough for sockets."""

    def __init__(self, image: Image, directory: Path) -> None:
        super().__init__(image.suite)
        self.image = image
        self.directory = directory
        self.port = free_port()
        self.disk = directory / "disk.qcow2"
        self.key = directory / "key"
        self._forwards = itertools.count()  # ssh does not bind a path twice
        self._qemu: Daemon | None = None
        self._line: Daemon | None = None  # the ssh connection that all commands share
        layer = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw"]
        run([*layer, "-b", image.disk, self.disk])
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", self.key])

    def power_on(self) -> None:
        self._qemu = Daemon(self._command(), self.directory / "qemu.log")
        self.connect()
        self.sh("systemctl is-system-running --wait || systemctl --failed", seconds=BOOT)

    def power_off(self) -> None:
        """Take its power away; without a machine that is on, do nothing."""
        self._disconnect()
        if self._qemu:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._qemu.pid, signal.SIGKILL)
            self._qemu.process.wait(30)
            self._qemu = None

    def reboot(self) -> None:
        """Reboot in good order, and wait until every unit has started."""
        before = self.sh(_BOOT_ID)
        self.attempt("systemctl reboot")
        self._await_boot(before)

    def reset(self, script: str, times: int = 1) -> None:
        """Run a script by which the machine resets itself; wait until every unit has started.

        `times`: its boots may reset it, too.
        """
        before, kernels = self.sh(_BOOT_ID), self._kernels()
        self.sh('systemd-run --quiet sh -euc "$1"', script)
        wait_until(
            lambda: self._kernels() == kernels + times, "the reset", times * BOOT, pause=PAUSE
        )
        self._await_boot(before)

    def _kernels(self) -> int:
        """Return how many kernels began to speak on the console."""
        return (self.directory / "console").read_text(errors="replace").count("Linux version ")

    def _await_boot(self, before: str) -> None:
        """Wait for another boot than `before`, and until every unit has started."""
        self._disconnect()
        deadline = time.monotonic() + BOOT
        while True:
            self.connect()
            now = self.attempt(_BOOT_ID)
            if now.returncode == 0 and now.stdout != before:
                break
            assert time.monotonic() < deadline, f"no reboot:\n{self.console()}"
            self._disconnect()
        self.sh("systemctl is-system-running --wait || systemctl --failed", seconds=BOOT)

    def connect(self) -> None:
        """Open the shared ssh connection; wait for the machine to answer."""
        deadline = time.monotonic() + BOOT
        while self.attempt("true", seconds=20).returncode:
            if self._qemu is None or self._qemu.process.poll() is not None:
                raise CommandError(f"the machine is off:\n{self.console()}")
            if time.monotonic() > deadline:
                raise CommandError(f"no answer within {BOOT} s:\n{self.console()}")
            if self._line is None or self._line.process.poll() is not None:
                words = ["-M", "-N", "-o", "ServerAliveInterval=20", "-o", _SILENT]
                self._line = Daemon(self._ssh(*words), self.directory / "ssh.log")
            time.sleep(0.5)

    def attempt(self, script: str, *words: str | Path, seconds: float = PATIENCE) -> Run:
        """Run a shell script; any exit status is a result. 255: the machine cannot be reached."""
        inner = shlex.join(["sh", "-euc", script, "sh", *map(str, words)])
        bounded = f"timeout -k 5 {seconds:.0f} {inner}"
        argv: list[str | Path] = ["ssh", "-S", self._control, *_NO_OTHER_WAY]
        try:
            return attempt([*argv, "guest", bounded], seconds=seconds + 30)
        except subprocess.TimeoutExpired as error:
            return subprocess.CompletedProcess(error.cmd, 255, "", str(error))

    def copy_in(self, files: Sequence[Path], to: str) -> None:
        """Copy files into a directory of the guest, by their own names."""
        self.sh('mkdir -p "$1"', to)
        common = ["scp", "-q", "-F", "none", "-o", f"ControlPath={self._control}"]
        run([*common, *_NO_OTHER_WAY, *files, f"guest:{to}/"], seconds=PATIENCE)

    def forward(self, guest: str) -> Path:
        """Return a new socket of this machine that leads to the guest's socket."""
        here = self.directory / f"{next(self._forwards)}.sock"
        run(["ssh", "-S", self._control, "-O", "forward", "-L", f"{here}:{guest}", "guest"])
        return here

    def console(self) -> str:
        """Return the end of what the machine and qemu said."""
        files = [self.directory / name for name in ("console", "qemu.log")]
        texts = [file.read_text(errors="replace") for file in files if file.exists()]
        return "\n".join(line for text in texts for line in text.splitlines()[-30:])

    @property
    def _control(self) -> Path:
        return self.directory / "ssh"

    def _disconnect(self) -> None:
        if self._line:
            self._line.stop()
            self._line = None

    def _ssh(self, *more: str) -> list[str | Path]:
        options = [word for option in _QUIET.split() for word in ("-o", option)]
        at: list[str | Path] = ["-p", str(self.port), "-i", self.key, "-S", self._control]
        return [program("ssh"), "-F", "none", *options, *at, *more, "root@127.0.0.1"]

    def _command(self) -> list[str | Path]:
        public = " ".join(self.key.with_suffix(".pub").read_text().split()[:2])
        credential = f'"systemd.set_credential=ssh.authorized_keys.root:{public}"'
        # unsafe: what the guest has flushed outlives qemu's death, but not this machine's
        disk = f"file={self.disk},cache=unsafe,discard=unmap"
        network = f"user,model=virtio-net-pci,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-:22"
        return [
            *self.board(f"rw net.ifnames=0 mitigations=off {credential}", disk),
            *("-serial", f"file:{self.directory}/console"),
            *("-monitor", "none"),
            *("-nic", network, "-device", "virtio-rng-pci"),
        ]

    def board(self, parameters: str, disk: str) -> list[str | Path]:
        """Return qemu and its words for the hardware, kernel and disk.

        `parameters` and `disk` are what every machine's kernel and disk are told.
        """
        return [
            program("qemu-system-x86_64"),
            *HARDWARE,
            *processor(self.suite),
            *("-kernel", self.image.kernel, "-initrd", self.image.initrd),
            *("-append", f"root=/dev/vda console=ttyS0 {_ANY_TIMER} {parameters}"),
            *("-drive", f"{disk},if=virtio"),
        ]


@contextlib.contextmanager
def on(made: Machine) -> Iterator[Machine]:
    """Power a machine on; it is off afterwards in any case."""
    try:
        made.power_on()
        yield made
    finally:
        made.power_off()


def processor(suite: str) -> list[str]:
    """Emulated, unless this processor has the means and the kernel lends them.

    A /dev/kvm alone is not enough: some hosts' refuses half of the instructions.
    """
    flags = Path("/proc/cpuinfo").read_text().split()
    means = platform.machine() == "x86_64" and ("vmx" in flags or "svm" in flags)
    if means and os.access("/dev/kvm", os.R_OK | os.W_OK):
        return ["-accel", "kvm", "-cpu", "max"]
    # Linux 7.2 hangs with two of qemu's default processors, and starts with two of these.
    newest = ["-cpu", "max"] if suite == "forky" else []
    return ["-accel", "tcg,tb-size=512", *newest]
