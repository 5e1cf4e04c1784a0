"""The gates of a folder or a data set in one store: `cbam-viz batch`, `run_batch` in Python.

Data flows `sources` (every photo named) -> `plan` (on disk, so that memory is bounded) -> `workers`
(processes, each with shards of its own) -> `looking` (read, prepared, captured together) -> `shard`
(one Parquet file, written as a whole). `run` holds it together; `settings` and `record` say what a
store was made with, so that a run goes on with that and with nothing else.
"""
