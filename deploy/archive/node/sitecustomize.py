"""Has `site` take site-packages: Debian's looks for dist-packages only, outside of a venv."""

import sys

sys.path.append(sys.path[-1].removesuffix("lib-dynload") + "site-packages")
