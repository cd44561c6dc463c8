"""Rows to blocks and back."""

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipeline.detector.detector import Detector
from pipeline.records import FloatArray, IntArray
from trainer.compress.coding import decoded, encoded
from trainer.compress.columns import (
    Quantiser,
    coded_column,
    coded_missing,
    decoded_column,
    drafted_column,
    largest_error,
)
from trainer.compress.decoder import LatentDecoder, series_latents, window_starts
from trainer.compress.layout import MAX_BLOCK_VALUES, Block, DecoderPart
from trainer.compress.network_coder import NetworkCoder, best_network
from trainer.compress.source import Rows

TIME_ORDERS, UNIT_ORDERS = (1, 2), (0, 1)


class CodedRows(NamedTuple):
    """Rows, both ways."""

    plain: Block
    network: Block
    """The same as `plain` where no network pays."""
    largest_error: float
    """Of either, as a share of the sensors' ranges."""


class BlockCoder:
    """Codes a table's rows, block by block.

    Owns the choice of the network, which is made on the first block.
    """

    def __init__(
        self, detector: Detector, units: Sequence[str], quantisers: dict[str, Quantiser]
    ) -> None:
        """Take what all blocks share.

        Args:
            detector: on its device.
            units: the table's.
            quantisers: of the table's sensors.
        """
        self._detector, self._units = detector, units
        self._quantisers = quantisers
        self._network: NetworkCoder | None = None
        self._is_first = True

    @property
    def decoder(self) -> DecoderPart | None:
        """Of the network that was chosen; None before the first block, or without one."""
        return None if self._network is None else self._network.part

    def coded(self, rows: Rows) -> CodedRows:
        """These rows with and without the network, each held against the bound."""
        order_N = np.argsort(rows.unit_N, kind="stable")
        unit_N = rows.unit_N[order_N]
        values_NF = rows.values_NF[order_N]
        quantisers = list(self._quantisers.values())
        columns = [
            drafted_column(value_N, q)
            for value_N, q in zip(values_NF.T, quantisers, strict=True)
        ]
        missing = [coded_missing(value_N) for value_N in values_NF.T]
        decoded_NF = np.column_stack([column.decoded_N for column in columns])
        error = largest_error(values_NF, decoded_NF, quantisers)
        plain = Block(
            n_rows=len(order_N),
            units=encoded(rows.unit_N, UNIT_ORDERS),
            times=encoded(rows.time_us_N[order_N], TIME_ORDERS),
            labels=None
            if rows.label_N is None
            else encoded(rows.label_N[order_N].astype(np.int64), UNIT_ORDERS),
            latents=None,
            columns=[
                coded_column(column, there)
                for column, there in zip(columns, missing, strict=True)
            ],
            checksum=_checksum(decoded_NF),
        )
        if self._is_first:
            self._is_first = False
            self._network = best_network(
                self._detector, self._units, self._quantisers, values_NF, unit_N, columns
            )
        network = self._network
        drafts = None if network is None else network.drafts(values_NF, unit_N, quantisers)
        if drafts is None or drafts.gain(columns) <= 0:
            return CodedRows(plain, plain, error)
        mixed = list(plain.columns)
        for f, draft in drafts.columns.items():
            if draft.n_bytes < columns[f].n_bytes:
                column = coded_column(draft, missing[f])
                if len(column.numbers.content) < len(mixed[f].numbers.content):
                    mixed[f] = column
                    decoded_NF[:, f] = draft.decoded_N
        return CodedRows(
            plain,
            Block(
                n_rows=plain.n_rows,
                units=plain.units,
                times=plain.times,
                labels=plain.labels,
                latents=drafts.latents,
                columns=mixed,
                checksum=_checksum(decoded_NF),
            ),
            max(error, largest_error(values_NF, decoded_NF, quantisers)),
        )


def decoded_rows(
    block: Block,
    quantisers: Sequence[Quantiser],
    n_units: int,
    decoder: LatentDecoder | None,
    decoder_columns: Sequence[int],
) -> tuple[Rows, bool]:
    """A block's rows in the table's order, and whether they are those written to the bit.

    Args:
        block: from a file.
        quantisers: of the table's sensors.
        n_units: of the table.
        decoder: of the file, if it has one.
        decoder_columns: which of the table's sensors are the decoder's.

    Raises:
        ValueError: the block is not what `BlockCoder` makes.
    """
    n = block.n_rows
    if len(block.columns) != len(quantisers) or n * len(quantisers) > MAX_BLOCK_VALUES:
        raise ValueError("a block of other columns, or too large")
    row_unit_N = decoded(block.units, n)
    if row_unit_N.min() < 0 or row_unit_N.max() >= n_units:
        raise ValueError("a unit without a name")
    order_N = np.argsort(row_unit_N, kind="stable")
    expected_FN = _expected(block, row_unit_N[order_N], decoder, decoder_columns)
    values_NF = np.empty((n, len(quantisers)), dtype=np.float32)
    for f, (column, quantiser) in enumerate(zip(block.columns, quantisers, strict=True)):
        values_NF[:, f] = decoded_column(column, quantiser, n, expected_FN.get(f))
    back_N = np.empty(n, dtype=np.int64)
    back_N[order_N] = np.arange(n)
    labels = None if block.labels is None else decoded(block.labels, n)[back_N] != 0
    times = decoded(block.times, n)[back_N]
    is_same = _checksum(values_NF) == block.checksum
    return Rows(row_unit_N, times, labels, values_NF[back_N]), is_same


def _expected(
    block: Block,
    unit_N: IntArray,
    decoder: LatentDecoder | None,
    columns: Sequence[int],
) -> dict[int, np.ndarray]:
    if block.latents is None:
        return {}
    if decoder is None:
        raise ValueError("latent codes without a decoder")
    start_B = window_starts(unit_N, decoder.window)
    code_BL = series_latents(block.latents, len(start_B), decoder.n_latent)
    expected_NF = decoder.expected(code_BL, start_B, unit_N)
    return dict(zip(columns, expected_NF.T, strict=True))


def _checksum(values_NF: FloatArray) -> int:
    return zlib.crc32(values_NF.tobytes())
