"""Plans are values; the table that keeps them may be asked and told by several threads at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError, fields, replace

import pytest
import torch
from torch import Tensor, nn

from cbam_viz.gates import capture
from cbam_viz.gates.plan.plan import Plan
from cbam_viz.gates.plan.program import Ref, Step, run
from cbam_viz.gates.plan.signature import Signature, signature_of
from cbam_viz.gates.plan.table import Table, table_of
from tests.gates.networks import photos, tiny_authors, tiny_cbam

SIZES = [(size, 32) for size in range(20, 60)]


def learnt() -> tuple[Table, Plan]:
    """A network's table, and its plan for 32 x 32."""
    model = tiny_authors()
    with torch.no_grad():
        capture(model, photos(1, 32, 32))
    table, seen = table_of(model)
    plan = table.plan(signature_of(table.modules, (photos(1, 32, 32),), {}, seen))
    assert plan is not None
    assert plan.any_size
    return table, plan


def signature(height: int, width: int) -> Signature:
    return Signature(((("tensor", (1, 3, height, width), torch.float32, "cpu"),), ()), "around")


def test_a_plan_cannot_be_changed() -> None:
    plan = learnt()[1]
    for field in fields(plan):
        with pytest.raises(FrozenInstanceError):
            setattr(plan, field.name, None)


def test_a_plan_that_was_lent_in_vain_is_lent_no_more() -> None:
    table, plan = learnt()
    own, other = signature(32, 32), signature(40, 40)
    table.keep(own, plan)
    assert table.plan(other) is plan
    table.left(other, plan)
    assert table.plan(other) is None
    assert table.plan(own) is plan
    assert plan.any_size  # of the plan itself nobody took anything away
    table.left(own, plan)
    assert table.plan(own) is None
    table.keep(own, replace(plan))
    assert table.plan(other) is table.plan(own) is not plan
    assert not table.fickle
    table.left(own, table.plan(own))
    assert table.fickle


def test_threads_ask_while_others_tell() -> None:
    """Of many sizes, more than are kept: plans come and go while they are looked through."""
    table, plan = learnt()
    start = threading.Barrier(8)

    def tell(turn: int) -> None:
        start.wait()
        for k in range(400):
            size = SIZES[(turn + k) % len(SIZES)]
            table.keep(signature(*size), replace(plan, any_size=k % 2 == 0))

    def ask(turn: int) -> set[type]:
        start.wait()
        found = set()
        for k in range(400):
            size = SIZES[-(turn + k) % len(SIZES)]
            one = table.plan(signature(*size))
            found.add(type(one))
            if one is not None and k % 50 == 0:
                table.left(signature(*size), one)
        return found

    with ThreadPoolExecutor(8) as pool:
        told = [pool.submit(tell, k) for k in range(4)]
        asked = [pool.submit(ask, k) for k in range(4)]
        for one in told:
            one.result()
        assert set().union(*(one.result() for one in asked)) <= {Plan, type(None)}
    assert len(table._plans) <= Table.max_plans


def test_a_program_runs_its_steps_on_its_inputs() -> None:
    """(a + b), then its sum with b again behind a list, as `cat` takes it."""
    a, b = Tensor([1.0, 2.0]), Tensor([10.0, 20.0])
    add = Step(torch.add, "add", (Ref(-1), Ref(-2)), {"alpha": 2})
    cat = Step(torch.cat, "cat", ([Ref(0), Ref(-2)], 0), {})
    assert run([add, cat], [a, b]).tolist() == [21.0, 42.0, 10.0, 20.0]
    assert run([], [a, b]) is a


@pytest.mark.parametrize("inference", [False, True], ids=["no_grad", "inference_mode"])
@pytest.mark.parametrize("make", [tiny_authors, tiny_cbam])
def test_a_plan_that_holds_for_another_size_is_that_sizes_own(
    make: Callable[[], nn.Module], inference: bool
) -> None:
    """The forward at the new size is not watched: the same plan serves it, proven once."""
    model = make()
    with torch.inference_mode(inference), torch.no_grad():
        for size in ((32, 32), (48, 40), (33, 57), (48, 40)):
            capture(model, photos(2, *size))
    table = table_of(model)[0]
    assert len(table._plans) == 3
    assert len(set(map(id, table._plans.values()))) == 1
