"""`make architecture`: writes build/architecture.md, which is made from the code."""

from pathlib import Path

from tests.documents import architecture

if __name__ == "__main__":
    path = Path(__file__).resolve().parents[2] / "build" / "architecture.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text(architecture.listing())
