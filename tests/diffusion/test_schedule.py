"""The noise schedule against its papers, diffusers and the published defect."""

import math

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr
from hypothesis import given
from hypothesis import strategies as st

from panodiff.diffusion.schedule import (
    cosine_betas,
    inference_steps,
    linear_betas,
    make_scheduler,
    zero_terminal_snr,
)
from panodiff.params import SamplerName, ScheduleParams


def alphas_cumprod(betas: torch.Tensor) -> torch.Tensor:
    return torch.cumprod(1 - betas, dim=0)


def cosine(**changes: float) -> ScheduleParams:
    return ScheduleParams.model_validate(
        {"kind": "cosine", "num_train_timesteps": 1000, "beta_max": 0.999, "zero_terminal_snr": False} | changes
    )


@pytest.mark.parametrize("steps", [2, 50, 1000])
def test_the_cosine_schedule_is_equation_17_of_its_paper(steps: int):
    def f(t: float) -> float:
        return math.cos((t / steps + 0.008) / 1.008 * math.pi / 2) ** 2

    betas = cosine_betas(steps, 0.999)
    expected = [min(1 - f(t) / f(t - 1), 0.999) for t in range(1, steps + 1)]
    np.testing.assert_allclose(betas, expected, rtol=1e-12, atol=0)
    closed = [f(t) / f(0) for t in range(1, steps)]  # ᾱ_t, up to the last step, whose β is capped
    np.testing.assert_allclose(alphas_cumprod(betas)[:-1], closed, rtol=1e-9)


def test_the_cosine_schedule_is_that_of_diffusers():
    peer = DDPMScheduler(1000, beta_schedule="squaredcos_cap_v2").betas
    np.testing.assert_allclose(cosine_betas(1000, 0.999), peer, rtol=1e-4, atol=1e-8)
    assert alphas_cumprod(cosine_betas(1000, 0.999))[-1].item() == pytest.approx(2.4e-9, rel=0.02)


def test_the_published_clipping_changes_98_betas_and_leaves_a_signal_at_the_last_step():
    whole, clipped = cosine_betas(1000, 0.999), cosine_betas(1000, 0.02)
    assert int((whole > 0.02).sum()) == 98
    assert int((clipped == 0.02).sum()) == 98
    assert clipped.min() == 1e-4
    assert alphas_cumprod(clipped)[-1].item() == pytest.approx(3.2e-3, rel=0.02)


def test_the_linear_schedule_is_that_of_ddpm_and_scales_with_the_timesteps():
    np.testing.assert_allclose(linear_betas(1000), np.linspace(1e-4, 0.02, 1000), rtol=1e-12)
    end = alphas_cumprod(linear_betas(1000))[-1].log().item()
    assert alphas_cumprod(linear_betas(500))[-1].log().item() == pytest.approx(end, rel=0.02)


@given(st.integers(2, 3000), st.floats(1e-3, 0.9999), st.sampled_from(["cosine", "linear"]))
def test_the_signal_falls_at_every_timestep(steps: int, beta_max: float, kind: str):
    scheduler = make_scheduler(cosine(num_train_timesteps=steps, beta_max=beta_max, kind=kind), "v_prediction")  # type: ignore[arg-type]
    signal = scheduler.alphas_cumprod
    assert len(signal) == steps
    assert signal.dtype == torch.float64
    assert (signal.diff() < 0).all()
    assert 0 < signal[-1] < signal[0] < 1


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_the_image_comes_back_from_its_noisy_version_and_what_was_predicted(prediction: str):
    scheduler = make_scheduler(cosine(), prediction)
    generator = torch.Generator().manual_seed(1)
    x_0 = torch.rand(8, 1, 4, 4, generator=generator, dtype=torch.float64) * 2 - 1
    noise = torch.randn(8, 1, 4, 4, generator=generator, dtype=torch.float64)
    t = torch.tensor([0, 1, 10, 100, 500, 800, 900, 990])
    x_t = scheduler.add_noise(x_0, noise, t)
    signal = scheduler.alphas_cumprod[t].sqrt().reshape(-1, 1, 1, 1)
    spread = (1 - signal**2).sqrt()
    torch.testing.assert_close(x_t, signal * x_0 + spread * noise)
    target = scheduler.get_velocity(x_0, noise, t) if prediction == "v_prediction" else noise
    found = torch.cat(
        [
            scheduler.step(target[i : i + 1], int(t[i]), x_t[i : i + 1]).pred_original_sample
            for i in range(8)
            if scheduler.set_timesteps(1000) is None
        ]
    )
    torch.testing.assert_close(found, x_0, atol=1e-9, rtol=0)


def test_half_of_the_noise_is_that_of_the_step_whatever_the_precision_of_the_image():
    scheduler = make_scheduler(cosine(), "v_prediction")
    x_0, noise = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    for dtype in (torch.float32, torch.bfloat16):
        x_t = scheduler.add_noise(x_0.to(dtype), noise.to(dtype), torch.tensor([500]))
        assert x_t.dtype == dtype
        assert x_t[0, 0, 0, 0].item() == pytest.approx((1 - scheduler.alphas_cumprod[500]).sqrt().item(), rel=1e-2)


@given(st.integers(1, 5000), st.integers(1, 50))
def test_as_many_preview_steps_as_divide_the_timesteps(timesteps: int, most: int):
    steps = inference_steps(timesteps, most)
    assert steps <= most
    assert timesteps % steps == 0
    assert not [more for more in range(steps + 1, most + 1) if timesteps % more == 0]
    assert inference_steps(1000, 20) == 20


@pytest.mark.parametrize("betas", [linear_betas(1000), cosine_betas(1000, 0.02), cosine_betas(50, 0.999)])
def test_zero_terminal_snr_is_that_of_diffusers_and_leaves_no_signal(betas: torch.Tensor):
    rescaled = zero_terminal_snr(betas)
    torch.testing.assert_close(rescaled, rescale_zero_terminal_snr(betas))
    signal = alphas_cumprod(rescaled)
    assert signal[-1] == 0
    assert (signal.diff() < 0).all()
    assert signal[0].item() == pytest.approx(alphas_cumprod(betas)[0].item())


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm_solver++", "unipc"])
def test_every_sampler_starts_at_the_last_timestep_and_along_these_betas(sampler: SamplerName):
    scheduler = make_scheduler(cosine(zero_terminal_snr=True), "v_prediction", sampler)
    scheduler.set_timesteps(20)
    assert scheduler.timesteps[0] == 999
    assert len(scheduler.timesteps) == 20
    expected = alphas_cumprod(zero_terminal_snr(cosine_betas(1000, 0.999)))
    torch.testing.assert_close(scheduler.alphas_cumprod, expected, atol=1e-7, rtol=0)
