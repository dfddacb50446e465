"""Answers of the chat model to a question set, graded by a judge model."""
