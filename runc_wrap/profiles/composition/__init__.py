"""Profiles that are composed: a base, with calls and groups of calls added to it or removed."""
