"""Capturing the gates of any network, exactly: `capture`, `Capture`, `find_cbam_layers`.

Its rooms, each of which uses only those below it:

    find, api, recorder    the public functions; one capture at work
    assemble, readings     the layers that a forward showed, and the result made of them
    plan/                  what a forward taught, so that hooks alone suffice for later ones
    watch/                 a forward at which every operation is looked at: gates at their products
    model/                 a network's modules; what is put on them, and what they are called
    layout/                what the axes of a tensor mean, and where its cells lie on the input

The way of a capture: `api` opens a `recorder`, whose hooks tell it what passes. A network seen for
the first time is watched: `watch.trace` writes down the dataflow graph, `watch.products` looks at
every multiplication of a feature map, `watch.pairing` puts channel and spatial gates together. What
such a forward showed is learnt (`plan.learn`) as a plan, with which later forwards need plain hooks
alone, as long as what their code may ask for its way is the same at a `model.glance`. Layers of
timm's own classes (`model.timm_layers`) are hooked in any case, and not watched inside where no
other code than timm's and torch's runs in them.

Words that are used throughout:

    gate             a factor of features: channel weights M_c (B, C) or a spatial map M_s (B, h, w)
    product          the multiplication in which a gate acts on features; a layer has one or two
    layer            the gates that belong together, named after the module that holds them
    dataflow graph   the tensor values of one forward (nodes), each with the operation that made it
    backward slice   all nodes that one node was computed from; a gate's ends at its features
    layout           what each axis of a tensor means; of rows and columns also where they lie
    receptive field  the part of the input that a value depends on; a cell lies at its centre
    watched forward  one whose dataflow graph is written down; it costs more than a plain one
    plan             how to get such gates by hooks: recipes, and checks that they still hold
    way              the calls of modules and gates of one forward, in order; a plan is for one
"""

from .api import Capture, capture
from .find import attention_tensors, cbam_layers_seen, find_cbam_layers

__all__ = ["Capture", "attention_tensors", "capture", "cbam_layers_seen", "find_cbam_layers"]
