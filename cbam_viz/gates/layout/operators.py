"""Families of aten operators, by name without namespace and without the `_` of in-place forms."""

from __future__ import annotations

from functools import cache
from typing import Any


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


RESHAPING = _names(
    "view _unsafe_view _reshape_alias _reshape_copy reshape permute transpose t squeeze unsqueeze "
    "expand detach alias"
)
"""The same values in another shape."""

PASSES = RESHAPING | _names("clone _to_copy lift_fresh contiguous slice native_dropout copy")
"""Results that hold the same values as their first operand."""

PARTING = _names("split split_with_sizes unsafe_split slice select unbind")
"""Parts of a tensor, in its order; the whole, where nothing is left out."""

CUTTING = PARTING | _names("index index_select")
"""Parts of a tensor in any order."""

VALUELESS = _names(
    "new_empty new_zeros new_ones new_full empty_like zeros_like ones_like full_like rand_like "
    "randn_like new_empty_strided"
)
"""These take a tensor's shape only."""

_DRAWN_BY_VALUES = _names("default Tensor")
"""Forms of `bernoulli` to which the tensor gives the chances; a mask of dropout is none of them."""

ASKING = _names("_local_scalar_dense equal item is_nonzero allclose")
"""A tensor's value becomes one of Python's, on which a forward's way may hang."""

FILLING = _names(
    "ones zeros full ones_like zeros_like full_like new_ones new_zeros new_full fill zero"
)
"""Every value of the result is the same one."""

DRAWING = _names("rand randn normal uniform randint")
"""Where a network that takes no tensor gets its first one from."""

MULTIPLYING = _names("mul div addcmul")
"""Where gates act."""

CONTRACTING = _names("mm bmm mv")
"""Products that are summed up at once."""

MULTIPLIED_UP = _names("prod cumprod")
"""Products along an axis."""

JOINED = _names("cat stack")

COMPARING = _names("lt gt ge le eq ne maximum minimum isclose logical_and logical_or")

SUMMED = _names("add sub rsub _softmax _log_softmax gather scatter scatter_add embedding")
"""Where features and a gate meet without the one scaling the other."""

SQUASHING = _names("sigmoid hardsigmoid tanh _softmax")

LIMITING = _names("clamp clamp_min clamp_max hardtanh relu softplus exp elu abs")
"""What else makes weights of logits: nothing below a bound."""

AFFINE = _names("add sub rsub mul div neg")
"""With one operand that depends on the input, these only scale and shift it."""

SPREADING = _names(
    "upsample_nearest2d _upsample_nearest_exact2d upsample_bilinear2d upsample_bicubic2d repeat"
)
"""A coarse gate made as large as the features."""

NORMALISING = _names(
    "sqrt rsqrt var var_mean std std_mean norm linalg_vector_norm pow square native_layer_norm "
    "native_group_norm native_batch_norm _native_batch_norm_legit "
    "_native_batch_norm_legit_no_training cudnn_batch_norm"
)

POINTWISE = _names(
    "sigmoid relu hardsigmoid hardswish hardtanh clamp clamp_min clamp_max tanh silu add sub mul "
    "div rsub neg exp reciprocal softplus mish elu gelu leaky_relu threshold log1p log erf "
    "_to_copy clone view detach alias"
)
"""A factor made of these alone is an activation."""

JOINING = POINTWISE | _names(
    "maximum minimum pow sqrt native_batch_norm _native_batch_norm_legit cudnn_batch_norm "
    "_native_batch_norm_legit_no_training"
)
"""Through these a gate stays what it was put together of."""

REPEATABLE = _names(
    "sigmoid tanh relu hardsigmoid hardtanh clamp clamp_min clamp_max softplus add sub mul div "
    "rsub neg exp reciprocal _softmax _to_copy clone"
)
"""Operations of a gate that can be done again on copies, to the same bits."""

CHECKABLE = _names(
    "mul add sub div relu sigmoid silu hardswish hardsigmoid tanh gelu leaky_relu maximum clamp "
    "clamp_min hardtanh elu addcmul"
)
"""Elementwise operations, which can be done again at a few positions."""

AVERAGING = _names("mean _adaptive_avg_pool2d avg_pool2d adaptive_avg_pool2d")
MAXIMISING = _names("amax max adaptive_max_pool2d max_pool2d_with_indices")


def is_valueless(name: str, func: Any) -> bool:
    """Whether a result is no function of its operands' values: a mask of dropout is none."""
    plain = base(name)
    drawn = plain == "bernoulli" and func._overloadname not in _DRAWN_BY_VALUES
    return drawn or plain in VALUELESS


@cache
def base(name: str) -> str:
    """An operator's name, in place or not: `relu_` is `relu`, `_softmax` stays."""
    return name if name.startswith("_") else name.removesuffix("_")
