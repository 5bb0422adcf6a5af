"""Profiles that are composed: a base, with calls and groups of calls added to it or removed.

expression       the text of a setting: "runtime-default + @aio - keyctl"
composed_file    a JSON file with the same, and with OCI's conditions
groups           named groups of calls: systemd's sets
operations       adds to a profile and removes from it, by meaning
composer         makes the profile, and says which part answers for a call
"""
