"""The parts of `benchmarks.data` and `benchmarks.scaling`: samples, the peer's side and ours."""
