"""Where audit records come from, one module each; netlink is lean enough to stay resident."""
