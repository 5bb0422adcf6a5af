"""Filters as libseccomp compiles them and as the kernel has them installed in processes."""
