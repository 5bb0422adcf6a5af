"""Checks of the agent's two services, and of the listeners that observe holds."""
