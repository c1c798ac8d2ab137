import math

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from panodiff.diffusion.unet import UNet, sinusoidal_embedding

pytestmark = pytest.mark.usefixtures("one_thread")

PUBLISHED = {"in_chans": 3, "widths": (64, 128, 256, 512), "attention": (False, True, True), "patch_size": 1}
CONFIGURATIONS = [
    PUBLISHED,
    {"in_chans": 1, "widths": (16, 24, 32, 40), "attention": (False, True, True), "patch_size": 1},
    {"in_chans": 3, "widths": (16, 8, 24), "attention": (True, False), "patch_size": 2},
    {"in_chans": 1, "widths": (8, 16), "attention": (False,), "patch_size": 1},
]


def a_unet(*, seed: int = 0, **configuration) -> UNet:
    """A network whose last convolution is not zero, so that all its parts show in what it predicts."""
    torch.manual_seed(seed)
    unet = UNet(**configuration)
    torch.nn.init.normal_(unet.conv_out.weight, std=0.2)
    for name, parameter in unet.named_parameters():
        if ".norm" in name:
            torch.nn.init.normal_(parameter, mean=0.5, std=0.3)
    return unet


def some_images(*, batch: int, in_chans: int = 1, size: tuple[int, int] = (8, 16), dtype=torch.float32):
    generator = torch.Generator().manual_seed(batch)
    x_t = torch.randn(batch, in_chans, *size, generator=generator).to(dtype)
    return x_t, torch.randint(0, 1000, (batch,), generator=generator)


class PlainUNet:
    """The network once more, from its published names alone: no modules, loops over heads, no fused operation."""

    def __init__(self, weights: dict[str, Tensor], *, attention: tuple[bool, ...], patch_size: int):
        self.weights, self.attention, self.patch_size = weights, attention, patch_size

    def conv(self, name, x, *, padding=0):
        return F.conv2d(x, self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias"), padding=padding)

    def linear(self, name, x):
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def group_norm(self, name, x):
        groups = rearrange(x, "b (g c) h w -> b g (c h w)", g=8)
        scale = (groups.var(dim=-1, keepdim=True, correction=0) + 1e-5).sqrt()
        groups = (groups - groups.mean(dim=-1, keepdim=True)) / scale
        groups = rearrange(groups, "b g (c h w) -> b (g c) h w", h=x.shape[2], w=x.shape[3])
        gain, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return groups * gain[:, None, None] + bias[:, None, None]

    def residual_block(self, name, x, time):
        silu = F.silu
        shortcut = self.conv(f"{name}.residual_conv", x) if self.has(f"{name}.residual_conv") else x
        x = silu(self.group_norm(f"{name}.norm1", self.conv(f"{name}.conv1", x, padding=1)))
        x = x + self.linear(f"{name}.time_emb_proj.1", silu(silu(time)))[:, :, None, None]
        x = silu(self.group_norm(f"{name}.norm2", self.conv(f"{name}.conv2", x, padding=1)))
        return x + shortcut

    def attend(self, name, x):
        root_mean_square = x.square().mean(dim=1, keepdim=True).sqrt()
        qkv = self.conv(f"{name}.to_qkv", x / root_mean_square * self.weights[f"{name}.norm.g"])
        q, k, v = qkv.flatten(2).split(128, dim=1)
        heads = []
        for head in range(4):
            q_h, k_h, v_h = (part[:, head * 32 : (head + 1) * 32] for part in (q, k, v))
            scores = q_h.transpose(1, 2) @ k_h / math.sqrt(32)
            heads.append(v_h @ scores.softmax(dim=-1).transpose(1, 2))
        return self.conv(f"{name}.to_out", torch.cat(heads, dim=1).reshape(len(x), 128, *x.shape[2:])) + x

    def has(self, name):
        return f"{name}.weight" in self.weights

    def embed(self, t):
        half = self.weights["init_conv.weight"].shape[0] // 2
        # float32 and in this order, as published: the only rounding that float64 weights do not remove.
        angles = t[:, None].float() * torch.exp(-math.log(10000) * torch.arange(half).float() / (half - 1))
        time = torch.cat([angles.sin(), angles.cos()], dim=1).double()
        return self.linear("time_embedding.2", F.silu(self.linear("time_embedding.0", time)))

    def __call__(self, x, t):
        time, patch, levels = self.embed(t), self.patch_size, len(self.attention)
        x = rearrange(x, "b c (h p) (w q) -> b (c p q) h w", p=patch, q=patch)
        x = stem = self.conv("init_conv", x, padding=1)
        skips = []
        for level in range(levels):
            name = f"down_blocks.{level}"
            for block in range(2):
                x = self.residual_block(f"{name}.{block}", x, time)
                if block == 1 and self.attention[level]:
                    x = self.attend(f"{name}.2", x)
                skips.append(x)
            if level == levels - 1:
                x = self.conv(f"{name}.3", x, padding=1)
            else:
                x = self.conv(f"{name}.3.1", rearrange(x, "b c (h p) (w q) -> b (c p q) h w", p=2, q=2))
        x = self.attend("mid_attn", self.residual_block("mid_block1", x, time))
        x = self.residual_block("mid_block2", x, time)
        for step, level in enumerate(reversed(range(levels))):
            name = f"up_blocks.{step}"
            for block in range(2):
                x = self.residual_block(f"{name}.{block}", torch.cat([x, skips.pop()], dim=1), time)
            if self.attention[level]:
                x = self.attend(f"{name}.2", x)
            if level == 0:
                x = self.conv(f"{name}.3", x, padding=1)
            else:
                x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
                x = self.conv(f"{name}.3.1", x, padding=1)
        x = self.conv("conv_out", self.residual_block("out_block", torch.cat([x, stem], dim=1), time))
        return rearrange(x, "b (c p q) h w -> b c (h p) (w q)", p=patch, q=patch)


def test_the_published_configuration_has_the_published_tensors_and_parameters():
    with torch.device("meta"):
        state = UNet(**PUBLISHED).state_dict()
        assert state.keys() == UNet(in_chans=3).state_dict().keys()
    assert len(state) == 204
    assert sum(tensor.numel() for tensor in state.values()) == 33_995_395
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    assert shapes["time_embedding.0.weight"] == (256, 64)
    assert shapes["init_conv.weight"] == (64, 3, 3, 3)
    assert shapes["down_blocks.0.3.1.weight"] == (128, 256, 1, 1)
    assert shapes["down_blocks.1.2.norm.g"] == (1, 128, 1, 1)
    assert shapes["down_blocks.2.3.weight"] == (512, 256, 3, 3)
    assert shapes["mid_attn.to_qkv.weight"] == (384, 512, 1, 1)
    assert shapes["up_blocks.0.0.residual_conv.weight"] == (512, 768, 1, 1)
    assert shapes["up_blocks.1.3.1.weight"] == (128, 256, 3, 3)
    assert shapes["up_blocks.2.3.weight"] == (64, 128, 3, 3)
    assert shapes["out_block.time_emb_proj.1.weight"] == (64, 256)
    assert shapes["conv_out.weight"] == (3, 64, 1, 1)
    assert not any(name.startswith(("down_blocks.0.2.", "up_blocks.2.2.")) for name in shapes)


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_prediction_and_gradients_equal_a_plain_construction(configuration):
    unet = a_unet(**configuration).double()
    weights = {name: p.detach().clone().requires_grad_() for name, p in unet.named_parameters()}
    plain = PlainUNet(weights, attention=configuration["attention"], patch_size=configuration["patch_size"])
    x_t, t = some_images(batch=2, in_chans=configuration["in_chans"], dtype=torch.float64)
    x_plain = x_t.clone().requires_grad_()
    x_t.requires_grad_()
    target = torch.randn(x_t.shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    noise_pred, expected = unet(x_t, t), plain(x_plain, t)
    torch.testing.assert_close(noise_pred, expected, rtol=0, atol=1e-10)
    F.mse_loss(noise_pred, target).backward()
    F.mse_loss(expected, target).backward()
    torch.testing.assert_close(x_t.grad, x_plain.grad, rtol=0, atol=1e-10)
    for name, parameter in unet.named_parameters():
        torch.testing.assert_close(parameter.grad, weights[name].grad, rtol=0, atol=1e-10)
        assert parameter.grad.any(), f"{name} gets no gradient"


def test_the_time_embedding_is_sines_then_cosines_of_geometric_frequencies():
    t = torch.tensor([0, 1, 500, 999])
    embedding = sinusoidal_embedding(t, 64)
    assert embedding.dtype == torch.float32
    assert torch.equal(embedding[0], torch.cat([torch.zeros(32), torch.ones(32)]))
    frequencies = torch.logspace(0, -4, 32, dtype=torch.float64)
    angles = t[:, None] * frequencies
    expected = torch.cat([angles.sin(), angles.cos()], dim=1)
    torch.testing.assert_close(embedding.double(), expected, rtol=0, atol=1e-4)


def test_an_untrained_network_predicts_zero():
    x_t, t = some_images(batch=2)
    assert not UNet(widths=(8, 16, 16), attention=(False, True))(x_t, t).any()


def test_an_image_gets_the_same_prediction_alone_as_in_a_batch():
    unet = a_unet(widths=(16, 24, 32), attention=(False, True), patch_size=2).double()
    x_t, t = some_images(batch=5, dtype=torch.float64)
    together = unet(x_t, t)
    alone = torch.cat([unet(x_t[i : i + 1], t[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)


def test_the_timestep_changes_the_prediction():
    unet = a_unet(widths=(16, 24), attention=(True,))
    x_t, _ = some_images(batch=1)
    early, late = (unet(x_t, torch.tensor([t])) for t in (10, 900))
    assert (early - late).abs().max() > 1e-2


@pytest.mark.parametrize(
    ("configuration", "size"),
    [
        ({"widths": (8, 8, 8, 8), "attention": (False, False, True)}, (6, 16)),
        ({"widths": (8, 8, 8), "attention": (False, True), "patch_size": 3}, (12, 15)),
        ({"widths": (8, 8), "attention": (False,), "patch_size": 2}, (7, 8)),
    ],
)
def test_an_image_size_it_cannot_divide_is_refused_with_the_sizes_it_can(configuration, size):
    unet = UNet(**configuration)
    halvings = len(configuration["widths"]) - 2
    multiple = configuration.get("patch_size", 1) * 2**halvings
    with pytest.raises(ValueError, match=rf"multiples of {multiple} .*got {size[0]}×{size[1]}"):
        unet(torch.zeros(1, 1, *size), torch.tensor([3]))
    assert unet(torch.zeros(1, 1, multiple, 2 * multiple), torch.tensor([3])).shape[-2:] == (
        multiple,
        2 * multiple,
    )


@pytest.mark.parametrize("widths", [(64,), (12, 16), (16, 20, 32), (0, 8)])
def test_widths_that_the_groups_do_not_divide_are_refused(widths):
    with pytest.raises(ValueError, match="multiples of 8"):
        UNet(widths=widths, attention=(False,) * (len(widths) - 1))


def test_one_attention_flag_a_grid_is_asked_for():
    with pytest.raises(ValueError, match="each of the 4 grids"):
        UNet(widths=(8, 8, 8, 8, 8), attention=(False, True, True))


def test_the_small_patch_network_keeps_the_shape_and_works_down_to_two_by_four():
    unet = a_unet(widths=(16, 24, 32, 32, 32), attention=(False, True, True, True), patch_size=2)
    grids = []
    unet.mid_attn.register_forward_hook(lambda _module, _inputs, output: grids.append(tuple(output.shape)))
    x_t, t = some_images(batch=2, size=(32, 64))
    assert unet(x_t, t).shape == (2, 1, 32, 64)
    assert grids == [(2, 32, 2, 4)]


def test_channels_last_and_compiled_predictions_are_the_same():
    unet = a_unet(widths=(16, 24, 32), attention=(False, True), patch_size=2)
    x_t, t = some_images(batch=2)
    expected = unet(x_t, t)
    compiled = torch.compile(unet, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x_t, t), expected, rtol=0, atol=1e-5)
    unet.to(memory_format=torch.channels_last)
    noise_pred = unet(x_t.to(memory_format=torch.channels_last), t)
    torch.testing.assert_close(noise_pred, expected, rtol=0, atol=1e-4)


def test_bfloat16_autocast_stays_near_float32_and_trains_every_parameter():
    unet = a_unet(widths=(16, 24, 32), attention=(False, True), patch_size=2)
    x_t, t = some_images(batch=2)
    expected = unet(x_t, t)
    with torch.autocast("cpu", torch.bfloat16):
        noise_pred = unet(x_t, t)
        loss = F.l1_loss(noise_pred.float(), x_t)
    loss.backward()
    assert (noise_pred - expected).abs().mean() < 0.03 * expected.abs().mean()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in unet.parameters())


def test_it_learns_the_noise_of_one_image():
    torch.manual_seed(0)
    unet = UNet(widths=(16, 32, 32), attention=(False, True), patch_size=2)
    generator = torch.Generator().manual_seed(1)
    x_0 = torch.linspace(-1, 1, 16).expand(1, 1, 16, 16)
    noise = torch.randn(4, 1, 16, 16, generator=generator)
    t = torch.tensor([100, 300, 500, 700])
    alpha_bar = torch.cos(t / 1000 * math.pi / 2)[:, None, None, None] ** 2
    x_t = alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * noise
    optimizer = torch.optim.AdamW(unet.parameters(), lr=3e-3)
    losses = []
    for _ in range(120):
        loss = F.l1_loss(unet(x_t, t), noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
