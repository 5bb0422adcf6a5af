"""Builds the package for Debian's family from the release archive.

`debian_package.py` (make dist-packages) lays an unpacked archive out as a distribution has
it, then has debhelper pack it. debhelper writes what systemd's units
need in the scripts; nfpm, which is on the Python index, would leave that to us. Two builds from the
same archive give the same bytes.
"""
