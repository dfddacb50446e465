"""What goes wrong with a Ray cluster, in words, and whether another try may find it mended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import ray

from polylm_core.compute.restarts import last_line
from polylm_core.errors import InfrastructureError, MachineError

WRONG_TOKEN = ("InvalidAuthToken", "Unauthenticated")
OTHER_VERSION = "Version mismatch"


def not_joined(address: str, error: Exception) -> MachineError:
    """Return why there is no cluster at an address: for good, or for now."""
    if refuses_token(error):
        return _wrong_token(f"the Ray cluster at {address}")
    said = " ".join(str(error).split())
    if OTHER_VERSION in said:
        return MachineError(
            f"the Ray cluster at {address} has another Ray or Python ({said}); install the same "
            "on all machines"
        )
    if isinstance(error, ValueError):
        return MachineError(
            f"{address} is no address of a Ray cluster ({last_line(error)}); RAY_ADDRESS or the "
            "profile's ray_address is HOST:PORT"
        )
    return InfrastructureError(
        f"no Ray cluster answers at {address} ({last_line(error)}); start it, set "
        "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH where it asks for a token, or take "
        "ray_address out of the profile for a private one"
    )


def refuses_token(error: BaseException | None) -> bool:
    """Whether a cluster did not take the token, or its absence; Ray says it in several ways."""
    while error is not None:
        if isinstance(error, ray.exceptions.AuthenticationError):
            return True
        if any(word in str(error) for word in WRONG_TOKEN):
            return True
        error = error.__cause__
    return False


@contextmanager
def in_words(cluster: str) -> Iterator[None]:
    """Raise what Ray itself raises in the block as an error of the project.

    Raises InfrastructureError, or MachineError for a token that is not the cluster's. An error of
    the work that Ray carried passes as it is.
    """
    try:
        yield
    except ray.exceptions.RayTaskError:
        raise
    except ray.exceptions.RayError as error:
        if refuses_token(error):
            raise _wrong_token(cluster) from error
        raise InfrastructureError(
            f"{cluster} has failed ({type(error).__name__}: {last_line(error)}); run again, "
            "finished work is kept"
        ) from error


def _wrong_token(cluster: str) -> MachineError:
    return MachineError(
        f"{cluster} does not take this token, or wants one; set RAY_AUTH_MODE=token and "
        "RAY_AUTH_TOKEN_PATH to the file with the token that it was started with"
    )
