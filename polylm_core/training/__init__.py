"""How deep: one training step in memory (DeepSpeed ZeRO-3), its data order and its checkpoints."""
