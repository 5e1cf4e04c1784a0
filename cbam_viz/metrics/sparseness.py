"""How concentrated a map is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cbam_viz.metrics._checks import as_map


def gini(values: npt.ArrayLike) -> float | None:
    """The Gini index of a map's absolute values: 0 if all are equal, 1 - 1/N if one is not zero.

    None for a map of zeros. Neither direction is better in itself: a sparse map may be wrong.
    Hurley and Rickard, "Comparing Measures of Sparsity", IEEE Trans. Inf. Theory 2009, eq. 5; as a
    measure of maps, Chalasani et al., ICML 2020.
    """
    sizes = np.sort(np.abs(as_map(values)), axis=None)
    total = float(sizes.sum())
    if total == 0:
        return None
    places = np.arange(1, sizes.size + 1)
    return float(1 - 2 * (sizes / total) @ ((sizes.size - places + 0.5) / sizes.size))
