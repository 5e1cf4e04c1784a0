"""What the student is told: labels, the probe's opinion of them, and the teacher's own classes."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from training.run.batches import Batch
from training.run.recipe import Recipe


def divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Mean KL divergence of softened distributions, from logits (B, C), times temperature^2.

    The factor keeps the gradient's size whatever the temperature (Hinton et al., "Distilling the
    knowledge in a neural network", 2015).
    """
    log_student = F.log_softmax(student.float() / temperature, dim=1)
    log_teacher = F.log_softmax(teacher.float() / temperature, dim=1)
    kl = F.kl_div(log_student, log_teacher, log_target=True, reduction="batchmean")
    return kl * temperature**2


def student_loss(logits: Tensor, imitation: Tensor | None, batch: Batch, recipe: Recipe) -> Tensor:
    """The weighted sum of the three losses; without a teacher, the label's alone."""
    label = F.cross_entropy(logits.float(), batch.labels, label_smoothing=recipe.smoothing)
    if batch.probe is None or batch.own is None or imitation is None:
        return label
    probe = divergence(logits, batch.probe, 1.0)
    own = divergence(imitation, batch.own, recipe.temperature)
    return recipe.label_weight * label + recipe.probe_weight * probe + recipe.own_weight * own
