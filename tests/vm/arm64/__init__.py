"""The archive on a whole arm64 machine, emulated."""
