"""Drawing images: an independent loop, and independence of everything but the image's own seed."""

from functools import partial

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from small import small_params
from torch import Tensor, nn

from panodiff.diffusion.denoising import build_unet
from panodiff.diffusion.sampler import draw_images, image_generators
from panodiff.diffusion.schedule import cosine_betas, make_scheduler
from panodiff.diffusion.unet import UNet
from panodiff.params import Clamping, SamplerName, ScheduleParams
from panodiff.randomness import seeded_init

OTHERS: tuple[SamplerName, ...] = ("ddpm", "dpm_solver++", "unipc")
SCHEDULE = ScheduleParams(kind="cosine", num_train_timesteps=1000, beta_max=0.999, zero_terminal_snr=False)
PUBLISHED = SCHEDULE.model_copy(update={"beta_max": 0.02})
TO_ZERO = SCHEDULE.model_copy(update={"zero_terminal_snr": True})


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> UNet:
    """A network whose predictions depend on the image: its last convolution does not start at zero here."""
    params = small_params(tmp_path_factory.mktemp("params"))
    with seeded_init(0, "test sampler"):
        unet = build_unet(params.diffusion.network)
        nn.init.normal_(unet.conv_out.weight, std=0.1)
    return unet.eval()


def draw(
    network: nn.Module,
    indices: list[int],
    *,
    steps: int = 8,
    eta: float = 0.0,
    sampler: SamplerName = "ddim",
    clamping: Clamping = "static",
) -> Tensor:
    scheduler = make_scheduler(SCHEDULE, "v_prediction", sampler, clamping)
    generators = image_generators(3, "test", indices)
    return draw_images(network, scheduler, generators, (16, 32), num_inference_steps=steps, eta=eta)


@pytest.mark.parametrize("clamping", ["static", "dynamic"])
@pytest.mark.parametrize(("sampler", "eta"), [("ddim", 0.0), ("ddim", 0.7), *((name, 0.0) for name in OTHERS)])
def test_an_image_is_the_same_alone_in_a_batch_and_in_another_order(
    network: UNet, sampler: SamplerName, eta: float, clamping: Clamping
):
    """But for sums of floats in another order: far below a grey value, 2 / 255."""
    own = partial(draw, network, eta=eta, sampler=sampler, clamping=clamping)
    together = own(list(range(7)))
    backwards = own(list(range(6, -1, -1))).flip(0)
    alone = torch.cat([own([index]) for index in range(7)])
    torch.testing.assert_close(alone, together, atol=1e-4, rtol=0)
    torch.testing.assert_close(backwards, together, atol=1e-4, rtol=0)
    assert (together[0] - together[1]).abs().max() > 0.1


def test_the_noise_of_an_image_is_bit_for_bit_its_own(network: UNet):
    seen: dict[str, list[Tensor]] = {"alone": [], "together": []}
    scheduler = make_scheduler(SCHEDULE, "v_prediction")
    for name, indices in (("alone", [4]), ("together", [1, 4, 2])):
        draw_images(
            network,
            scheduler,
            image_generators(3, "test", indices),
            (16, 32),
            num_inference_steps=2,
            eta=0,
            watch=lambda t, x_t, name=name: seen[name].append(x_t.clone()),  # type: ignore[misc]
        )
    assert torch.equal(seen["alone"][0][0], seen["together"][0][1])
    assert len(seen["alone"]) == 3


def test_without_eta_an_image_is_bit_for_bit_repeatable_and_with_it_too(network: UNet):
    for eta in (0.0, 1.0):
        assert torch.equal(draw(network, [0, 1], eta=eta), draw(network, [0, 1], eta=eta))
    assert not torch.equal(draw(network, [0], eta=0.0), draw(network, [0], eta=1.0))


def plain_ddim(
    network: nn.Module,
    *,
    steps: int,
    eta: float,
    prediction: str,
    beta_range: tuple[float, float] = (0.0, 0.999),
    channels: int = 1,
) -> np.ndarray:
    """Image 5 by equation 12 of DDIM, x_0 cut to [-1, 1] and ε taken from it, in float64: 16×32 pixels."""
    grid = np.cos((np.arange(1001) / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2
    alpha_bar = np.cumprod(1 - (1 - grid[1:] / grid[:-1]).clip(*beta_range))
    (generator,) = image_generators(3, "test", [5])
    x = torch.randn(channels, 16, 32, generator=generator).double().numpy()
    for t in range(999, -1, -1000 // steps):
        before = t - 1000 // steps
        a, a_before = alpha_bar[t], alpha_bar[before] if before >= 0 else 1.0
        with torch.no_grad():
            output = network(torch.from_numpy(x)[None], torch.tensor([t]))[0].numpy()
        x_0 = np.sqrt(a) * x - np.sqrt(1 - a) * output
        if prediction == "epsilon":
            x_0 = (x - np.sqrt(1 - a) * output) / np.sqrt(a)
        x_0 = np.clip(x_0, -1, 1)
        noise_pred = (x - np.sqrt(a) * x_0) / np.sqrt(1 - a)
        sigma = eta * np.sqrt((1 - a_before) / (1 - a) * (1 - a / a_before))
        x = np.sqrt(a_before) * x_0 + np.sqrt(1 - a_before - sigma**2) * noise_pred
        if eta:
            x = x + sigma * torch.randn(channels, 16, 32, generator=generator).double().numpy()
    return x.clip(-1, 1)


@pytest.mark.parametrize("prediction", ["v_prediction", "epsilon"])
@pytest.mark.parametrize(("steps", "eta"), [(10, 0.0), (20, 1.0), (4, 0.5)])
def test_the_loop_is_ddim_as_written_down_independently(network: UNet, steps: int, eta: float, prediction: str):
    twin = build_unet_like(network).double()
    scheduler = make_scheduler(SCHEDULE, prediction)
    found = draw_images(
        network, scheduler, image_generators(3, "test", [5]), (16, 32), num_inference_steps=steps, eta=eta
    )
    expected = plain_ddim(twin, steps=steps, eta=eta, prediction=prediction)
    np.testing.assert_allclose(found[0].double(), expected, atol=2e-3)


@pytest.fixture(scope="module")
def published() -> UNet:
    """The published configuration at a quarter of its widths, float64."""
    with seeded_init(0, "test sampler"):
        unet = UNet(in_chans=3, widths=(16, 32, 64, 128), attention=(False, True, True))
        nn.init.normal_(unet.conv_out.weight, std=0.1)
    return unet.double().eval()


def draw_published(network: UNet, indices: list[int]) -> Tensor:
    """By the published sampler: DDIM, 250 steps, η = 1."""
    scheduler, generators = make_scheduler(PUBLISHED, "epsilon"), image_generators(3, "test", indices)
    return draw_images(network, scheduler, generators, (16, 32), num_inference_steps=250, eta=1.0, in_chans=3)


def test_the_published_sampler_is_that_of_diffusers_to_the_last_bit(published: UNet):
    betas = cosine_betas(1000, 0.02)
    scheduler = DDIMScheduler(trained_betas=betas.tolist(), timestep_spacing="trailing", prediction_type="epsilon")
    scheduler.alphas_cumprod = torch.cumprod(1 - betas, dim=0)  # of itself it keeps them in float32
    scheduler.set_timesteps(250)
    (generator,) = image_generators(3, "test", [5])
    x = torch.randn(3, 16, 32, generator=generator).double()[None]
    for t in scheduler.timesteps:
        with torch.inference_mode():
            noise_pred = published(x, t[None])
        noise = torch.randn(3, 16, 32, generator=generator).double()[None]
        step = scheduler.step(noise_pred, t, x, eta=1.0, use_clipped_model_output=True, variance_noise=noise)
        x = step.prev_sample
    found = draw_published(published, [5])
    assert found.dtype == torch.float64
    assert torch.equal(found, x.clamp(-1, 1).mean(dim=1, keepdim=True))


def test_the_published_sampler_is_ddim_as_written_down_independently(published: UNet):
    expected = plain_ddim(published, steps=250, eta=1.0, prediction="epsilon", beta_range=(1e-4, 0.02), channels=3)
    found = draw_published(published, [5])[0]
    np.testing.assert_allclose(found, expected.mean(axis=0, keepdims=True), atol=1e-9, rtol=0)
    assert found.std() > 0.1


def test_in_float64_the_published_sampler_draws_the_same_image_in_any_batch(published: UNet):
    together, alone = draw_published(published, list(range(7))), draw_published(published, [4])
    torch.testing.assert_close(alone[0], together[4], atol=1e-9, rtol=0)


def build_unet_like(network: UNet) -> UNet:
    twin = UNet(widths=(16, 16, 16), attention=(False, True), patch_size=2)
    twin.load_state_dict(network.state_dict())
    return twin.eval()


class Oracle(nn.Module):
    """Knows the image: predicts the velocity that leads to it from any x_t."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.image = nn.Parameter(image)
        self.signal = torch.cumprod(1 - cosine_betas(1000, 0.999), 0).sqrt()

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        signal = self.signal[t].reshape(-1, 1, 1, 1)
        spread = (1 - signal**2).sqrt()
        return ((signal * x_t - self.image) / spread).float()


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 5, 10, 50, 125, 1000])
def test_a_perfect_network_draws_its_image_whatever_the_steps_and_eta(steps: int, eta: float):
    """With eta 1 and five steps float32 leaves a variance below zero, and the image was NaN."""
    image = torch.linspace(-0.9, 0.9, 16 * 32).reshape(1, 1, 16, 32)
    found = draw(Oracle(image), [0], steps=steps, eta=eta)
    torch.testing.assert_close(found, image, atol=1e-3, rtol=0)


@pytest.mark.parametrize("steps", [3, 30, 600, 999])
def test_steps_that_do_not_divide_the_timesteps_are_refused(network: UNet, steps: int):
    with pytest.raises(ValueError, match=rf"num_inference_steps must divide num_train_timesteps \(1000\), got {steps}"):
        draw(network, [0], steps=steps)


def test_what_the_watcher_sees_begins_with_noise_and_ends_with_the_image(network: UNet):
    seen: list[tuple[int, Tensor]] = []
    scheduler = make_scheduler(SCHEDULE, "v_prediction")
    result = draw_images(
        network,
        scheduler,
        image_generators(3, "test", [0]),
        (16, 32),
        num_inference_steps=4,
        eta=0,
        watch=lambda t, x_t: seen.append((t, x_t.clone())),
    )
    assert [t for t, _ in seen] == [999, 749, 499, 249, -1]
    assert torch.equal(seen[-1][1], result)
    assert result.abs().max() <= 1


@pytest.mark.parametrize("sampler", OTHERS)
@pytest.mark.parametrize("clamping", ["static", "dynamic"])
def test_a_perfect_network_draws_its_image_with_every_sampler(sampler: SamplerName, clamping: Clamping):
    image = torch.linspace(-0.9, 0.9, 16 * 32).reshape(1, 1, 16, 32)
    for steps in (5, 20, 50):
        found = draw(Oracle(image), [0], steps=steps, sampler=sampler, clamping=clamping)
        torch.testing.assert_close(found, image, atol=2e-3, rtol=0)


@pytest.mark.parametrize("steps", [5, 10, 20, 25, 50, 125])
@pytest.mark.parametrize(("sampler", "eta"), [("ddim", 0.0), ("ddim", 1.0), *((name, 0.0) for name in OTHERS)])
def test_drawing_begins_where_no_signal_is_left(sampler: SamplerName, eta: float, steps: int):
    """With 25 steps and eta 1 rounding left a variance below zero, and the image was NaN."""
    image = torch.linspace(-0.9, 0.9, 16 * 32).reshape(1, 1, 16, 32)
    scheduler = make_scheduler(TO_ZERO, "v_prediction", sampler)
    oracle = Oracle(image)
    oracle.signal = scheduler.alphas_cumprod.sqrt()
    generators = image_generators(3, "test", [0])
    found = draw_images(oracle, scheduler, generators, (16, 32), num_inference_steps=steps, eta=eta)
    torch.testing.assert_close(found, image, atol=2e-3, rtol=0)


class Gaussian(nn.Module):
    """Knows that all pixels of all images are drawn from N(0, spread²): predicts the mean velocity."""

    def __init__(self, spread: float) -> None:
        super().__init__()
        self.spread = nn.Parameter(torch.tensor(spread, dtype=torch.float64))
        self.signal = torch.cumprod(1 - cosine_betas(1000, 0.999), 0)

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        a = self.signal[t].reshape(-1, 1, 1, 1)
        x_0 = a.sqrt() * self.spread**2 / (a * self.spread**2 + 1 - a) * x_t
        return ((a.sqrt() * x_t - x_0) / (1 - a).sqrt()).float()


@pytest.mark.parametrize("steps", [20, 50])
def test_samplers_of_second_order_come_nearer_to_the_exact_solution(steps: int):
    """Without noise x_t / √(ᾱ σ² + 1 - ᾱ) stays the same on the way: the image is σ times the first noise."""
    (generator,) = image_generators(3, "test", [0])
    exact = 0.3 * torch.randn(1, 1, 16, 32, generator=generator)
    error = {
        name: (draw(Gaussian(0.3), [0], steps=steps, sampler=name) - exact).abs().mean().item()
        for name in ("ddim", "dpm_solver++", "unipc")
    }
    assert error["dpm_solver++"] < 0.5 * error["ddim"]
    assert error["unipc"] < 0.5 * error["ddim"]


def test_ddim_of_eta_1_through_all_timesteps_is_ddpm(network: UNet):
    ancestral, ddim = draw(network, [2], steps=1000, sampler="ddpm"), draw(network, [2], steps=1000, eta=1.0)
    torch.testing.assert_close(ancestral, ddim, atol=2e-3, rtol=0)
    assert (ancestral - draw(network, [2], steps=1000)).abs().max() > 0.1


def test_dynamic_clamping_keeps_a_bright_image_apart_from_a_cut_one():
    """An estimate that reaches to 2 is scaled to [-1, 1], where static clamping cuts half of it off."""
    image = torch.linspace(-2, 2, 16 * 32).reshape(1, 1, 16, 32)
    cut, scaled = (draw(Oracle(image), [0], steps=50, clamping=clamping) for clamping in ("static", "dynamic"))
    assert (cut.abs() == 1).float().mean() > 0.4
    assert (scaled.abs() == 1).float().mean() < 0.1


@pytest.mark.parametrize("sampler", OTHERS)
def test_eta_is_refused_where_it_means_nothing(network: UNet, sampler: SamplerName):
    with pytest.raises(ValueError, match=r"eta must be 0 for samplers other than ddim, got 0\.5"):
        draw(network, [0], eta=0.5, sampler=sampler)


def test_of_three_channels_the_mean_is_the_image():
    shades = torch.linspace(-0.9, 0.9, 3 * 16 * 32).reshape(1, 3, 16, 32)
    scheduler = make_scheduler(SCHEDULE, "v_prediction")
    generators = image_generators(3, "test", [0])
    found = draw_images(Oracle(shades), scheduler, generators, (16, 32), num_inference_steps=20, in_chans=3)
    torch.testing.assert_close(found, shades.mean(dim=1, keepdim=True), atol=1e-3, rtol=0)
