"""PolyLM, end to end: raw multilingual text to an evaluated chat model."""
