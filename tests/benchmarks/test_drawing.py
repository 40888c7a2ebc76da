"""Labels of the pictures in docs do not overlap."""

from __future__ import annotations

import numpy as np

from benchmarks.drawing import spread


def test_labels_keep_their_order_and_their_distance():
    placed = spread([1.0, 0.99, 0.99, 0.2, 0.21], 0.06, 0.0, 1.0)
    assert placed.max() <= 1.0
    assert placed.min() >= 0.0
    assert (np.diff(np.sort(placed)) >= 0.06 - 1e-12).all()
    assert placed[0] == placed.max()
    assert placed[3] == placed.min()
    assert (spread([0.5] * 30, 0.06, 0.0, 1.0) >= 0).all()
    assert len(spread([], 0.06, 0.0, 1.0)) == 0
