"""Registering the wrapper with the engines of this node, and taking it out again.

One module per engine (`containerd`, `podman`, `docker`) says what that engine must read;
`register` makes a plan of it and carries it out; `text`, `toml_text` and `json_text` change a
file without touching what its owner wrote. Nothing here starts, stops or reloads an engine.
"""
