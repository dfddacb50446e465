"""The commands, one file a subject: signatures and help; what they do is imported when they run."""
