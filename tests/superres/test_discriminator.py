import pytest
import torch
import torch.nn.functional as F

from panodiff.superres.discriminator import UNetDiscriminator

pytestmark = pytest.mark.usefixtures("one_thread")


def a_discriminator(**sizes) -> UNetDiscriminator:
    torch.manual_seed(0)
    return UNetDiscriminator(**sizes)


def some_images(batch: int, in_chans: int, dtype=torch.float32):
    return torch.rand(batch, in_chans, 16, 24, generator=torch.Generator().manual_seed(1)).to(dtype)


def plain_logits(weights: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """The same network from its published names: one list of layers, the singular value by a full decomposition."""
    skips = []
    for layer in range(10):
        name = f"conv{layer}"
        weight = weights.get(f"{name}.weight")
        if weight is None:
            weight = weights[f"{name}.weight_orig"]
            weight = weight / torch.linalg.matrix_norm(weight.flatten(1), ord=2)
        if layer in (4, 5, 6):
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        stride = 2 if layer in (1, 2, 3) else 1
        x = F.conv2d(x, weight, weights.get(f"{name}.bias"), stride=stride, padding=1)
        if layer == 9:
            return x
        x = torch.where(x > 0, x, 0.2 * x)
        if layer in (0, 1, 2):
            skips.append(x)
        elif layer in (4, 5, 6):
            x = x + skips.pop()
    raise AssertionError


def test_the_published_size_has_the_published_names_and_parameters():
    with torch.device("meta"):
        discriminator = UNetDiscriminator(in_chans=3)
    assert sum(parameter.numel() for parameter in discriminator.parameters()) == 4_376_897
    normalised = [f"conv{i}.weight_{part}" for i in range(1, 9) for part in ("orig", "u", "v")]
    plain = [f"conv{i}.{part}" for i in (0, 9) for part in ("weight", "bias")]
    assert set(discriminator.state_dict()) == {*normalised, *plain}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("in_chans", [1, 3])
def test_logits_and_gradients_equal_a_plain_construction(in_chans, training):
    discriminator = a_discriminator(in_chans=in_chans, num_feat=4).double().train(training)
    for layer in range(1, 9):
        conv = discriminator.get_submodule(f"conv{layer}")
        left, _, right = torch.linalg.svd(conv.weight_orig.detach().flatten(1), full_matrices=False)
        conv.weight_u.copy_(left[:, 0])
        conv.weight_v.copy_(right[0])
    weights = {name: p.detach().clone().requires_grad_() for name, p in discriminator.named_parameters()}
    x = some_images(2, in_chans, dtype=torch.float64)
    logits, expected = discriminator(x), plain_logits(weights, x)
    assert logits.shape == (2, 1, 16, 24)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-10)
    logits.square().mean().backward()
    expected.square().mean().backward()
    for name, parameter in discriminator.named_parameters():
        torch.testing.assert_close(parameter.grad, weights[name].grad, rtol=0, atol=1e-10)
        assert parameter.grad.any(), f"{name} gets no gradient"


def test_training_passes_bring_every_normalised_weight_to_a_largest_singular_value_of_one():
    discriminator = a_discriminator(num_feat=4)
    x = some_images(1, 1)
    with torch.no_grad():
        for _ in range(60):
            discriminator(x)
    for layer in range(1, 9):
        weight = discriminator.get_submodule(f"conv{layer}").weight
        assert abs(torch.linalg.matrix_norm(weight.flatten(1), ord=2) - 1) < 0.05


def test_evaluation_passes_leave_the_state_alone():
    discriminator = a_discriminator(num_feat=4).eval()
    before = {name: tensor.clone() for name, tensor in discriminator.state_dict().items()}
    discriminator(some_images(1, 1))
    assert all(torch.equal(tensor, before[name]) for name, tensor in discriminator.state_dict().items())


@pytest.mark.parametrize("size", [(12, 16), (16, 20)])
def test_an_image_it_cannot_halve_thrice_is_refused(size):
    with pytest.raises(ValueError, match=rf"multiples of 8 .*got {size[0]}×{size[1]}"):
        UNetDiscriminator(num_feat=4)(torch.zeros(1, 1, *size))


def test_it_learns_to_tell_noise_from_a_gradient_image():
    discriminator = a_discriminator(num_feat=8)
    noise = some_images(2, 1)
    smooth = torch.linspace(0, 1, 24).expand(2, 1, 16, 24)
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=3e-3)
    for _ in range(60):
        loss = F.softplus(-discriminator(smooth)).mean() + F.softplus(discriminator(noise)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (discriminator(smooth) > 0).float().mean() > 0.9
    assert (discriminator(noise) < 0).float().mean() > 0.9
