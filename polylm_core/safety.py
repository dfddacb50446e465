"""What a run is not started with: packages that others can break into, services without a token.

Ray and Prefect run the code of whoever reaches them. On the loopback address that is this machine;
at any other address they have to ask for a token.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

from packaging.version import Version

from polylm_core.errors import MachineError
from polylm_core.redaction import redacted

HOLES: Mapping[str, tuple[str, str]] = {
    "ray": ("2.56", ""),
    "prefect": ("3.6.24", ""),
    "deepspeed": ("0.15.1", " (CVE-2024-43497)"),
    "torch": ("2.6", " (CVE-2025-32434: torch.load runs a file's code even with weights_only)"),
    "transformers": ("5.2.1", ""),
}
"""Of packages with holes that others can use from outside the first version without, and which."""

TOKEN_OF_RAY = (
    "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH, on every machine of the "
    "cluster and here"
)


def hole_in(package: str, version: str) -> str:
    """Return what is wrong with a version of a package, with the mend; empty for a sound one."""
    first, hole = HOLES.get(package, ("0", ""))
    if Version(version) >= Version(first):
        return ""
    return (
        f"{package} {version} has a known vulnerability{hole}; install {first} or later "
        f"(pip install -c constraints.txt '{package}>={first}')"
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there; no name is looked up."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def ray_problem(address: str | None, environment: Mapping[str, str]) -> str:
    """Return why a Ray must not be used, with the mend; empty if it may.

    Without an address, or with `local`, it is a private one, which asks for a token by itself: Ray
    listens on the machine's own address.
    """
    mode = environment.get("RAY_AUTH_MODE", "")
    if address in (None, "", "local"):
        if mode.lower() in ("", "token"):
            return ""
        return (
            f"RAY_AUTH_MODE is {mode!r}: whoever reaches this machine could run code in its "
            "private Ray; unset it, or set it to token"
        )
    if is_loopback(_host(str(address))) or (mode.lower() == "token" and _has_token(environment)):
        return ""
    return (
        f"Ray at {redacted(str(address))} is not on this machine's loopback address and asks for "
        f"no token: whoever reaches it could run code there; {TOKEN_OF_RAY}"
    )


def _host(address: str) -> str:
    """The host of an address; empty for what is none."""
    try:
        return urlsplit(address if "://" in address else f"//{address}").hostname or ""
    except ValueError:
        return ""


def _has_token(environment: Mapping[str, str]) -> bool:
    """Whether Ray finds a token where it looks for one."""
    if environment.get("RAY_AUTH_TOKEN"):
        return True
    default = Path(environment.get("HOME", "~")).expanduser() / ".ray/auth_token"
    file = Path(environment.get("RAY_AUTH_TOKEN_PATH") or default)
    return file.is_file() and bool(file.read_text(encoding="utf-8", errors="replace").strip())


def prefect_problem(environment: Mapping[str, str]) -> str:
    """Return why the Prefect of PREFECT_API_URL must not be used; empty if it may, or is none."""
    address = environment.get("PREFECT_API_URL", "")
    if not address or is_loopback(_host(address)):
        return ""
    if environment.get("PREFECT_API_KEY") or environment.get("PREFECT_API_AUTH_STRING"):
        return ""
    return (
        f"Prefect at {redacted(address)} is not on this machine's loopback address and is asked "
        "without a token: whoever reaches it could start runs; protect the server "
        "(PREFECT_SERVER_API_AUTH_STRING) and set PREFECT_API_AUTH_STRING or PREFECT_API_KEY here"
    )


def problems(
    ray_address: str | None, environment: Mapping[str, str], *, uses_ray: bool = True
) -> Iterator[str]:
    """Yield everything a run must not be started with, each with its mend."""
    for package in HOLES:
        if hole := hole_in(package, metadata.version(package)):
            yield hole
    address = ray_address or environment.get("RAY_ADDRESS")
    if uses_ray and (told := ray_problem(address, environment)):
        yield told
    if told := prefect_problem(environment):
        yield told


def require_safe(
    ray_address: str | None, environment: Mapping[str, str], *, uses_ray: bool = True
) -> None:
    """Raise MachineError with everything that a run must not be started with."""
    found = list(problems(ray_address, environment, uses_ray=uses_ray))
    if found:
        raise MachineError("; ".join(found))
