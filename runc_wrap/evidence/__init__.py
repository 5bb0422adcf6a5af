"""What was decided and what the kernel said afterwards. May import hotpath, policy, profiles."""
