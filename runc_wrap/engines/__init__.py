"""Registering the wrapper with the engines of this node, and removing it.

Each engine has a room with one class, which engine_class.py describes and engine_registry.py names.
registration/ plans a change of its files and carries it out; engine_files and toml_text keep the
owner's text. Only transaction/ restarts an engine.
"""
