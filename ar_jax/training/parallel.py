"""Data parallelism: the one file that knows of devices and processes.

With several processes (`jax.distributed.initialize` before all else) each makes the whole batch and
computes the rows of its own devices; the first one writes.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

Carry = TypeVar("Carry")
Result = TypeVar("Result")


def data_parallel(
    step: Callable[[Carry, Mapping[str, Any]], Result], donate_argnums: tuple[int, ...] = ()
) -> Callable[[Carry, Mapping[str, Any]], Result]:
    """Runs a step on all devices, each with its share of the batch.

    Args:
      step: pure function of (carry, batch), written for an axis named "data". It must return the
        same on every device: what comes back is that of one.
      donate_argnums: which arguments the step may overwrite.

    Returns:
      The same function for a carry without a device axis and a host batch `[batch, ...]`, the same
      in every process.
    """
    mapped = jax.pmap(
        step, axis_name="data", in_axes=(None, 0), out_axes=None, donate_argnums=donate_argnums
    )

    def parallel(carry: Carry, batch: Mapping[str, Any]) -> Result:
        here = jax.local_device_count()
        first = jax.process_index() * here
        shares = shard(batch, jax.device_count())
        return mapped(carry, jax.tree.map(lambda share: share[first : first + here], shares))

    return parallel


def replicate(carry: Carry) -> Carry:
    """Puts arrays where a parallel step leaves its results.

    A carry that lies elsewhere is accepted too, but the step is then compiled a second time, for
    its own results.
    """
    devices = Mesh(np.array(jax.local_devices()), ("data",))
    return jax.device_put(carry, NamedSharding(devices, PartitionSpec()))


def shard(batch: Mapping[str, Any], devices: int) -> dict[str, Any]:
    """Splits a batch among devices: `[batch, ...]` -> `[devices, batch / devices, ...]`.

    Raises:
      ValueError: when the devices do not divide the batch.
    """

    def split(array: Any) -> Any:
        if len(array) % devices:
            raise ValueError(
                f"batch: expected a multiple of {devices} rows, the number of devices, "
                f"got {len(array)}"
            )
        return np.reshape(array, (devices, -1, *np.shape(array)[1:]))

    return jax.tree.map(split, dict(batch))


def first_process() -> bool:
    """Whether this is the process that writes."""
    return jax.process_index() == 0


def any_process(flag: bool, together: bool) -> bool:
    """Whether the flag is raised in any process.

    Args:
      flag: of this process.
      together: whether all processes are at a place where they may wait for one another; elsewhere
        several know nothing of each other's flags, and act on none.
    """
    if jax.process_count() == 1:
        return flag
    return together and bool(multihost_utils.process_allgather(np.array(flag)).any())


def devices() -> str:
    """What steps run on, e.g. "1 x cpu"."""
    return f"{jax.device_count()} x {jax.devices()[0].device_kind}"
