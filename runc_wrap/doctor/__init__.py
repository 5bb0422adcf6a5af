"""The checks of `runc-wrapctl doctor`, and the remedies of what they find."""
