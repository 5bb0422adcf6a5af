"""Takes in records, attributes and writes them, and checks that the sources deliver."""
