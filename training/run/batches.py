"""Batches of varied views with their targets: a function of the seed and the step alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.augment import DEGRADE_ABOVE, Augmentation, crop_view, vary
from training.data.cache import ImageCache
from training.data.teacher import TeacherTargets
from training.run.recipe import Recipe


@dataclass(frozen=True)
class Batch:
    """Images (B, S, S, 3) uint8, labels (B,), and the teacher's logits, or None without one."""

    images: Tensor
    labels: Tensor
    own: Tensor | None
    """float16, (B, the teacher's classes)."""
    probe: Tensor | None
    """float16, (B, classes)."""

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""

        def move(value: Tensor) -> Tensor:
            return value.to(device, non_blocking=True)

        own, probe = (None if one is None else move(one) for one in (self.own, self.probe))
        return Batch(move(self.images), move(self.labels), own, probe)


class Batches:
    """Draws the batch of any step; the order of an epoch is a weighted shuffle.

    Classes are drawn in proportion to the square root of their size: each image has the weight
    1/sqrt(size of its class), and an epoch holds each image as often as its weight says, rounded
    up or down at random (systematic resampling).
    """

    def __init__(self, cache: ImageCache, recipe: Recipe, targets: TeacherTargets | None) -> None:
        self.cache, self.recipe, self.targets = cache, recipe, targets
        self._ends = np.cumsum(cache.chances()) * len(cache)
        self._steps = max(1, len(cache) // recipe.batch)
        self.views = targets.settings.views if targets else recipe.views
        self.scale = targets.settings.scale if targets else recipe.scale
        self.view_seed = targets.settings.seed if targets else recipe.seed
        self.augmentation = Augmentation(recipe.flip, recipe.degrade, recipe.colour)
        self._order = lru_cache(maxsize=2)(self._epoch_order)

    def _epoch_order(self, epoch: int) -> NDArray[np.int64]:
        """Indices of an epoch's images, in the order shown."""
        rng = np.random.default_rng((self.recipe.seed, 1, epoch))
        count = len(self.cache)
        drawn = np.searchsorted(self._ends, np.arange(count) + rng.random(), side="right")
        return np.asarray(rng.permutation(np.minimum(drawn, count - 1)), dtype=np.int64)

    def batch(self, step: int) -> Batch:
        """The batch of a step, whatever was drawn before."""
        epoch, position = divmod(step, self._steps)
        size, side = self.recipe.batch, self.recipe.side_at(step)
        order = self._order(epoch)
        index = np.take(order, range(position * size, (position + 1) * size), mode="wrap")
        rng = np.random.default_rng((self.recipe.seed, 2, step))
        images, views = [], []
        for i in index:
            view = (epoch + int(i)) % self.views
            views.append(view)
            image = self.cache.image(i)
            crop = crop_view(image, (self.view_seed, int(i), view), self.scale, side)
            sharp = min(image.shape[:2]) > DEGRADE_ABOVE
            images.append(vary(crop, rng, self.augmentation, sharp))
        own = probe = None
        if self.targets is not None:
            own = torch.from_numpy(self.targets.own[index, views])
            probe = torch.from_numpy(self.targets.probe[index, views])
        labels = torch.from_numpy(self.cache.labels[index])
        return Batch(torch.from_numpy(np.stack(images)), labels, own, probe)
