"""`runc-wrapctl tighten` on real containers of both runtimes."""
