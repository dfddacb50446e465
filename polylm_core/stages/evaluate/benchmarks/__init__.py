"""Published benchmarks: a catalogue of sets, found, asked through lm-evaluation-harness, scored."""
