"""The recurrent autoencoder."""

import torch
from torch import Tensor, nn

from pipeline.detector.network import Network, NetworkShape, mean_squared, network_input
from pipeline.detector.rows import by_row
from pipeline.detector.stacked import StackedLinear

ROWS_PER_STEP = 4
"""Of the window, to one step of a network. A recurrent network computes its steps one after
another and learns little across many of them: this makes them a quarter as many."""
KEEP_BIAS = -2.0
"""Of the gates that keep the old state, before training. There are few steps, and each has
to come to other rows: from half-open gates training takes twice as long."""


class StackedGruCell(nn.Module):
    """M gated recurrent units, each with weights of its own.

    Source: Cho et al. (2014), arXiv:1406.1078; the reset gate acts after the product, as
    in PyTorch's GRU, so that a step takes one product with the state.
    """

    def __init__(self, n_members: int, n_in: int, n_state: int) -> None:
        super().__init__()
        self.from_input = StackedLinear(n_members, n_in, 3 * n_state)
        self.from_state = StackedLinear(n_members, n_state, 3 * n_state)
        with torch.no_grad():
            self.from_state.bias[:, :, n_state : 2 * n_state] = KEEP_BIAS

    def forward(self, input_MBG: Tensor, state_MBH: Tensor) -> Tensor:
        """The next state, shape (M, B, H), from what `from_input` makes of the input."""
        n_state = state_MBH.shape[2]
        gates_MBG = self.from_state(state_MBH)
        opened_MBG = by_row(
            torch.sigmoid, input_MBG[:, :, : 2 * n_state] + gates_MBG[:, :, : 2 * n_state]
        )
        reset_MBH, keep_MBH = opened_MBG.chunk(2, dim=2)
        new_MBH = by_row(
            torch.tanh,
            input_MBG[:, :, 2 * n_state :] + reset_MBH * gates_MBG[:, :, 2 * n_state :],
        )
        return torch.lerp(new_MBH, state_MBH, keep_MBH)


class RecurrentAutoencoder(Network):
    """Reads a window a few rows at a time, and tells it again from the newest rows back.

    Both states have the size `hidden`. The encoder's last one becomes the latent vector;
    the decoder starts from that and sees it at every step. Backwards, what was read last
    is told first: the newest row takes no step of the decoder.

    Sources: Malhotra et al. (2016), arXiv:1607.00148; the order: Srivastava et al. (2015),
    arXiv:1502.04681; several rows to a step: Sak et al. (2015), arXiv:1507.06947.
    """

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__(shape)
        n_members, hidden = shape.n_members, shape.hidden
        n_values = ROWS_PER_STEP * shape.n_sensors
        self._n_rows_before = -shape.window % ROWS_PER_STEP
        self._n_steps = (shape.window + self._n_rows_before) // ROWS_PER_STEP
        self.encoder = StackedGruCell(n_members, n_values, hidden)
        self.to_latent = StackedLinear(n_members, hidden, shape.latent)
        self.to_state = StackedLinear(n_members, shape.latent, hidden)
        self.decoder = StackedGruCell(n_members, shape.latent, hidden)
        self.to_rows = StackedLinear(n_members, hidden, n_values)

    def loss(self, x_MBTF: Tensor, observed_MBTF: Tensor, warmup: float) -> Tensor:
        """Mean squared reconstruction error over the observed values, clipped."""
        shown_MBTF = self.corruption.of(x_MBTF)
        error_MBTF = network_input(x_MBTF) - self.reconstruct(shown_MBTF)
        return mean_squared(error_MBTF, observed_MBTF)

    def encode(self, x_MBTF: Tensor) -> Tensor:
        """See `Network.encode`."""
        rows_before = (0, 0, self._n_rows_before, 0)
        padded_MBTF = nn.functional.pad(network_input(x_MBTF), rows_before)
        state_MBH = x_MBTF.new_zeros(
            self.shape.n_members, x_MBTF.shape[1], self.shape.hidden
        )
        # Step by step: the products of all steps at once would take many times the memory
        # of the windows.
        for step in range(self._n_steps):
            rows = slice(step * ROWS_PER_STEP, (step + 1) * ROWS_PER_STEP)
            input_MBG = self.encoder.from_input(padded_MBTF[:, :, rows].flatten(2))
            state_MBH = self.encoder(input_MBG, state_MBH)
        latent_MBL: Tensor = self.to_latent(state_MBH)
        return latent_MBL

    def decode(self, latent_MBL: Tensor) -> Tensor:
        """See `Network.decode`."""
        input_MBG = self.decoder.from_input(latent_MBL)
        states = [self._newest_state(latent_MBL)]
        for _ in range(self._n_steps - 1):
            states.append(self.decoder(input_MBG, states[-1]))
        # Oldest first, and one product for all rows.
        state_MBSH = torch.stack(states[::-1], dim=2)
        rows_MNV = self.to_rows(state_MBSH.flatten(1, 2))
        n_members, n_windows, n_steps, _ = state_MBSH.shape
        sizes = (n_members, n_windows, n_steps * ROWS_PER_STEP, self.shape.n_sensors)
        rows_MBTF: Tensor = rows_MNV.reshape(sizes)
        return rows_MBTF[:, :, self._n_rows_before :]

    def newest(self, x_BTF: Tensor) -> Tensor:
        """See `Network.newest`; only that row is decoded."""
        state_MBH = self._newest_state(self.encode(x_BTF[None]))
        return self.to_rows.last_outputs(state_MBH, self.shape.n_sensors)

    def _newest_state(self, latent_MBL: Tensor) -> Tensor:
        """The decoder's first, shape (M, B, H)."""
        return by_row(torch.tanh, self.to_state(latent_MBL))
