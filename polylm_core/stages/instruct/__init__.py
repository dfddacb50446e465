"""The `instruct` stage."""
