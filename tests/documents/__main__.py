"""`make docs` and `make architecture`: write the documents that are made from the code."""

import sys

from tests.documents import texts

if __name__ == "__main__":
    for name in sys.argv[1:]:
        path, text = texts.WRITTEN[name]
        path.parent.mkdir(exist_ok=True)
        path.write_text(text())
