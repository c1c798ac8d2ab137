"""What params.yaml may hold: one frozen model a section, every value checked.

Fields marked `Scale` may be changed by a profile; all others are science and stand in the base only.
What each value means, its unit and its source stand beside it in params.yaml.
"""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from panodiff.params_data import (
    Count,
    Fraction,
    HarmonizeParams,
    IngestParams,
    PhantomsParams,
    Positive,
    QualityParams,
    Scale,
    Section,
    SourceName,
    SourceParams,
    SplitParams,
)

SamplerName = Literal["ddpm", "ddim", "dpm_solver++", "unipc"]
Clamping = Literal["static", "dynamic"]
Backbone = Literal["encoder", "vgg16", "vgg19"]
LPIPSBackbone = Literal["alexnet", "squeezenet"]
FeatureBackbone = Literal["encoder", "inception", "resnet50", "vgg16", "alexnet", "squeezenet"]


class TrainingParams(Section):
    """One training run of the engine: AdamW, linear warm-up, cosine decay to zero, EMA."""

    num_steps: Annotated[Count, Scale]
    batch_size: Annotated[Count, Scale]
    accumulation: Annotated[Count, Scale]
    learning_rate: Annotated[Positive, Scale]
    weight_decay: Annotated[float, Field(ge=0)]
    adam_betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]]
    warmup_steps: Annotated[int, Field(ge=0), Scale]
    clip_norm: Positive
    ema_decay: Annotated[Annotated[float, Field(ge=0, lt=1)], Scale]
    precision: Annotated[Literal["float32", "bfloat16"], Scale]
    log_every: Annotated[Count, Scale]

    @model_validator(mode="after")
    def _warm_up_ends(self) -> Self:
        if self.warmup_steps >= self.num_steps:
            raise ValueError(f"warmup_steps must be below num_steps: {self.warmup_steps} against {self.num_steps}")
        if self.batch_size % self.accumulation:
            raise ValueError(f"accumulation must divide batch_size: {self.accumulation} against {self.batch_size}")
        return self


class EncoderParams(Section):
    """The self-supervised encoder of radiographs."""

    widths: Annotated[tuple[Count, ...], Field(min_length=2, max_length=6), Scale]
    embed_dim: Annotated[Count, Scale]
    temperature: Positive
    crop: tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(gt=0, le=1)]]
    training: TrainingParams

    @model_validator(mode="after")
    def _can_train(self) -> Self:
        if odd := [width for width in self.widths if width % 8]:
            raise ValueError(f"widths must be multiples of 8 (group normalisation): {odd}")
        if self.crop[0] > self.crop[1]:
            raise ValueError(f"crop must be [smallest, largest]: {list(self.crop)}")
        if self.training.batch_size < 2:
            raise ValueError("training.batch_size must be at least 2: an image is told from the others of its batch")
        if self.training.accumulation > 1:
            raise ValueError("training.accumulation must be 1: an image is told from the others of its whole batch")
        return self


class AnalyseSourcesParams(Section):
    """t-SNE and the separability of the sources."""

    images_per_source: Annotated[Count, Scale]
    pca_dims: Count
    perplexity: Positive
    num_neighbours: Count


class UNetParams(Section):
    """The denoising network."""

    widths: Annotated[tuple[Count, ...], Field(min_length=2, max_length=8), Scale]
    attention: Annotated[tuple[bool, ...], Scale]
    patch_size: Annotated[Literal[1, 2, 4], Scale]

    @model_validator(mode="after")
    def _one_flag_a_grid(self) -> Self:
        if len(self.attention) != len(self.widths) - 1:
            raise ValueError(
                f"attention needs one flag a grid, one fewer than widths: {len(self.attention)} for {len(self.widths)}"
            )
        if odd := [width for width in self.widths if width % 8]:
            raise ValueError(f"widths must be multiples of 8 (group normalisation): {odd}")
        return self

    @property
    def size_multiple(self) -> int:
        """Image sides must be multiples of this."""
        return int(self.patch_size * 2 ** (len(self.widths) - 2))


class ScheduleParams(Section):
    """The noise schedule."""

    kind: Literal["cosine", "linear"]
    num_train_timesteps: Annotated[int, Field(ge=2, le=10_000)]
    beta_max: Annotated[float, Field(gt=0, lt=1)]
    zero_terminal_snr: bool


class DiffusionParams(Section):
    """The diffusion model."""

    network: UNetParams
    schedule: ScheduleParams
    prediction: Literal["epsilon", "v_prediction"]
    loss: Literal["l1", "l2"]
    training: TrainingParams

    @model_validator(mode="after")
    def _can_leave_pure_noise(self) -> Self:
        if self.schedule.zero_terminal_snr and self.prediction == "epsilon":
            raise ValueError(
                "schedule.zero_terminal_snr needs prediction: v_prediction, since ε tells nothing of the image where "
                "x_t is all noise"
            )
        return self


class HATParams(Section):
    """The super-resolution network."""

    embed_dim: Annotated[Count, Scale]
    depths: Annotated[tuple[Count, ...], Field(min_length=1), Scale]
    num_heads: Annotated[tuple[Count, ...], Field(min_length=1), Scale]
    window_size: Annotated[Literal[4, 8, 16], Scale]
    num_feat: Annotated[Count, Scale]
    bicubic_skip: bool

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if len(self.depths) != len(self.num_heads):
            raise ValueError(f"depths and num_heads must be as long: {len(self.depths)} against {len(self.num_heads)}")
        if odd := [heads for heads in self.num_heads if self.embed_dim % heads]:
            raise ValueError(f"num_heads must divide embed_dim {self.embed_dim}: {odd}")
        if self.embed_dim < 30:
            raise ValueError(f"embed_dim must be at least 30, which channel attention divides it by: {self.embed_dim}")
        return self


class SuperresLossParams(Section):
    """Weights of the three losses, and the features of the second."""

    l1: Annotated[float, Field(ge=0)]
    perceptual: Annotated[float, Field(ge=0)]
    adversarial: Annotated[float, Field(ge=0)]
    backbone: Annotated[Backbone, Scale]


class DegradationParams(Section):
    """How low-resolution training input is made; the numbers are of `area`, drawn uniformly from zero to these."""

    kind: Literal["area", "real_esrgan"]
    noise: Annotated[float, Field(ge=0, le=0.5)]
    grain: Annotated[float, Field(ge=0, le=0.5)]
    blur: Annotated[float, Field(ge=0, le=5)]


class SuperresParams(Section):
    """The super-resolution model."""

    network: HATParams
    discriminator_num_feat: Annotated[Count, Scale]
    loss: SuperresLossParams
    l1_phase: Fraction
    crop_size: Annotated[Count, Scale]
    degradation: DegradationParams
    lpips_backbone: Annotated[LPIPSBackbone | None, Scale]
    training: TrainingParams


class SampleParams(Section):
    """Bulk sampling at low resolution."""

    num_images: Annotated[Count, Scale]
    sampler: SamplerName
    num_inference_steps: Annotated[Count, Scale]
    eta: Fraction
    clamping: Clamping
    batch_size: Annotated[Count, Scale]
    shard_size: Annotated[Count, Scale]

    @model_validator(mode="after")
    def _eta_is_of_ddim(self) -> Self:
        if self.eta and self.sampler != "ddim":
            raise ValueError(f"eta must be 0 for sampler: {self.sampler}; it says how noisy ddim is, got {self.eta}")
        return self


class UpscaleParams(Section):
    """Bringing the samples to high resolution."""

    batch_size: Annotated[Count, Scale]
    shard_size: Annotated[Count, Scale]
    tile_size: Annotated[Count | None, Scale]
    tile_overlap: Annotated[Count, Scale]

    @model_validator(mode="after")
    def _tiles_advance(self) -> Self:
        if self.tile_size is not None and self.tile_overlap >= self.tile_size:
            raise ValueError(f"tile_overlap must be below tile_size: {self.tile_overlap} against {self.tile_size}")
        return self


class EvaluateParams(Section):
    """Set metrics and restoration metrics."""

    batch_size: Annotated[Count, Scale]
    backbones: Annotated[tuple[FeatureBackbone, ...], Scale]
    num_neighbours: Count
    lpips_backbone: Annotated[LPIPSBackbone | None, Scale]
    drop_copies: bool

    @model_validator(mode="after")
    def _encoder_is_there(self) -> Self:
        if "encoder" not in self.backbones or len(set(self.backbones)) != len(self.backbones):
            raise ValueError(
                "backbones must name encoder, of which the headline numbers are, and each name once: "
                f"{list(self.backbones)}"
            )
        return self


class StudyParams(Section):
    """The reader study's draw."""

    num_real: Annotated[Count, Scale]
    num_synthetic: Annotated[Count, Scale]
    num_warm_up: Annotated[int, Field(ge=0, multiple_of=2)]
    num_repeats: Annotated[int, Field(ge=0)]
    break_every: Count
    time_limit_s: Positive

    @model_validator(mode="after")
    def _repeats_are_apart(self) -> Self:
        if 2 * self.num_repeats > self.num_real + self.num_synthetic:
            raise ValueError(
                f"num_repeats must be at most half of num_real + num_synthetic, so that half a study lies between two "
                f"looks, got {self.num_repeats} of {self.num_real + self.num_synthetic}"
            )
        return self


class ReportParams(Section):
    """How much the report shows."""

    num_samples: Annotated[Count, Scale]
    num_pairs: Annotated[Count, Scale]
    real_images: bool


class Params(Section):
    """The base with one profile laid over it."""

    profile: Literal["smoke", "pilot", "paper"]
    seed: Annotated[int, Field(ge=0)]
    sources: Annotated[tuple[SourceName, ...], Field(min_length=1)]
    source: dict[SourceName, SourceParams]
    phantoms: PhantomsParams
    ingest: IngestParams
    harmonize: HarmonizeParams
    quality: QualityParams
    split: SplitParams
    encoder: EncoderParams
    analyse_sources: AnalyseSourcesParams
    diffusion: DiffusionParams
    superres: SuperresParams
    sample: SampleParams
    upscale: UpscaleParams
    evaluate: EvaluateParams
    study: StudyParams
    report: ReportParams

    @model_validator(mode="after")
    def _sections_fit(self) -> Self:
        if len(set(self.sources)) != len(self.sources):
            raise ValueError(f"sources must differ from each other: {list(self.sources)}")
        if missing := [name for name in self.sources if name not in self.source]:
            raise ValueError(f"each of sources needs a section source.<name>: none for {missing}")
        unit = self.diffusion.network.size_multiple
        if any(side % unit for side in self.harmonize.low_size):
            raise ValueError(
                f"harmonize.low_size must be a multiple of {unit} on both sides, because of diffusion.network's "
                f"{len(self.diffusion.network.widths)} widths and patch_size: {list(self.harmonize.low_size)}"
            )
        crop, scale = self.superres.crop_size, self.harmonize.scale
        if crop % math.lcm(scale, 8) or crop > min(self.harmonize.high_size):
            raise ValueError(
                f"superres.crop_size must be a multiple of {scale} (the scale) and of 8 (the discriminator) and fit "
                f"into harmonize.high_size {list(self.harmonize.high_size)}: {crop}"
            )
        window, low = self.superres.network.window_size, (*self.harmonize.low_size, crop // scale)
        if any(-side % window >= side for side in low):
            raise ValueError(
                f"superres.network.window_size must divide, or be less than twice, harmonize.low_size "
                f"{list(self.harmonize.low_size)} and superres.crop_size at low resolution ({crop // scale}): {window}"
            )
        steps, timesteps = self.sample.num_inference_steps, self.diffusion.schedule.num_train_timesteps
        if steps > timesteps or (self.sample.sampler in ("ddpm", "ddim") and timesteps % steps):
            raise ValueError(
                f"sample.num_inference_steps must be at most diffusion.schedule.num_train_timesteps ({timesteps}), and "
                f"divide it where the sampler is ddpm or ddim: {steps}"
            )
        return self
