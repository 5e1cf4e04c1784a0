"""A training run watched: how its gates changed from epoch to epoch, on fixed probe photos.

`record` is the folder of a run and the file of an epoch, `reading` opens it. It is filled by
`watching`, from a folder of checkpoints that `order` puts in order by their `names`, or by `log`
while a training runs, which `aside` keeps from noticing, with the `contents` of its lists; `asked`
is what it is asked for by mistake. `numbers` says of each gate at each epoch what it does and how
far it is from other epochs, `findings` which gates went wrong and since when, `tables` writes both.
"""

from cbam_viz.runs.findings import Finding, findings
from cbam_viz.runs.log import log_gates
from cbam_viz.runs.numbers import GateNumbers, run_numbers
from cbam_viz.runs.reading import Epoch, Run, find_run, open_run, sample_runs, spaced
from cbam_viz.runs.watching import Watched, watch_checkpoints

__all__ = [
    "Epoch",
    "Finding",
    "GateNumbers",
    "Run",
    "Watched",
    "find_run",
    "findings",
    "log_gates",
    "open_run",
    "run_numbers",
    "sample_runs",
    "spaced",
    "watch_checkpoints",
]
