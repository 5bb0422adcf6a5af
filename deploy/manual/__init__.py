"""The manual's pages and the shells' completions, made when an archive is built."""
