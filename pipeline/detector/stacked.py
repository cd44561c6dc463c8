"""Layers whose members run side by side in one launch."""

import math

import torch
from torch import Tensor, nn

from pipeline.detector.rows import by_row, product


class StackedLinear(nn.Module):
    """M linear layers, each with weights of its own."""

    def __init__(self, n_members: int, n_in: int, n_out: int) -> None:
        super().__init__()
        weight = torch.empty(n_members, n_in, n_out)
        # To draw what holds no memory would load torch's compiler: 150 MB, two seconds.
        if not weight.is_meta:
            torch.randn(weight.shape, out=weight).mul_(1.0 / math.sqrt(n_in))
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(n_members, 1, n_out))

    def forward(self, x_MBI: Tensor) -> Tensor:
        """(M or 1, B, n_in) to (M, B, n_out)."""
        return product(x_MBI, self.weight, self.bias)

    def last_outputs(self, x_MBI: Tensor, n: int) -> Tensor:
        """The last `n` outputs alone, shape (M, B, n)."""
        return product(x_MBI, self.weight[:, :, -n:], self.bias[:, :, -n:])


class DenseLayers(nn.Module):
    """In to hidden to out, M times."""

    def __init__(self, n_members: int, n_in: int, hidden: int, n_out: int) -> None:
        super().__init__()
        self.first = StackedLinear(n_members, n_in, hidden)
        self.second = StackedLinear(n_members, hidden, n_out)

    def forward(self, x_MBI: Tensor) -> Tensor:
        """(M or 1, B, n_in) to (M, B, n_out)."""
        result_MBO: Tensor = self.second(by_row(nn.functional.gelu, self.first(x_MBI)))
        return result_MBO

    def last_outputs(self, x_MBI: Tensor, n: int) -> Tensor:
        """The last `n` outputs alone, shape (M, B, n)."""
        return self.second.last_outputs(by_row(nn.functional.gelu, self.first(x_MBI)), n)
