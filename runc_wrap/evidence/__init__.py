"""What the kernel said of containers' calls: where it comes from, whose it is, how it is kept.

sources/ yields model.Sighting and model.Lost, attribution/ says whose they are, store/ counts and
keeps them. What they mean is for report/.
"""
