"""Who translates: texts of one language in, texts of another out, and nothing guessed."""
