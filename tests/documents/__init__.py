"""The generated parts of the documents: `python -m tests.documents` rewrites them.

A generated part is between two lines, `<!-- BEGIN NAME … -->` and `<!-- END NAME -->`; the rest is
written by hand. tests/unit/documents/test_generated.py compares.
"""
