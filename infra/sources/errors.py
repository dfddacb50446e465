"""The one error of this package: its text is the line the user reads."""

from polylm_core.errors import PolyLMError


class SourcesError(PolyLMError):
    """Something is wrong with a package file or a committed source; says what and which."""
