"""A forward at which every operation is looked at: its dataflow graph, and the gates in it.

`anatomy` and `sums` tell attention from other factors by its backward slice, `pairing` makes layers
of products, `reasons` says what is told of gates that are neither channel weights nor a map.
`computation` gives the operations of a gate, `replacing` puts ones in its place.
"""
