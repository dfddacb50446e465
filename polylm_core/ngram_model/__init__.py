"""N-gram language models: KenLM files read, models trained, texts scored by perplexity."""
