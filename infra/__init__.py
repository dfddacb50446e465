"""Where it runs: profiles, the check of the machine, and how the pinned sources were made."""
