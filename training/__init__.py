"""Train a CBAM network, and its twin without CBAM, on any folder of class directories.

`python -m training.cache`, `training.teacher`, `training.train` and `training.evaluate` are the
commands; `checkpoints/README.md` gives those that made the shipped networks.
"""

from cbam_viz._compat import ensure_torchvision

ensure_torchvision()  # before any module here imports timm
