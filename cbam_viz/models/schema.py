"""The typed schema of the description in a checkpoint: what a file may say, and within what ranges.

Whoever uploads a file writes its description. Each entry that is read has its type and its range
here and nowhere else; `Arguments` lists what a file may set of a network, which is its shape only,
never files, links or code. `metadata.py` says what the entries are for.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from cbam_viz.images.spec import MAX_CHANNELS, CropMode, InputDescription, Interpolation, Range

MAX_CLASSES = 100_000
MAX_PIXELS = 1024**2
"""Of the input that a file asks for; timm's own networks ask for no more."""

Name = Annotated[str, Meta(max_length=100)]
Text = Annotated[str, Meta(max_length=10_000)]
_Side = Annotated[int, Meta(ge=1, le=2048)]
_Width = Annotated[int, Meta(ge=0, le=65_536)]
_Depth = Annotated[int, Meta(ge=0, le=500)]
_Kernel = Annotated[int, Meta(ge=1, le=99)]
_Stride = Annotated[int, Meta(ge=1, le=32)]
_Factor = Annotated[float, Meta(gt=0, le=64)]
_Rate = Annotated[float, Meta(ge=0, le=1)]
_Number = (
    Annotated[int, Meta(ge=-65_536, le=65_536)] | Annotated[float, Meta(ge=-65_536, le=65_536)]
)
_Mean = Annotated[float, Meta(ge=-1000, le=1000)]
_Std = Annotated[float, Meta(gt=0, le=1000)]
_Value = Annotated[float, Meta(ge=-1e9, le=1e9)]
_Widths = Annotated[list[_Width], Meta(max_length=50)]
_Depths = Annotated[list[_Depth], Meta(max_length=50)]
_Measured = (
    bool | Annotated[float, Meta(ge=-1e9, le=1e9)] | Annotated[str, Meta(max_length=300)] | None
)
_Option = bool | _Number | Name | None
_Options = Annotated[dict[Name, _Option], Meta(max_length=50)]

# What a further entry may hold, which nothing here reads: tables and lists, four deep. Unbounded
# nesting would end the interpreter's recursion wherever it is copied or written.
_Plain = bool | int | float | str | None
_Level1 = _Plain | list[_Plain] | dict[str, _Plain]
_Level2 = _Plain | list[_Level1] | dict[str, _Level1]
_Level3 = _Plain | list[_Level2] | dict[str, _Level2]
Further = _Plain | list[_Level3] | dict[str, _Level3]


class AttentionOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """Arguments of each attention layer."""

    rd_ratio: Annotated[float, Meta(gt=0, le=16)] | None = None
    rd_channels: Annotated[int, Meta(ge=1, le=65_536)] | None = None
    rd_divisor: Annotated[int, Meta(ge=1, le=1024)] | None = None
    spatial_kernel_size: _Kernel | None = None
    kernel_size: _Kernel | None = None
    mlp_bias: bool | None = None
    bias: bool | None = None


class Arguments(Struct, kw_only=True, forbid_unknown_fields=True):
    """Arguments of `timm.create_model` that a file may set."""

    aa_layer: Name | None = None
    act_layer: Name | None = None
    attention_args: AttentionOptions | None = None
    avg_down: bool | None = None
    base_width: _Width | None = None
    block_args: Annotated[dict[Name, _Option | _Options], Meta(max_length=50)] | None = None
    block_reduce_first: _Stride | None = None
    cardinality: _Width | None = None
    channel_multiplier: _Factor | None = None
    channels: _Width | _Widths | None = None
    conv_stem_stride: _Stride | None = None
    depth_multiplier: _Factor | None = None
    depths: _Depths | None = None
    dims: _Width | _Widths | None = None
    down_kernel_size: _Kernel | None = None
    drop_block_rate: _Rate | None = None
    drop_path_rate: _Rate | None = None
    drop_rate: _Rate | None = None
    fix_stem: bool | None = None
    global_pool: Name | None = None
    head_hidden_size: _Width | None = None
    head_init_scale: _Factor | None = None
    in_chans: Annotated[int, Meta(ge=1, le=1024)] | None = None
    kernel_sizes: _Kernel | Annotated[list[_Kernel], Meta(max_length=50)] | None = None
    layers: _Depths | None = None
    mlp_ratio: _Factor | Annotated[list[_Factor], Meta(max_length=50)] | None = None
    norm_layer: Name | None = None
    num_features: _Width | None = None
    output_stride: Literal[8, 16, 32] | None = None
    pad_type: Name | None = None
    replace_stem_pool: bool | None = None
    stem_chs: _Width | _Widths | None = None
    stem_size: _Width | None = None
    stem_stride: _Stride | None = None
    stem_type: Name | None = None
    stem_width: _Width | None = None
    width: _Width | None = None
    width_factor: _Factor | None = None
    widths: _Widths | None = None
    zero_init_last: bool | None = None


class Input(InputDescription, kw_only=True):
    """timm's `pretrained_cfg` as far as a file may state it: a photo becomes no giant by it."""

    input_size: tuple[Annotated[int, Meta(ge=1, le=MAX_CHANNELS)], _Side, _Side] | None = None
    mean: Annotated[list[_Mean], Meta(max_length=MAX_CHANNELS)] | None = None
    std: Annotated[list[_Std], Meta(max_length=MAX_CHANNELS)] | None = None
    interpolation: Interpolation | Literal["random", ""] | None = None
    crop_pct: Annotated[float, Meta(ge=0.5, le=2)] | None = None
    crop_mode: CropMode | Literal[""] | None = None
    range: Range | None = None
    window: tuple[_Value, _Value] | None = None

    def __post_init__(self) -> None:
        """Refuse what no single entry shows."""
        if self.input_size and self.input_size[1] * self.input_size[2] > MAX_PIXELS:
            raise ValueError(f"expected an input_size of at most {MAX_PIXELS:,} pixels")
        channels = self.input_size[0] if self.input_size else 3
        for values in (self.mean, self.std):
            if values and len(values) not in (1, 3, channels):
                few = "1 or 3" if channels in (1, 3) else f"1 or {channels}"
                raise ValueError(f"expected mean and std of {few} values, not {len(values)} values")
        if self.window and self.window[0] >= self.window[1]:
            raise ValueError("expected a window of two values, black and a greater white")


class Inserted(Struct, kw_only=True):
    """Where `insert_cbam` had put its layers."""

    at: Annotated[list[Annotated[str, Meta(min_length=1, max_length=200)]], Meta(max_length=200)]


class Description(Struct, kw_only=True):
    """All that cbam-viz reads of a checkpoint's description."""

    schema: Annotated[int, Meta(ge=1)]
    title: Annotated[str, Meta(max_length=300)] | None = None
    description: Text | None = None
    architecture: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    attention: Name | UnsetType | None = UNSET
    """None: the network has none in its blocks; absent: it is inferred."""
    arguments: Arguments | None = None
    inserted_cbam: Inserted | None = None
    num_classes: Annotated[int, Meta(ge=0, le=10_000_000)] | None = None
    classes: Annotated[list[str], Meta(max_length=MAX_CLASSES)] | None = None
    pretrained_cfg: Input | None = None
    training_data: Text | None = None
    accuracy: Annotated[dict[Name, _Measured], Meta(max_length=50)] | None = None
    license: Text | None = None
    code_version: Name | None = None
    default: bool | None = None
    compare_with: Name | None = None

    def __post_init__(self) -> None:
        """Refuse shares that are none."""
        for name in ("top1", "top5"):
            value = (self.accuracy or {}).get(name)
            if isinstance(value, float) and not 0 <= value <= 1:
                raise ValueError(f"expected {name} of accuracy between 0 and 1")
