"""The ingredients of another Debian: the machine's own sources, with another suite."""

from __future__ import annotations

import pytest

from tests.worlds.debian import World, WorldError

KEY = "/usr/share/keyrings/some.pgp"
TARGETS = f"""trixie|http://mirror.example/debian/|main|{KEY}
trixie|http://mirror.example/debian/|contrib|$(SIGNED_BY)
trixie-updates|http://mirror.example/debian/|main|{KEY}
./|file:/srv/own/|$(COMPONENT)|$(SIGNED_BY)
"""
SETTINGS = """Acquire "";
Acquire::http "";
Acquire::http::Proxy "http://proxy.example:3128";
Acquire::Check-Date "false";
Acquire::Languages:: "none";
"""


def test_a_world_uses_the_machines_package_sources_with_another_suite() -> None:
    assert World("forky", ["runc", "crun"]).recipe("trixie", TARGETS, SETTINGS)[-3:] == [
        "forky",
        f"deb [signed-by={KEY}] http://mirror.example/debian/ forky main",
        "deb http://mirror.example/debian/ forky contrib",
    ]


def test_a_world_uses_the_machines_network_settings() -> None:
    recipe = World("forky", ["runc"]).recipe("trixie", TARGETS, SETTINGS)
    assert [word for word in recipe if word.startswith("--aptopt=")] == [
        '--aptopt=Acquire::http::Proxy "http://proxy.example:3128";',
        '--aptopt=Acquire::Check-Date "false";',
    ]


def test_a_world_is_recreated_when_its_packages_change_and_not_when_their_order_does() -> None:
    made = [
        World("forky", names).recipe("trixie", TARGETS, "")
        for names in (["runc", "crun"], ["crun", "runc", "crun"], ["runc"])
    ]
    assert made[0] == made[1]
    assert made[0] != made[2]


def test_a_machine_without_such_sources_is_reported() -> None:
    with pytest.raises(WorldError, match="apt has no source of sid"):
        World("forky", ["runc"]).recipe("sid", TARGETS, "")
