"""When, how often and seen by whom: each DVC stage as one Prefect flow. Nothing is computed here."""
