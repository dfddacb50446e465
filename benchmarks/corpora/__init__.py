"""A large corpus of real text for measurements, made from packages; see `benchmarks.corpus`."""
