"""How wide: the machines a stage runs on. Two verbs, `map` and `launch`."""
