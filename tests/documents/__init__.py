"""Documents that are made from the code: `python -m tests.documents NAME` writes one.

docs/policy-reference.md is committed, and tests/unit/documents/test_generated.py compares it.
"""
