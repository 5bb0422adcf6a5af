"""What was decided: the ledger's lines, read whole or as they are appended.

hotpath/ledger_writer.py appends them.
"""
