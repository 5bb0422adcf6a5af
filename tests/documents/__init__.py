"""What the documents take from the code: `python -m tests.documents` writes it anew.

A document has it between two lines, `<!-- BEGIN NAME … -->` and `<!-- END NAME -->`; all else in it
is written by hand. tests/unit/documents/test_generated.py compares.
"""
