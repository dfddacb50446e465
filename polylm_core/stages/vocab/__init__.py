"""The `vocab` stage."""
