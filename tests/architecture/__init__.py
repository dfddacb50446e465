"""The rules of docs/architecture.md, each with a planted violation that it catches."""
