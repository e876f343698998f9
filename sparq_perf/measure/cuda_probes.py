"""What the ceilings of a GPU are probed with: torch operations, each queued and not waited for."""

from collections.abc import Callable

import torch
from torch import Tensor

ROW = 4096  # floats, 16 KiB


def read_flush(rows: Tensor, sums: Tensor) -> None:
    """Sum float32 rows [n, ROW] into sums [n]: reads all of it, and writes a four-thousandth."""
    torch.sum(rows, dim=1, out=sums)


def read_whole(data: Tensor, times: int) -> None:
    """Sum float32 data, as many times over."""
    for _ in range(times):
        torch.sum(data)


def read_rows(data: Tensor, times: int) -> None:
    """Sum float32 data by rows; all repetitions are one launch, which a small buffer's time would be lost in."""
    data.view(-1, ROW).expand(times, -1, -1).sum(-1)


def read_long_rows(data: Tensor, times: int) -> None:
    """Largest of float32 data in rows four times as long."""
    data.view(-1, 4 * ROW).expand(times, -1, -1).amax(-1)


def read_matrix(data: Tensor, times: int) -> None:
    """Multiply float32 data, as a matrix, with a vector."""
    vector = torch.ones(ROW, device=data.device)
    for _ in range(times):
        torch.mv(data.view(-1, ROW), vector)


READS: tuple[Callable[[Tensor, int], None], ...] = (read_whole, read_rows, read_long_rows, read_matrix)


def copy_plainly(target: Tensor, source: Tensor) -> None:
    """Copy with the driver's own copy kernel."""
    target.copy_(source)


def copy_by_kernel(target: Tensor, source: Tensor) -> None:
    """Copy with an arithmetic kernel."""
    torch.neg(source, out=target)


COPIES: tuple[Callable[[Tensor, Tensor], None], ...] = (copy_plainly, copy_by_kernel)


def multiply(a: Tensor, b: Tensor, out: Tensor) -> None:
    """Matrix product."""
    torch.mm(a, b, out=out)


def touch(cell: Tensor, times: int) -> None:
    """As many kernels that do next to nothing, each waiting for the one before."""
    for _ in range(times):
        cell.add_(1)
