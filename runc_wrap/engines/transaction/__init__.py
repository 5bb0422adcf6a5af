"""Changing an engine's configuration as a transaction: proved by a canary, or taken back whole.

transaction_run.py tells it from top to bottom, transaction_revert.py the way back: what a kill or a
power cut leaves is transaction_record.py. Each engine's class asks it and starts its canary;
engine_restart.py restarts it.
"""
