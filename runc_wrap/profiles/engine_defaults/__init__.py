"""The profiles that engines apply by default, as data: one module for each engine.

Names and conditions are facts about released engines; every range was read from their tags.
"""
