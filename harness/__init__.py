"""What tests and bench share: engines, containers, nodes, the kernel's own word."""
