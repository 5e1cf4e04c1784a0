"""Capturing the gates of any network, exactly: `capture`, `Capture`, `find_cbam_layers`.

The way of a capture: `api` opens a `recorder`, whose `hooks` tell it what passes. A network seen
for the first time is watched (`trace`, `products`): every multiplication of a feature map is looked
at, `same` sees through gates made as large as the features, `anatomy` and `sums` tell attention
from other factors, `pairing` puts channel and spatial gates together by the `flow` of data, `axes`
and `placement` (a rule per operator, many of them in `windows` and `resampling`; `merging` where
tensors meet) say where a map's cells lie on the input, `reasons` what is told of gates that are
neither. What a forward showed (`forward`) is learnt (`learn`) as a plan (`table`, `recipes`,
`checks`), with which later forwards need plain hooks alone, as long as what their code may ask for
its way (`switches`) is the same at a `glance`. Layers of timm's own classes (`known`) are hooked in
any case. `assemble` makes the result. `computed` gives the operations between features and gates,
where they are asked for; `replacing` puts ones in the place of gates.
"""

from .api import Capture, capture
from .find import attention_tensors, cbam_layers_seen, find_cbam_layers

__all__ = ["Capture", "attention_tensors", "capture", "cbam_layers_seen", "find_cbam_layers"]
