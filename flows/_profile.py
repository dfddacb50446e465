"""The profile a stage runs with, refused where it would leave something open."""

from __future__ import annotations

import os
from pathlib import Path

from polylm_core.safety import require_safe
from polylm_core.settings import Profile, load_profile

PROFILES = Path("infra/profiles")


def load_safe_profile(root: Path) -> Profile:
    """Load the profile that the environment names.

    Raises ParamsError for mistakes in it, MachineError where packages have known holes or a service
    that it or the environment names lets anybody in.
    """
    profile = load_profile(root / PROFILES)
    uses_ray = "ray" in (profile.map_backend, profile.training.backend)
    require_safe(profile.ray_address, os.environ, uses_ray=uses_ray)
    return profile
