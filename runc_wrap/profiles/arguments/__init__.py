"""The arguments of a call in rules: their widths, their sets of values, and complements."""
