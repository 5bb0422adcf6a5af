"""`make docs`, and `make architecture` for one of them: writes what is generated."""

import sys

from tests.documents import texts

if __name__ == "__main__":
    for path, text in texts.written(sys.argv[1:] or list(texts.NAMES)).items():
        path.write_text(text)
