"""What the axes of a tensor mean, and where its rows and columns lie, after each operation.

`axes` has the words, `placement` a rule per operator; rows and columns are placed by the centres
and steps of their receptive fields. `same` says along which axes a tensor repeats one value.
"""
