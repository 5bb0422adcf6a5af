"""What runs at every create: built-in modules and orjson, nothing else."""
