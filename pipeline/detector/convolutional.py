"""The convolutional autoencoder."""

from torch import Tensor, nn

from pipeline.detector.network import Network, NetworkShape, mean_squared, network_input
from pipeline.detector.rows import by_row
from pipeline.detector.stacked import StackedLinear

KERNEL = 3
"""Time steps that a convolution sees. Odd: as many before the middle one as after it."""
STRIDE = 2
"""Time steps to one step of the next coarser layer."""
N_LAYERS = 2
"""Strided convolutions, and as many upsampling ones."""
N_ROWS_BEYOND = 2
"""Rows of zeros after the newest row, the one that is scored. At the very end a
convolution has fewer steps to go by: that row's error would be half as large again."""


class StackedConvolution(nn.Module):
    """M convolutions over time, each with weights of its own.

    Linear layers on patches of `KERNEL` steps: one batched product for all members, at the
    speed of a convolution in groups.
    """

    def __init__(self, n_members: int, n_in: int, n_out: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.linear = StackedLinear(n_members, KERNEL * n_in, n_out)

    def forward(self, x_MBTI: Tensor) -> Tensor:
        """(M or 1, B, T, n_in) to (M, B, T / stride, n_out); zeros beyond both ends."""
        n_windows, n_steps = x_MBTI.shape[1], x_MBTI.shape[2] // self.stride
        padded_MBTI = nn.functional.pad(x_MBTI, (0, 0, KERNEL // 2, KERNEL // 2))
        patches_MBTIK = padded_MBTI.unfold(2, KERNEL, self.stride)
        # Steps before channels, as they lie in memory: a patch is copied in one run.
        patches_MBTP = patches_MBTIK.transpose(3, 4).flatten(3)
        result_MNO: Tensor = self.linear(patches_MBTP.flatten(1, 2))
        n_members, _, n_out = result_MNO.shape
        return result_MNO.reshape(n_members, n_windows, n_steps, n_out)


class ConvolutionalAutoencoder(Network):
    """Learns to copy normal windows through filters over time and a dense bottleneck.

    A pattern is learned once, wherever in the window it stands. The first layer has a
    quarter of `hidden` channels at half the time steps, the second half of `hidden` at a
    quarter of them. The decoder's layers give each of their steps the channels of two,
    which is a transposed convolution without its uneven overlaps.

    Sources: Masci et al. (2011), doi:10.1007/978-3-642-21735-7_7; upsampling: Shi et al.
    (2016), arXiv:1609.05158.
    """

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__(shape)
        n_members, n_sensors = shape.n_members, shape.n_sensors
        fine, coarse = max(shape.hidden // 4, 1), max(shape.hidden // 2, 1)
        self._n_rows_before = -(shape.window + N_ROWS_BEYOND) % STRIDE**N_LAYERS
        n_rows = self._n_rows_before + shape.window + N_ROWS_BEYOND
        self._n_coarse_steps = n_rows // STRIDE**N_LAYERS
        n_coarse = self._n_coarse_steps * coarse
        self._n_coarse_channels = coarse
        self.down_first = StackedConvolution(n_members, n_sensors, fine, STRIDE)
        self.down_second = StackedConvolution(n_members, fine, coarse, STRIDE)
        self.to_latent = StackedLinear(n_members, n_coarse, shape.latent)
        self.from_latent = StackedLinear(n_members, shape.latent, n_coarse)
        self.up_second = StackedConvolution(n_members, coarse, STRIDE * fine)
        self.up_first = StackedConvolution(n_members, fine, STRIDE * n_sensors)

    def loss(self, x_MBTF: Tensor, observed_MBTF: Tensor, warmup: float) -> Tensor:
        """Mean squared reconstruction error over the observed values, clipped."""
        shown_MBTF = self.corruption.of(x_MBTF)
        error_MBTF = network_input(x_MBTF) - self.reconstruct(shown_MBTF)
        return mean_squared(error_MBTF, observed_MBTF)

    def encode(self, x_MBTF: Tensor) -> Tensor:
        """See `Network.encode`."""
        padding = (0, 0, self._n_rows_before, N_ROWS_BEYOND)
        x_MBTF = nn.functional.pad(network_input(x_MBTF), padding)
        fine_MBTC = by_row(nn.functional.gelu, self.down_first(x_MBTF))
        coarse_MBTC = by_row(nn.functional.gelu, self.down_second(fine_MBTC))
        latent_MBL: Tensor = self.to_latent(coarse_MBTC.flatten(2))
        return latent_MBL

    def decode(self, latent_MBL: Tensor) -> Tensor:
        """See `Network.decode`."""
        coarse_MBC = self.from_latent(latent_MBL)
        return self._upsampled(coarse_MBC)[:, :, self._n_rows_before : -N_ROWS_BEYOND]

    def newest(self, x_BTF: Tensor) -> Tensor:
        """See `Network.newest`; only the steps that reach that row are decoded."""
        # Two layers, each looking one step back at its own coarseness.
        n_steps = min(N_LAYERS * (KERNEL // 2) + 1, self._n_coarse_steps)
        coarse_MBC = self.from_latent.last_outputs(
            self.encode(x_BTF[None]), n_steps * self._n_coarse_channels
        )
        return self._upsampled(coarse_MBC)[:, :, -1 - N_ROWS_BEYOND]

    def _upsampled(self, coarse_MBC: Tensor) -> Tensor:
        """The rows of the newest coarse steps, as many as are given."""
        n_members, n_windows, n_values = coarse_MBC.shape
        n_channels = self._n_coarse_channels
        coarse_MBTC = by_row(nn.functional.gelu, coarse_MBC).reshape(
            n_members, n_windows, n_values // n_channels, n_channels
        )
        fine_MBTC = by_row(
            nn.functional.gelu, _two_steps_of_one(self.up_second(coarse_MBTC))
        )
        return _two_steps_of_one(self.up_first(fine_MBTC))


def _two_steps_of_one(x_MBTC: Tensor) -> Tensor:
    """(M, B, T, 2 C) to (M, B, 2 T, C)."""
    n_members, n_windows, n_steps, n_channels = x_MBTC.shape
    return x_MBTC.reshape(n_members, n_windows, STRIDE * n_steps, n_channels // STRIDE)
