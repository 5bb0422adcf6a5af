"""Builds packages for Debian's and Red Hat's families from the release archive.

`python -m deploy.packages` (make dist-packages) lays an unpacked archive out as a distribution has
it (tree.py), then has the distributions' own tools pack it: debhelper (deb.py) and rpmbuild
(rpm.py). These write what systemd's units need in the scripts; nfpm, which is on the Python index,
would leave that to us. Two builds from the same archive give the same bytes.
"""
