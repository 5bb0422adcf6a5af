"""What each engine is on a node: where it is installed, and how it is asked, checked and told.

One module for each engine, which keeps the contract of engine_kind.Engine; distributions.py has the
places of those that bring an engine of their own. Nothing here changes a node.
"""
