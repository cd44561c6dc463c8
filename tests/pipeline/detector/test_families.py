"""What every model family keeps to."""

import pytest
import torch
from torch import Tensor

from pipeline.detector.families import FAMILIES, build_network
from pipeline.detector.network import INPUT_CLIP, Network, NetworkShape, default_shape

M, B, T, F = 3, 5, 6, 2
SHAPE = NetworkShape(window=T, n_sensors=F, hidden=16, latent=4, n_members=M)

each_family = pytest.mark.parametrize("family", sorted(FAMILIES))


def network(family: str, shape: NetworkShape = SHAPE) -> Network:
    """Untrained, the same each time."""
    torch.manual_seed(0)
    return build_network(family, shape).eval()


def windows(*sizes: int) -> Tensor:
    """Scaled windows; by default each member's own, shape (M, B, T, F)."""
    return torch.randn(sizes or (M, B, T, F), generator=torch.Generator().manual_seed(1))


def loss(of: Network, x_MBTF: Tensor, observed_MBTF: Tensor, warmup: float = 0.0) -> Tensor:
    """With the same noise each time."""
    torch.manual_seed(2)
    return of.loss(x_MBTF, observed_MBTF, warmup)


@each_family
@pytest.mark.parametrize("window", [2, 3, 33])
def test_windows_of_any_length_are_reconstructed(family: str, window: int) -> None:
    net = network(family, default_shape(window, n_sensors=F, n_members=M))
    x_MBTF = windows(M, B, window, F)

    assert net.reconstruct(x_MBTF).shape == (M, B, window, F)
    assert net.newest(x_MBTF[0]).shape == (M, B, F)
    assert loss(net, x_MBTF, torch.ones_like(x_MBTF)).shape == (M,)


@each_family
@pytest.mark.parametrize("window", [2, 3, 32, 33])
def test_the_newest_row_is_the_last_of_the_reconstruction(family: str, window: int) -> None:
    net = network(family, default_shape(window, n_sensors=F, n_members=M))
    x_BTF = windows(B, window, F)

    last_MBF = net.reconstruct(x_BTF[None])[:, :, -1]
    torch.testing.assert_close(net.newest(x_BTF), last_MBF, rtol=0, atol=1e-5)


@each_family
def test_windows_that_all_members_see_need_not_be_repeated(family: str) -> None:
    net, x_BTF = network(family), windows(B, T, F)

    torch.testing.assert_close(
        net.reconstruct(x_BTF[None]), net.reconstruct(x_BTF.expand(M, B, T, F))
    )


@each_family
def test_a_batch_may_be_empty(family: str) -> None:
    net = network(family)

    assert net.reconstruct(windows(M, 0, T, F)).shape == (M, 0, T, F)
    assert net.newest(windows(0, T, F)).shape == (M, 0, F)


@each_family
def test_every_stored_tensor_has_the_members_along_its_first_axis(family: str) -> None:
    assert {tensor.shape[0] for tensor in network(family).state_dict().values()} == {M}


@each_family
def test_members_start_from_weights_of_their_own(family: str) -> None:
    first_BF, second_BF, third_BF = network(family).newest(windows(B, T, F))

    assert not torch.allclose(first_BF, second_BF)
    assert not torch.allclose(second_BF, third_BF)


@each_family
def test_a_member_alone_says_what_it_says_among_the_others(family: str) -> None:
    net, x_MBTF = network(family), windows()

    alone = net.member(1)

    assert alone.shape.n_members == 1
    torch.testing.assert_close(
        alone.reconstruct(x_MBTF[1:2])[0], net.reconstruct(x_MBTF)[1]
    )
    torch.testing.assert_close(alone.newest(x_MBTF[0])[0], net.newest(x_MBTF[0])[1])


@each_family
def test_a_members_loss_reaches_its_own_weights_and_no_others(family: str) -> None:
    net, x_MBTF = network(family), windows()

    loss(net, x_MBTF, torch.ones_like(x_MBTF), warmup=1.0)[1].backward()  # type: ignore[no-untyped-call]

    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        reached_M = parameter.grad.flatten(1).any(dim=1).tolist()
        assert reached_M == [False, True, False], name


@each_family
def test_a_windows_result_does_not_depend_on_the_rest_of_its_batch(family: str) -> None:
    net, x_BTF = network(family), windows(B, T, F)

    torch.testing.assert_close(net.newest(x_BTF[3:4])[:, 0], net.newest(x_BTF)[:, 3])
    torch.testing.assert_close(
        net.reconstruct(x_BTF[None, 3:4])[:, 0], net.reconstruct(x_BTF[None])[:, 3]
    )


@each_family
def test_a_reconstruction_has_no_randomness(family: str) -> None:
    net, x_BTF = network(family), windows(B, T, F)

    assert torch.equal(net.newest(x_BTF), net.newest(x_BTF))
    assert torch.equal(net.reconstruct(x_BTF[None]), net.reconstruct(x_BTF[None]))


@each_family
def test_a_network_can_be_built_without_memory_and_given_weights(family: str) -> None:
    net, x_BTF = network(family), windows(B, T, F)

    with torch.device("meta"):
        empty = build_network(family, SHAPE)
    empty.load_state_dict(net.state_dict(), assign=True)

    assert torch.equal(empty.newest(x_BTF), net.newest(x_BTF))


@each_family
def test_a_value_far_outside_steers_the_others_no_further_than_the_clip(
    family: str,
) -> None:
    net, x_MBTF = network(family), windows()
    clipped_MBTF = x_MBTF.clone()
    x_MBTF[:, 0, 0, 0], clipped_MBTF[:, 0, 0, 0] = 1e6, INPUT_CLIP

    assert torch.equal(net.reconstruct(x_MBTF), net.reconstruct(clipped_MBTF))


@each_family
def test_one_fault_in_the_history_does_not_own_the_gradient(family: str) -> None:
    net, x_MBTF = network(family), windows()
    x_MBTF[:, 0, 0, 0] = 1e6

    assert (loss(net, x_MBTF, torch.ones_like(x_MBTF), warmup=1.0) < 1_000).all()


@each_family
def test_the_loss_is_the_mean_over_observed_values_and_over_no_others(family: str) -> None:
    net, x_MBTF = network(family), windows()
    generator = torch.Generator().manual_seed(3)
    observed_MBTF = (torch.rand(x_MBTF.shape, generator=generator) < 0.7).float()

    def total(observed_MBTF: Tensor) -> Tensor:
        return loss(net, x_MBTF, observed_MBTF) * observed_MBTF.sum(dim=(1, 2, 3))

    # Were a missing value counted in either part, the parts would exceed the whole.
    torch.testing.assert_close(
        total(observed_MBTF) + total(1 - observed_MBTF),
        total(torch.ones_like(x_MBTF)),
    )
    assert (loss(net, x_MBTF, torch.zeros_like(x_MBTF)) == 0).all()


@pytest.mark.parametrize("family", ["ae", "conv", "gru"])
def test_the_loss_of_a_plain_autoencoder_is_its_mean_squared_error(family: str) -> None:
    net, x_MBTF = network(family), windows()

    expected_M = (x_MBTF - net.reconstruct(x_MBTF)).square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(loss(net, x_MBTF, torch.ones_like(x_MBTF)), expected_M)


@pytest.mark.parametrize(
    ("window", "n_sensors", "hidden", "latent"),
    [(2, 1, 16, 4), (32, 8, 64, 16), (1_000, 20, 128, 32)],
)
def test_sizes_follow_the_window_within_bounds(
    window: int, n_sensors: int, hidden: int, latent: int
) -> None:
    shape = default_shape(window, n_sensors, n_members=M)

    assert shape == NetworkShape(window, n_sensors, hidden, latent, M)
