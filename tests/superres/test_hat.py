import pytest
import spandrel.architectures.HAT
import torch
import torch.nn.functional as F

from panodiff.superres.hat import HAT

PeerHAT = spandrel.architectures.HAT.HAT

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:torch.meshgrid"),  # in the peer
]

SMALL = {
    "embed_dim": 24,
    "depths": (2, 3),
    "num_heads": (2, 3),
    "overlap_ratio": 0.5,
    "mlp_ratio": 1.5,
    "compress_ratio": 4,
    "squeeze_factor": 6,
    "conv_scale": 0.3,
    "num_feat": 12,
}
TINY = SMALL | {"depths": (2,), "num_heads": (2,), "window_size": 4, "upscale": 2}


def a_hat(**configuration) -> HAT:
    torch.manual_seed(0)
    hat = HAT(**configuration)
    for parameter in hat.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return hat


def some_images(batch: int, in_chans: int, height: int, width: int, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(batch, in_chans, height, width, generator=generator).to(dtype)


def test_the_published_size_has_the_published_tensors_and_parameters():
    published = {"in_chans": 3, "embed_dim": 180, "depths": (6,) * 6, "num_heads": (6,) * 6, "window_size": 16}
    peer = PeerHAT(img_size=64, **published, mlp_ratio=2, upscale=4).state_dict()
    hat = HAT(in_chans=3)
    hat.load_state_dict(peer, strict=True)
    assert list(hat.state_dict()) == list(peer)
    assert len(hat.state_dict()) == 864
    assert len(list(hat.parameters())) == 862
    assert sum(parameter.numel() for parameter in hat.parameters()) == 20_772_507
    assert [name for name, _ in hat.named_buffers() if name in peer] == [
        "relative_position_index_SA",
        "relative_position_index_OCA",
    ]


@pytest.mark.parametrize(
    ("upscale", "window_size", "overlap_ratio", "in_chans", "size"),
    [
        (2, 4, 0.5, 1, (13, 21)),
        (3, 8, 0.5, 3, (13, 21)),
        (4, 4, 0.5, 3, (11, 6)),
        (4, 8, 0.25, 1, (8, 17)),
    ],
)
def test_output_and_gradients_equal_the_peer(upscale, window_size, overlap_ratio, in_chans, size):
    sizes = {"upscale": upscale, "window_size": window_size, "overlap_ratio": overlap_ratio, "in_chans": in_chans}
    hat = a_hat(**SMALL | sizes).double()
    peer = PeerHAT(img_size=64, drop_path_rate=0, **SMALL | sizes).double()
    for name in ("relative_position_index_SA", "relative_position_index_OCA"):
        assert torch.equal(getattr(hat, name), getattr(peer, name))
    peer.load_state_dict(hat.state_dict(), strict=True)
    x = some_images(2, in_chans, *size, dtype=torch.float64)
    x_peer = x.clone().requires_grad_()
    x.requires_grad_()
    y, y_peer = hat(x), peer(x_peer)
    assert y.shape == (2, in_chans, upscale * size[0], upscale * size[1])
    torch.testing.assert_close(y, y_peer, rtol=0, atol=1e-10)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    (y * weights).mean().backward()
    (y_peer * weights).mean().backward()
    torch.testing.assert_close(x.grad, x_peer.grad, rtol=0, atol=1e-10)
    peer_parameters = dict(peer.named_parameters())
    for name, parameter in hat.named_parameters():
        torch.testing.assert_close(parameter.grad, peer_parameters[name].grad, rtol=0, atol=1e-10)
        assert parameter.grad.any(), f"{name} gets no gradient"


def test_an_image_is_enlarged_the_same_alone_as_in_a_batch():
    hat = a_hat(**TINY).double()
    x = some_images(3, 1, 9, 14, dtype=torch.float64)
    alone = torch.cat([hat(image[None]) for image in x])
    torch.testing.assert_close(hat(x), alone, rtol=0, atol=1e-12)


def test_the_compiled_network_gives_the_same():
    hat = a_hat(**TINY)
    x = some_images(1, 1, 8, 13)
    compiled = torch.compile(hat, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), hat(x), rtol=0, atol=1e-6)


def test_bfloat16_autocast_stays_near_float32_and_trains_every_parameter():
    hat = a_hat(**TINY)
    x = some_images(2, 1, 8, 12)
    expected = hat(x)
    with torch.autocast("cpu", torch.bfloat16):
        y = hat(x)
    F.l1_loss(y.float(), torch.zeros_like(expected)).backward()
    assert (y - expected).abs().mean() < 0.03 * expected.abs().mean()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in hat.parameters())


@pytest.mark.parametrize("size", [(4, 16), (16, 3)])
def test_an_image_too_short_to_be_reflected_is_refused(size):
    hat = HAT(**TINY | {"window_size": 8})
    with pytest.raises(ValueError, match=rf"window \(8\).*got {size[0]}×{size[1]}"):
        hat(torch.zeros(1, 1, *size))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"num_heads": (5,)}, "divisor of embed_dim"),
        ({"num_heads": (2, 2)}, "divisor of embed_dim"),
        ({"squeeze_factor": 30}, "must not exceed embed_dim"),
        ({"compress_ratio": 25}, "must not exceed embed_dim"),
        ({"window_size": 6}, "must be even"),
        ({"upscale": 6}, "3 or a power of 2"),
        ({"upscale": 1}, "3 or a power of 2"),
    ],
)
def test_sizes_that_do_not_fit_each_other_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        HAT(**TINY | changed)


def test_it_learns_one_image_better_than_bicubic_enlargement():
    torch.manual_seed(0)
    high_res = (some_images(1, 1, 24, 48) > 0.5).float()
    high_res = F.avg_pool2d(high_res, 3, stride=1, padding=1)
    low_res = F.avg_pool2d(high_res, 2)
    bicubic_loss = F.l1_loss(F.interpolate(low_res, scale_factor=2.0, mode="bicubic"), high_res)
    hat = HAT(**TINY)
    optimizer = torch.optim.AdamW(hat.parameters(), lr=3e-3)
    for _ in range(250):
        loss = F.l1_loss(hat(low_res), high_res)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.5 * bicubic_loss
