"""The student: a timm network, with CBAM in every block or without, and a head for the teacher."""

from __future__ import annotations

from typing import Any

import timm
from timm.layers.cbam import CbamModule
from torch import Tensor, nn

from training.errors import TrainingError


def create_network(
    architecture: str, attention: str | None, classes: int, arguments: dict[str, Any]
) -> nn.Module:
    """Build the network exactly as a checkpoint's metadata will have it rebuilt.

    Raises:
        TrainingError: timm does not know the architecture or does not take the arguments.
    """
    extra: dict[str, Any] = {"block_args": {"attn_layer": attention}} if attention else {}
    try:
        network: nn.Module = timm.create_model(
            architecture, num_classes=classes, **extra, **arguments
        )
    except (RuntimeError, TypeError, ValueError, KeyError, AssertionError) as error:
        raise TrainingError(
            f"timm cannot build {architecture} with {arguments}: {error}"
        ) from error
    return network


def soften_gates(network: nn.Module) -> None:
    """Start all channel gates near 0.5, where a sigmoid learns fastest.

    timm initialises the gates' MLPs by their fan-out like all convolutions of a ResNet. With two
    hidden units that means weights of 1, gate inputs far outside -4..4, and gates that are 0 or 1
    from the first step on, where they get no gradient.
    """
    for module in network.modules():
        if isinstance(module, CbamModule):
            channels = module.channel.fc1.in_channels
            nn.init.normal_(module.channel.fc1.weight, std=channels**-0.5)
            nn.init.normal_(module.channel.fc2.weight, std=0.1)


class Student(nn.Module):
    """A network with a second linear head that imitates the teacher's own classes.

    The second head is dropped when training ends.
    """

    def __init__(self, network: Any, teacher_classes: int | None) -> None:
        super().__init__()
        self.network = network
        features: int = network.num_features
        self.imitation = nn.Linear(features, teacher_classes) if teacher_classes else None

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits (B, classes), and the imitation (B, teacher classes) if there is a teacher."""
        network: Any = self.network  # timm's methods are not declared by nn.Module
        pooled = network.forward_head(network.forward_features(images), pre_logits=True)
        logits = network.get_classifier()(pooled)
        return logits, self.imitation(pooled) if self.imitation is not None else None
