"""Reads the ledger of decisions, as a whole or as lines are appended.

hotpath/ledger_file.py appends them.
"""
