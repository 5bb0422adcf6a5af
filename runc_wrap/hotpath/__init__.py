"""The code that runs at every create: built-in modules and orjson, nothing else.

create.py is one create from top to bottom.
"""
