"""What the exit statuses mean that systemd gives itself, where it cannot start a command. Pure.

Source: systemd.exec(5), "Process Exit Codes".
"""

from __future__ import annotations

FIRST, LAST = 200, 243
_EXEC = 203
_FULL = "; look whether the file system of /opt is full"
_COULD_NOT = {
    200: "change to the working directory",
    201: "set the priority",
    202: "close or arrange file descriptors",
    204: "get memory: look what uses up the node's",
    205: "set resource limits",
    206: "set the OOM score",
    207: "set the signal mask",
    208: "set up standard input",
    209: f"write its output{_FULL}",
    210: "change the root directory",
    211: "set the I/O priority",
    212: "set the timer slack",
    213: "set secure bits",
    214: "set the CPU scheduler",
    215: "set the CPU affinity",
    216: "set the group",
    217: "set the user",
    218: "drop capabilities",
    219: "set up the control group",
    220: "make a session",
    221: "ask for confirmation",
    222: f"write its output{_FULL}",
    224: "set up the PAM session",
    225: "set up the network namespace",
    226: "set up the mount namespace",
    227: "forbid new privileges",
    228: "load a filter",
    229: "set the SELinux context",
    230: "set the personality",
    231: "set the AppArmor profile",
    232: "restrict address families",
    233: "make the runtime directory",
    235: "change the owner of a directory",
    236: "set the SMACK label",
    237: "set up the keyring",
    238: "make the state directory",
    239: "make the cache directory",
    240: "make the log directory",
    241: "make the configuration directory",
    242: "set the NUMA policy",
    243: "set up credentials",
}


def meaning(status: int, program: str) -> str:
    """Return what a status says about a program, "" if systemd did not give it."""
    if status == _EXEC:
        return (
            f"{program} cannot be executed. Mostly its file system is mounted noexec (`findmnt "
            f"-T {program}` says so): mount it so that programs can be executed there"
        )
    if not FIRST <= status <= LAST:
        return ""
    return f"systemd could not {_COULD_NOT.get(status, 'prepare its execution')}"
