"""The code that runs at every create: built-in modules and orjson, nothing else.

main.py is one create from top to bottom.
"""
