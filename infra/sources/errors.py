"""The one error of this package: its text is the line the user reads."""


class SourcesError(Exception):
    """Something is wrong with a package file or a committed source; says what and which."""
