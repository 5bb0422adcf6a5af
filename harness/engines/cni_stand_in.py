"""A network plugin that makes no network: it tells the engine an address, and nothing has it.

A pod with users of its own has a network namespace of its own, for which containerd asks plugins
(CNI) and wants an address. Debian's plugins bring tens of MB, and what runs in these pods sends
nothing. Source: the CNI specification 1.1, "Section 2: Execution Protocol".
"""

from pathlib import Path

PLUGIN = r"""#!/bin/sh
version=$(sed -n 's/.*"cniVersion": *"\([0-9.]*\)".*/\1/p')
case $CNI_COMMAND in
VERSION) echo '{"cniVersion": "1.0.0", "supportedVersions": ["0.3.1", "0.4.0", "1.0.0"]}';;
ADD) cat <<END
{"cniVersion": "$version", "interfaces": [{"name": "$CNI_IFNAME", "sandbox": "$CNI_NETNS"}],
 "ips": [{"version": "4", "address": "192.0.2.2/24", "interface": 0}]}
END
esac
"""
PLUGINS = ("loopback", "stand-in")  # containerd asks for the first one by itself
CONFIGURATION = '{"cniVersion": "0.4.0", "name": "none", "plugins": [{"type": "stand-in"}]}\n'


def write(programs: Path, configurations: Path) -> None:
    """Write the plugins and what names them into these directories."""
    for directory in (programs, configurations):
        directory.mkdir(parents=True)
    for name in PLUGINS:
        (programs / name).write_text(PLUGIN)
        (programs / name).chmod(0o755)
    (configurations / "50-stand-in.conflist").write_text(CONFIGURATION)
