"""Maps that know nothing of the network: what any map has to beat."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cbam_viz.metrics._checks import Map, as_map, generator


def uniform(size: tuple[int, int]) -> Map:
    """A map that is 1 everywhere, of height and width `size`."""
    return np.ones(size)


def centre_gaussian(size: tuple[int, int]) -> Map:
    """A Gaussian on the middle of the picture, its standard deviation a quarter of each side."""

    def axis(n: int) -> Map:
        found: Map = np.exp(-0.5 * (((np.arange(n) + 0.5) / n - 0.5) / 0.25) ** 2)
        return found

    return np.outer(axis(size[0]), axis(size[1]))


def smooth_random(values: npt.ArrayLike, seed: int) -> Map:
    """A map (h, w) that has the same values as the given one, as smooth, in random places.

    The cosine transform's coefficients keep their sizes and get random signs, which keeps the
    spectrum without joining opposite edges; then the values themselves are put in by rank. (The
    surrogates of Theiler et al., "Testing for nonlinearity in time series", Physica D 1992, with a
    cosine for their Fourier transform.)
    """
    found = as_map(values)
    rows, columns = (_cosines(n) for n in found.shape)
    spectrum = rows @ found @ columns.T
    signs = generator(seed).choice([-1.0, 1.0], spectrum.shape)
    signs[0, 0] = 1
    drawn = rows.T @ (spectrum * signs) @ columns
    order = np.argsort(drawn, axis=None, kind="stable")
    made = np.empty(found.size)
    made[order] = np.sort(found, axis=None)
    return made.reshape(found.shape)


def _cosines(count: int) -> Map:
    """The orthonormal cosine transform (DCT-II) of `count` values, as a matrix."""
    k, n = np.arange(count)[:, None], np.arange(count)[None]
    matrix: Map = np.sqrt(2 / count) * np.cos(np.pi * k * (2 * n + 1) / (2 * count))
    matrix[0] /= np.sqrt(2)
    return matrix
