"""What goes to nodes: units, and the release archive's build."""
