"""Instruction sets that others published, as rows of this pipeline."""
