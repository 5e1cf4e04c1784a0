"""The one family of exceptions that a user of cbam-viz can meet.

Every text says what happened and what to change. The app and the command line show the text alone;
nothing a user does may surface as another exception.
"""

from __future__ import annotations


class CbamVizError(Exception):
    """Base of all errors that a user can cause and mend."""


class ImageError(CbamVizError):
    """A file is no image that can be read, or is too large to be read safely."""


class ModelError(CbamVizError):
    """An architecture cannot be built, or cannot take CBAM as asked."""


class NoClassScoresError(ModelError):
    """A network's output is no scores of classes that exclude each other."""

    def __init__(self, reason: str, *, dense: bool = False) -> None:
        super().__init__(f"The output is no class scores: {reason}.")
        self.reason = reason
        """Why, as the part of a sentence."""
        self.dense = dense
        """True if the output says something of each place."""


class NoAttentionError(ModelError):
    """A model holds no attention that could be shown.

    The text is `reason` and `advice` for Python; the app and the command line give their own.
    """

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(f"{reason} {advice}".rstrip())
        self.reason = reason
        """What is the case, in sentences."""


class CheckpointError(CbamVizError):
    """A checkpoint cannot be read safely, or does not fit the network."""


class PlainCheckpointError(CheckpointError):
    """A checkpoint is of a network without attention; `attention="none"` loads it as that."""


class LimitError(CbamVizError):
    """Reading a file took more time or memory than it may; callers say what file it was."""


class CaptureError(CbamVizError):
    """A layer's gates could not be captured, or not exactly; the text names the layer."""


class MethodError(CbamVizError):
    """Another method's map cannot be made as asked."""


class FigureError(CbamVizError):
    """A figure cannot be made as asked."""


class LabelsError(CbamVizError):
    """A file of labels cannot be read, or says two things of one photo."""


class StoreError(CbamVizError):
    """Results cannot be written or read back."""


class MetricError(CbamVizError):
    """A measure of a map makes no sense for what it was given."""


class RenderError(CbamVizError):
    """A map, a colour scale or a chart cannot be drawn as asked."""
