"""When, how often and seen by whom: each DVC stage as a Prefect flow. Nothing is computed here."""
