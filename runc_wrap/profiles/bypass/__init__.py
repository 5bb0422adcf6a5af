"""Ways around what a profile denies: io_uring, sibling calls, and which a profile leaves open."""
