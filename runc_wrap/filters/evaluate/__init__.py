"""What a filter answers to a call: computed, with no question to the kernel or to libseccomp."""
