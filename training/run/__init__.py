"""A training from the beginning: recipe, network, losses, optimizers, and states to resume."""
