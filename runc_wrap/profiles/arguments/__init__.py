"""The arguments of a call as rules see them: how wide, which values, what is left over."""
