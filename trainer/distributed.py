"""Training by several processes at once, as `torchrun` starts them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn

from pipeline.detector.network import Network
from pipeline.errors import InputError
from pipeline.records import IntArray
from pipeline.score import choose_device

LONGEST_WAIT = timedelta(days=30)
"""For one another. `torchrun` ends all processes once one has failed, so that a wait ends;
one that takes long over its history has not failed."""


class Objective(nn.Module):
    """A network's loss as a module: DistributedDataParallel follows calls of these."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        x_MBTF: Tensor,
        observed_MBTF: Tensor,
        warmup: float,
        anomalous: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """See `Network.loss`; and `Network.anomaly_loss` of the labelled, if there are."""
        loss_M = self.network.loss(x_MBTF, observed_MBTF, warmup)
        if anomalous is None:
            return loss_M, None
        return loss_M, self.network.anomaly_loss(*anomalous)


@dataclass(frozen=True, slots=True)
class Ranks:
    """The processes that train one detector, seen from one of them; it may be alone.

    All read the same history, which `agreed` makes sure of, and draw the same mini-batches.
    Each takes its share of the windows, and gradients are averaged, so that all go the same
    steps.
    """

    rank: int = 0
    n_ranks: int = 1
    local_rank: int = 0
    """Its number among those of this machine."""
    n_local: int = 1

    @property
    def is_alone(self) -> bool:
        """Whether there is no other."""
        return self.n_ranks == 1

    @property
    def is_first(self) -> bool:
        """Whether it is this one that shows, calibrates and writes."""
        return self.rank == 0

    def device(self, name: str) -> torch.device:
        """The device of this process; of GPUs each takes its own.

        Raises:
            InputError: it is not there.
        """
        device = choose_device(name)
        if self.is_alone or device.type == "cpu":
            return device
        n_gpus = torch.cuda.device_count()
        if device.index is not None or self.n_local > n_gpus:
            raise InputError(
                f"device {name!r}: {self.n_local} processes on this machine, which has "
                f"{n_gpus} GPUs; start at most one a GPU and use cuda, or use cpu"
            )
        return torch.device("cuda", self.local_rank)

    def share(self, index_B: IntArray) -> IntArray:
        """This process's part of a mini-batch."""
        return index_B[self.rank :: self.n_ranks]

    def objective(self, network: Network, device: torch.device) -> nn.Module:
        """The network's loss, whose gradients are averaged over the processes.

        All begin with the weights of the first.
        """
        objective = Objective(network)
        if self.is_alone:
            return objective
        return nn.parallel.DistributedDataParallel(
            objective, device_ids=None if device.type == "cpu" else [device]
        )

    def total(self, values: Tensor) -> Tensor:
        """The sum over the processes: the same in all of them."""
        if self.is_alone:
            return values
        total = values.clone()
        distributed.all_reduce(total)
        return total

    @contextmanager
    def agreed(self) -> Iterator[dict[str, str]]:
        """What one process raises within it as InputError, all of them raise at its end.

        Otherwise those that go on would wait for it.

        Yields:
            What all must have the same of, by name, for the process to fill in. Gradients
            of different histories would be averaged without a word.

        Raises:
            InputError: one of them raised it, or they do not have the same.
        """
        given: dict[str, str] = {}
        if self.is_alone:
            yield given
            return
        mine: InputError | None = None
        try:
            yield given
        except InputError as error:
            mine = error
        all_of_them: list[tuple[str | None, dict[str, str]]] = [(None, {})] * self.n_ranks
        text = None if mine is None else str(mine)
        distributed.all_gather_object(all_of_them, (text, given))
        for text, _ in all_of_them:
            if text is not None:
                raise InputError(text) from mine
        if different := [
            name for name in given if len({each.get(name) for _, each in all_of_them}) > 1
        ]:
            raise InputError(
                f"the {self.n_ranks} processes differ in {', '.join(different)}; give all "
                "of them the same"
            )

    def wait(self) -> None:
        """Return once all processes have come here."""
        if not self.is_alone and distributed.is_initialized():
            # Not a barrier, which of GPUs may take one that is another process's.
            distributed.all_reduce(torch.zeros(1))

    def part(self) -> None:
        """Go on without the others: nothing is waited for from here on."""
        if not self.is_alone and distributed.is_initialized():
            distributed.destroy_process_group()


ALONE = Ranks()


def joined(environment: Mapping[str, str]) -> Ranks:
    """Join the processes that `torchrun` started this one with, if it did."""
    n_ranks = int(environment.get("WORLD_SIZE", "1"))
    if n_ranks == 1 or "MASTER_ADDR" not in environment:
        return ALONE
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backend, timeout=LONGEST_WAIT)
    return Ranks(
        rank=int(environment["RANK"]),
        n_ranks=n_ranks,
        local_rank=int(environment["LOCAL_RANK"]),
        n_local=int(environment["LOCAL_WORLD_SIZE"]),
    )
