import jax
import numpy as np
import pytest

from ar_jax.training.parallel import data_parallel, replicate, shard


def test_a_batch_is_split_in_order():
    shares = shard({"x": np.arange(12).reshape(6, 2)}, 3)
    np.testing.assert_array_equal(shares["x"], np.arange(12).reshape(3, 2, 2))


def test_a_batch_that_the_devices_do_not_divide_is_refused():
    with pytest.raises(ValueError, match=r"batch: expected a multiple of 4 rows.*got 6"):
        shard({"x": np.zeros((6, 2))}, 4)


def test_every_device_gets_its_share():
    def step(offset, batch):
        return jax.lax.all_gather(batch["x"].sum() + offset, "data")

    sums = data_parallel(step)(1, {"x": np.arange(16)})
    np.testing.assert_array_equal(sums, np.arange(16).reshape(8, 2).sum(axis=1) + 1)


def test_a_replicated_carry_lies_where_a_step_leaves_its_result():
    """Else the first two steps would each be compiled."""
    carry = replicate({"count": np.float32(0)})
    step = data_parallel(lambda carry, batch: carry)
    assert step(carry, {"x": np.zeros(8)})["count"].sharding == carry["count"].sharding
