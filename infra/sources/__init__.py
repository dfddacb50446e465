"""Rebuild and verify `data/00_sources`, the committed text of the default recipe.

In: package files of Debian and npm. Out: one folder a source, all languages line-aligned.
The result depends on the bytes of the package files alone, so anyone can make it again.
"""
