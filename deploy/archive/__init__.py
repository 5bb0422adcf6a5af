"""Builds the release archive: one file that needs nothing of the node but its kernel.

`python -m deploy.archive` (make dist) puts together what is made elsewhere: Debian's interpreter
and libraries (debian_packages.py), Python packages by their hashes (wheels.py), our launcher linked
with musl (programs.py). The tree is what install.sh makes of a checkout, so that nothing else has
to know which of both is there. Two builds from the same parts give the same bytes.
"""
