"""The sections of params.yaml that say how radiographs are found, harmonized and split.

Fields marked `Scale` may be changed by a profile; all others are science and stand in the base only.
What each value means, its unit and its source stand beside it in params.yaml.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator


class _Scale:
    """Marks a field that a profile may change: size of the data, of the networks, of the budget."""


Scale = _Scale()
Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Size = tuple[Count, Count]  # (height, width), pixels
SourceName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class Section(BaseModel):
    """A section of params.yaml: no unknown keys, no silent conversions, no later change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Margins(Section):
    """What to cut off each side before resizing: fractions of the image's height or width, or pixels of the file."""

    unit: Literal["fraction", "pixels"]
    top: Annotated[float, Field(ge=0)]
    left: Annotated[float, Field(ge=0)]
    bottom: Annotated[float, Field(ge=0)]
    right: Annotated[float, Field(ge=0)]

    @model_validator(mode="after")
    def _fit_their_unit(self) -> Self:
        values = {side: getattr(self, side) for side in ("top", "left", "bottom", "right")}
        if self.unit == "fraction" and (large := {side: value for side, value in values.items() if value >= 0.5}):
            raise ValueError(f"a margin with unit: fraction must be below 0.5: {large}")
        if self.unit == "pixels" and (broken := {side: value for side, value in values.items() if value % 1}):
            raise ValueError(f"a margin with unit: pixels must be a whole number: {broken}")
        return self


# Told apart by hand, so that an error speaks of margins alone; tags in brackets are no keys of the file.
Crop = Annotated[
    Annotated[Literal["auto"], Tag("[auto]")] | Annotated[Margins, Tag("[margins]")],
    Discriminator(lambda value: "[margins]" if isinstance(value, dict | Margins) else "[auto]"),
]
Percentile = Annotated[float, Field(ge=0, le=100)]


class SourceParams(Section):
    """How the files of one source become upright, dark-air, border-free radiographs; a new source may say nothing."""

    quarter_turns: Annotated[int, Field(ge=0, le=3)] = 0
    deskew: bool = True
    polarity: Literal["auto", "keep", "invert"] = "auto"
    window: tuple[Percentile, Percentile] = (0.1, 99.9)
    crop: Crop = "auto"

    @model_validator(mode="after")
    def _window_is_open(self) -> Self:
        if self.window[0] >= self.window[1]:
            raise ValueError(f"window must be [lower, upper] percentile: {list(self.window)}")
        return self


class PhantomsParams(Section):
    """The drawn corpus of the smoke profile."""

    num_patients: Count
    scale: Annotated[float, Field(ge=0.05, le=1)]


class IngestParams(Section):
    """Which files are radiographs, whose, and which are refused unread."""

    max_pixels: Annotated[Count, Scale]
    min_size: Annotated[Size, Scale]
    images: dict[SourceName, tuple[str, ...]]
    patient: dict[SourceName, str]


class HarmonizeParams(Section):
    """The two resolutions and how an image gets there."""

    high_size: Annotated[Size, Scale]
    low_size: Annotated[Size, Scale]
    aspect: Literal["keep", "squash"]

    @property
    def scale(self) -> int:
        """High-resolution pixels a low-resolution pixel, along one side."""
        return self.high_size[0] // self.low_size[0]

    @model_validator(mode="after")
    def _low_divides_high(self) -> Self:
        (high, wide), (low, narrow) = self.high_size, self.low_size
        if high % low or wide % narrow or high // low != wide // narrow or high // low not in (2, 3, 4):
            raise ValueError(
                f"low_size must be high_size divided by 2, 3 or 4 on both sides: {high}×{wide} against {low}×{narrow}"
            )
        return self


Flag = Literal[
    "blank",
    "under_exposed",
    "over_exposed",
    "not_panoramic",
    "burned_in_text",
    "upscaled",
    "small",
    "several_frames",
    "polarity_unsure",
]


class QualityParams(Section):
    """Limits beyond which an image is flagged, and the flags that reject it."""

    reject: tuple[Flag, ...]
    blank: Fraction
    under_exposed: Fraction
    over_exposed: Fraction
    aspect: tuple[Positive, Positive]
    burned_in_text: Fraction
    upscaled: Annotated[float, Field(ge=0)]


class SplitParams(Section):
    """Shares of validation and test, of all duplicate groups."""

    val: Annotated[float, Field(gt=0, lt=0.5)]
    test: Annotated[float, Field(gt=0, lt=0.5)]
