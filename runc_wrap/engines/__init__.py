"""Registering the wrapper with the engines of this node, and removing it.

One module for each engine (containerd_config, podman_config, docker_config) defines what that
engine must read; registration/ plans the changes and carries them out; marked_text, toml_text and
json_text change a file without altering its owner's text. Only transaction/ restarts an engine.
"""
