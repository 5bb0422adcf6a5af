"""Reading the config.json in the bundle of a container that runs."""

from __future__ import annotations

from runc_wrap.hotpath import config_file


def text(bundle: str) -> bytes:
    """Return a bundle's config.json. Raises Refusal."""
    return config_file.read(f"{bundle}/config.json").text
