"""Which epoch or step the name of a checkpoint says, and what its numbers count."""

from __future__ import annotations

import re
from pathlib import Path

from cbam_viz._suffixes import bare_name
from cbam_viz.runs.record import Unit

LARGEST = 10**9 - 1
"""Of a number that is taken for an epoch or a step."""
_BEHIND = r"[ =_.(\[#-]*(\d+)"
_EPOCH = re.compile(rf"(?<![a-z])ep(?:och)?s?{_BEHIND}", re.IGNORECASE)
_STEP = re.compile(
    rf"(?<![a-z])(?:global_?)?(?:steps?|iter(?:ation)?s?|itrs?|its?){_BEHIND}", re.IGNORECASE
)
_END = re.compile(
    r"(?:^|[ =_.-]|(?<![a-z])(?:e|ckpt|checkpoint|model|weights?|net))(\d+)$", re.IGNORECASE
)
_BEFORE = re.compile(r"(?:^|[ =_.-])(\d+)[ _-]?ep(?:och)?s?(?![a-z])", re.IGNORECASE)
_DATE = re.compile(
    r"(?<!\d)(?:19|20)\d\d([-_.]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])"
    r"(?:[T _-]?\d\d[-_.:h]?\d\d(?:[-_.:m]?\d\d)?)?(?!\d)",
    re.IGNORECASE,
)
_DECIMAL = re.compile(r"\d+\.\d+")
_TWO = re.compile(r"(?:^|[ =_.-])\d+[ _-]+\d+$")
"""Two numbers, as `recovery-11-250`, of epoch 11: neither says that it is the one."""
_OTHER = re.compile(
    r"(?<![a-z])(?:acc(?:uracy)?|auc|bs|dice|f1|fold|gpu|iou|loss|lr|miou|part|psnr|rank|run|seed|"
    r"size|split|top|trial|version)[ =_.-]*\d+$",
    re.IGNORECASE,
)
"""Numbers at the end that count something else."""
_OF_STEPS = re.compile(r"checkpoint-\d+")
"""Folders that Hugging Face's Trainer and diffusers write every so many steps."""


def said_by_name(name: str) -> tuple[int, Unit] | None:
    """The number in a name and what it counts; None if the name says none.

    A number without a word is taken for an epoch; `is_bare` says which names have one.
    """
    worded = _worded(name)
    if worded is not None:
        return worded
    number = _bare(name)
    return None if number is None else (number, "epoch")


def step_in_name(name: str) -> int | None:
    """The step that a name says beside an epoch, as `epoch=3-step=400.ckpt`, or alone."""
    return _number(_STEP, _plain(name))


def is_bare(name: str) -> bool:
    """Whether it is a number without a word, which may count either."""
    return _worded(name) is None and _bare(name) is not None


def counts_steps(folder: str) -> bool:
    """Whether a folder of this name is known to be numbered by steps."""
    return _OF_STEPS.fullmatch(folder) is not None


def _worded(name: str) -> tuple[int, Unit] | None:
    plain = _plain(name)
    if (epoch := _number(_EPOCH, plain)) is not None:
        return epoch, "epoch"
    step = _number(_STEP, plain)
    return None if step is None else (step, "step")


def _bare(name: str) -> int | None:
    plain = _plain(_DATE.sub(" ", bare_name(Path(name))), ended=True)
    if not (_TWO.search(plain) or _OTHER.search(plain)):
        number = _number(_END, plain)
        if number is not None:
            return number
    return _number(_BEFORE, plain)


def _plain(name: str, *, ended: bool = False) -> str:
    """A name without its ending and without numbers that have a point."""
    bare = name if ended else bare_name(Path(name))
    return _DECIMAL.sub(" ", bare).rstrip(" _-=.")


def _number(pattern: re.Pattern[str], text: str) -> int | None:
    match = pattern.search(text)
    return None if match is None or int(match[1]) > LARGEST else int(match[1])
