"""Train a CBAM network, and its twin without CBAM, on any folder of class directories.

The commands, `python -m training.NAME`, in the order of their use:

- `data.cache` decodes the photos once, `data.teacher` writes down what a larger network says of
  them,
- `run.train` trains a network, `teach.insert` puts CBAM into a trained EfficientNet instead,
- `teach.guide` fits the probe that tells `teach.refine` where the evidence lies, a last phase on
  every view that the app offers, with spatial maps asked to be open on that evidence,
- `measure.evaluate` measures accuracy and maps, `measure.imagenet` those of the ImageNet network,
- `publish` gives a checkpoint its public metadata.

`checkpoints/README.md` gives those that made the shipped networks. Rooms, from the lowest: `data`,
`run`, `measure`, `teach`, `publish`; none imports from one further on.
"""

from cbam_viz._compat import ensure_torchvision

ensure_torchvision()  # before any module here imports timm
