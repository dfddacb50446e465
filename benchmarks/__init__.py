"""Figures that the documents quote: each program prints one JSON object as its last line."""
