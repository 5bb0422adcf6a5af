"""Other ways to what a profile denies: io_uring, sibling calls, and what a profile leaves open."""
