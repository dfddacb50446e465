"""The data order of fine-tuning: packed rows, in another order each epoch."""

from __future__ import annotations

import numpy as np

from polylm_core.training.dataset import Batch, PackedOrder

CONTEXT = 4


def test_packed_rows_are_all_seen_in_each_epoch() -> None:
    ids = np.arange(6, dtype=np.int32)[:, None].repeat(CONTEXT, axis=1)
    order = PackedOrder(Batch(ids, ids, ids), seed=1, epochs=2, global_batch_windows=3)
    seen = np.concatenate([order.batch(step).ids_BT[:, 0] for step in range(order.num_steps)])
    assert order.num_steps == 4
    assert sorted(seen[:6]) == list(range(6)) == sorted(seen[6:])
    assert list(seen[:6]) != list(seen[6:])
