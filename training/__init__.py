"""Train a CBAM network, and its twin without CBAM, on any folder of class directories.

The commands, `python -m training.NAME`, in the order of their use:

- `cache` decodes the photos once, `teacher` writes down what a larger network says of them,
- `train` trains a network, `insert` puts CBAM into a trained EfficientNet instead,
- `guide` fits the probe that tells `refine` where the evidence lies; `refine` is a last phase on
  every view that the app offers, with spatial maps asked to be open on that evidence,
- `evaluate` measures accuracy and maps, `imagenet` those of the ImageNet network,
- `publish` gives a checkpoint its public metadata.

`checkpoints/README.md` gives those that made the shipped networks.
"""

from cbam_viz._compat import ensure_torchvision

ensure_torchvision()  # before any module here imports timm
