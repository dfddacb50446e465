"""What a computation allocates: the storages of every torch operation, followed until they go."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Allocations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is entered: bytes of new storages alive at once, and of the largest of them.

    What an operation takes and frees within itself is not seen; the process's resident memory
    shows that.
    """

    def __init__(self, known: Sequence[torch.Tensor] = ()) -> None:
        """Begin with tensors that were there before and do not count."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak_bytes = 0
        self.largest_bytes = 0
        self._alive: dict[int, tuple[Any, int]] = {}
        self._known = [_reference(tensor.untyped_storage()) for tensor in known]

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Do the operation and look at what is alive after it."""
        result = func(*args, **(kwargs or {}))
        before = {reference.cdata for reference in self._known}
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                reference = _reference(storage)
                if reference.cdata not in before:
                    self._alive[reference.cdata] = reference, storage.nbytes()
        self._alive = {key: kept for key, kept in self._alive.items() if not kept[0].expired()}
        self.peak_bytes = max(self.peak_bytes, sum(size for _, size in self._alive.values()))
        self.largest_bytes = max(self.largest_bytes, *(s for _, s in self._alive.values()), 0)
        return result


def _reference(storage: torch.UntypedStorage) -> Any:
    return StorageWeakRef(storage)  # type: ignore[no-untyped-call]
