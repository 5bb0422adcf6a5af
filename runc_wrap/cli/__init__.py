"""runc-wrapctl: parse, call, print."""
