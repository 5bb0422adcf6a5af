"""Evidence of containers' calls: its sources, its attribution to containers, its store.

sources/ yields Sighting and LossSpan (sightings.py), attribution/ says whose they are, store/
counts and keeps them. What they mean is for report/.
"""
