"""The `polylm` command: where the results are, what the machine lacks, what a recipe may say."""
