"""Tests of the benchmarks' parts: what a figure rests on."""
