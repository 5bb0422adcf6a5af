"""The document that is made from the code: build/architecture.md."""
