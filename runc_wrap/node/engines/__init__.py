"""Registering the wrapper with the engines of this node, and taking it out again.

One module for each engine (containerd_config, podman_config, docker_config) says what that engine
must read; registration.py makes a plan of it and carries it out; marked_text, toml_text and
json_text change a file and leave alone what its owner wrote. Nothing here starts, stops or reloads
an engine.
"""
