"""Networks of ultralytics (YOLO): read from a `best.pt` without running it, fed as they feed them.

Their checkpoints hold the network itself, pickled, and no code. `package` imports ultralytics
without its side effects, `classes` has the classes whose code may run, `rebuild` makes modules of
what the file says, `trial` proves what a forward of them costs before one is run, `feeding` says
what they are fed, `load` does it all.
"""
