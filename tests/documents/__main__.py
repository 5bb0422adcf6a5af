"""`make docs`, and `make architecture` for one of them: write the generated parts."""

import sys

from tests.documents import texts

if __name__ == "__main__":
    for path, text in texts.written(sys.argv[1:] or list(texts.NAMES)).items():
        path.write_text(text)
