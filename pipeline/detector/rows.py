"""What a network says of a window is the same to the last bit whatever it is scored with.

Which code a kernel runs depends on sizes, and their last bits differ. So sizes are such
that each window of a batch goes through the same code: the number of windows by `padded`,
widths by `product` and `by_row`; and `mean_of` adds up in one order. Tried on 5,000 random
detectors and batches, with PyTorch 2.15 and MKL 2024.2, on 1 and 2 threads, with AVX-512,
AVX2 and neither. Elsewhere it may not hold: see `is_steady`. Training goes without.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

N_ROWS = 8
"""A launch is of a multiple of these windows. Of 1 to 3 rows MKL computes products by other
code, and without AVX2 of 4. For it one window alone takes 1.3 times as long with a `gru`,
and at most 1.2 times with others."""
N_LANES = 8
"""Elementwise kernels take 32 numbers at a time, two registers of AVX-512, and those left
at the end by other code. Of 8 rows of a multiple of 8 none is left, nor of the half that
each of two threads takes."""
MIN_PRODUCT = 400
"""Of rows x inputs x outputs. PyTorch multiplies smaller matrices without MKL."""
EVEN_WIDTH = 4
ANY_WIDTH = 12
"""Products of fewer outputs, if not a multiple of `EVEN_WIDTH`, depend on a row's place in
the batch, with AVX-512: those of 5, 6, 7, 9, 10 and 11."""


def padded(index_B: Tensor) -> Tensor:
    """Indices of windows to launch, the last one repeated until there are enough."""
    n_more = -len(index_B) % N_ROWS
    return torch.cat([index_B, index_B[-1:].expand(n_more)]) if n_more else index_B


def product(x_MBI: Tensor, weight_MIO: Tensor, bias_M1O: Tensor) -> Tensor:
    """A linear layer's (M or 1, B, I) to (M, B, O)."""
    n_in, n_out = weight_MIO.shape[1:]
    n_more = _even_width(n_in, n_out) - n_out
    if not n_more or torch.is_grad_enabled():
        return torch.matmul(x_MBI, weight_MIO) + bias_M1O
    wide_MBO = torch.matmul(x_MBI, nn.functional.pad(weight_MIO, (0, n_more)))
    return wide_MBO[:, :, :n_out] + bias_M1O


def by_row(elementwise: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """`elementwise` of `x`, shape (M, B, ...)."""
    n_values = math.prod(x.shape[2:])
    n_more = -n_values % N_LANES
    if not n_more or torch.is_grad_enabled():
        return elementwise(x)
    wide_MBV = nn.functional.pad(x.flatten(2), (0, n_more))
    return elementwise(wide_MBV)[:, :, :n_values].reshape(x.shape)


def mean_of(members: Sequence[Tensor]) -> Tensor:
    """The mean of tensors of one shape.

    That over an axis, PyTorch's own, adds up in an order that depends on how many numbers
    stand beside these.
    """
    total, *others = members
    for member in others:
        total = total + member
    return total / len(members) if others else total


def _even_width(n_in: int, n_out: int) -> int:
    width = max(n_out, -(-MIN_PRODUCT // (N_ROWS * n_in)))
    return width if width >= ANY_WIDTH else width + -width % EVEN_WIDTH
