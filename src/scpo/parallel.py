"""Evaluations side by side: the policies of a batch go through a ``map`` to other threads or processes.

A worker keeps a copy of the policy, which is sent to it once.  After that a policy travels as its theta, beside the few
small buffers that have changed since.  A worker says when it has no copy yet; only then is the copy sent.
"""

from __future__ import annotations

import copy
import pickle
import threading
import traceback
import uuid
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn

from scpo.arrays import Array
from scpo.calling import Answer, answer
from scpo.errors import ConfigurationError, ConstraintError, ScpoError
from scpo.options import Constraint
from scpo.outputs import COMPILED, uncompiled
from scpo.parameters import ParameterVector
from scpo.rest import SMALL, Keeper, Rest, differing, read_rest, undisturbed

#: a worker keeps so many policies; those that were not used for longest go first
KEPT_POLICIES = 4


@dataclass(frozen=True, eq=False)
class Original:
    """The policy and the black box, which each worker is sent once; later evaluations send only what has changed.

    Attributes:
        key: the name by which workers know it.
        policy: the copy, without gradients.
        names: the names of its parameters that make up theta.
        rest: its other tensors.
        constraint: the black box, without its map.
    """

    key: str
    policy: nn.Module
    names: tuple[str, ...]
    rest: Rest
    constraint: Constraint


@dataclass(frozen=True, eq=False)
class Task:
    """One evaluation.

    Attributes:
        key: the name of the original.
        theta: the parameters (d,).
        changed: pickled tensors of the policy outside theta that differ from those of the original.
        modes: whether each module of the policy is in training mode.
        original: the pickled original and the constraint, for workers that do not have them; or None.
        place: its place among the tasks of a batch.
    """

    key: str
    theta: Array
    changed: bytes
    modes: tuple[bool, ...]
    original: tuple[bytes, Constraint] | None = None
    place: int = 0


class Missing:
    """The answer of a worker that does not have the original."""


@dataclass(frozen=True)
class Failure:
    """The answer of a worker whose evaluation failed: the error and its traceback as text."""

    kind: type[ScpoError]
    message: str
    traceback: str


class Workers:
    """Evaluates g at parameter vectors, (m, d) -> m answers of (k,), through the ``map`` of the constraint.

    Args:
        policy: the policy, which is not touched.
        vector: its trainable parameters.
        constraint: the black box and its options.
    """

    def __init__(self, policy: nn.Module, vector: ParameterVector, constraint: Constraint) -> None:
        self.policy, self.vector, self.constraint = policy, vector, constraint
        self._original: Original | None = None

    def __call__(self, thetas: Tensor) -> list[Answer]:
        """Return g (k,) of each row of ``thetas`` (m, d).

        Raises:
            ConstraintError: the constraint failed in a worker, a worker died, or the map itself failed.
            ConfigurationError: the policy cannot be copied.
        """
        original, changed = self._current()
        modes = tuple(module.training for module in uncompiled(self.policy).modules())
        small = pickle.dumps(changed)
        rows = thetas.cpu().numpy()
        tasks = [Task(original.key, theta, small, modes, place=place) for place, theta in enumerate(rows)]
        answers = self._mapped(tasks)
        absent = [place for place, one in enumerate(answers) if isinstance(one, Missing)]
        if absent:
            parcel = self._parcel(original)
            again = self._mapped(
                [replace(tasks[place], original=parcel, place=new) for new, place in enumerate(absent)]
            )
            for place, one in zip(absent, again, strict=True):
                answers[place] = one
        for one in answers:
            if isinstance(one, Failure):
                raise one.kind(f"{one.message}\nThe worker's traceback:\n{one.traceback}")
        return answers

    def _mapped(self, tasks: list[Task]) -> list[Any]:
        """Return the answers in the order of the tasks, in whatever order the map returned them."""
        try:
            returned = self.constraint.map(work, tasks)
            if not isinstance(returned, Iterable):
                raise ConfigurationError(
                    f"map: returned {type(returned).__name__}; expected the answers one by one, as of pool.map"
                )
            placed = list(returned)
            answers = dict(placed)
        except ScpoError:
            raise
        except Exception as error:
            raise ConstraintError(
                f"map: {type(error).__name__}: {error}.  If workers died, make a new pool; the constraint and the "
                "policy's class must be importable there: define them in a module, not in a function"
            ) from error
        if len(placed) != len(tasks):
            raise ConstraintError(f"map: returned {len(placed)} answers for {len(tasks)} policies")
        if answers.keys() != set(range(len(tasks))):
            raise ConstraintError("map: returned an answer twice")
        return [answers[place] for place in range(len(tasks))]

    def _current(self) -> tuple[Original, Rest]:
        """Return the original, and the tensors that differ from it; if they are large, a new original is made."""
        policy = uncompiled(self.policy)
        present = self.vector.present_rest(policy)
        if self._original is not None and self._original.rest.keys() == present.keys():
            changed = differing(present, self._original.rest)
            if sum(one.numel() for one in changed.values() if one is not None) <= SMALL:
                return self._original, changed
        try:
            copied = copy.deepcopy(policy)
        except Exception as error:
            raise ConfigurationError(
                f"map: the policy cannot be copied for the workers, {type(error).__name__}: {error}"
            ) from error
        prefix = "" if policy is self.policy else COMPILED
        names = tuple(name.removeprefix(prefix) for name in self.vector.names)
        rest = read_rest(copied, _named(copied, names))
        self._original = Original(uuid.uuid4().hex, copied, names, rest, replace(self.constraint, map=map))
        _ORIGINALS[self._original.key] = self._original
        return self._original, {}

    def _parcel(self, original: Original) -> tuple[bytes, Constraint]:
        """Return the original as it is sent: the policy pickled here, the constraint by the map's own means."""
        try:
            return pickle.dumps((original.policy, original.names)), original.constraint
        except Exception as error:
            raise ConfigurationError(
                f"map: the policy cannot be sent to a worker, {type(error).__name__}: {error}"
            ) from error


def work(task: Task) -> tuple[int, Answer | Missing | Failure]:
    """Return the place of a task, and g (k,) of its policy, evaluated in this worker; it never raises."""
    return task.place, _answer(task)


def _answer(task: Task) -> Answer | Missing | Failure:
    try:
        worker = _worker(task)
        return Missing() if worker is None else worker.evaluate(task)
    except ScpoError as error:
        return Failure(type(error), str(error), traceback.format_exc())
    except Exception as error:
        message = f"a worker could not rebuild the policy, {type(error).__name__}: {error}"
        return Failure(ConstraintError, message, traceback.format_exc())


#: key -> original, in the process where it was made; threads take their copies from here
_ORIGINALS: WeakValueDictionary[str, Original] = WeakValueDictionary()
_LOCAL = threading.local()  # of each thread, because two must not share a policy


class Worker:
    """A copy of the policy in a worker."""

    def __init__(self, policy: nn.Module, names: tuple[str, ...], constraint: Constraint) -> None:
        self.policy, self.constraint = policy, constraint
        self.vector = ParameterVector(policy, _named(policy, names))
        self._original_rest = self.vector.kept = self.vector.read_rest(policy)
        self._changed = pickle.dumps({})
        self._careful = False

    def evaluate(self, task: Task) -> Answer:
        """Return g (k,)."""
        if task.changed != self._changed:
            changed: Rest = pickle.loads(task.changed)  # noqa: S301  # from the process that sent the work
            self.vector.kept = self._original_rest | changed
            self.vector.write_rest(self.policy, self.vector.kept)
            self._changed = task.changed
        for module, training in zip(self.policy.modules(), task.modes, strict=True):
            module.training = training
        self.vector.write(torch.from_numpy(task.theta))
        keeper = Keeper(self.policy, self.vector.parameters, self.vector.kept)
        with torch.no_grad():
            try:
                with undisturbed(self.policy, keeper, everything=self._careful):
                    return answer(self.constraint, self.policy)
            finally:
                if not self._careful and keeper.deceived():
                    self._careful = True
                    keeper.restore(everything=True)


def _worker(task: Task) -> Worker | None:
    """Return this thread's copy of the policy; None if there is none and none was sent."""
    if not hasattr(_LOCAL, "workers"):
        _LOCAL.workers = OrderedDict()
    workers: OrderedDict[str, Worker] = _LOCAL.workers
    if task.key not in workers:
        original = _ORIGINALS.get(task.key)
        if original is not None:
            made = Worker(copy.deepcopy(original.policy), original.names, original.constraint)
        elif task.original is not None:
            pickled, constraint = task.original
            policy, names = pickle.loads(pickled)  # noqa: S301  # from the process that sent the work
            made = Worker(policy, names, constraint)
        else:
            return None
        workers[task.key] = made
        while len(workers) > KEPT_POLICIES:
            workers.popitem(last=False)
    workers.move_to_end(task.key)
    return workers[task.key]


def _named(policy: nn.Module, names: tuple[str, ...]) -> list[Tensor]:
    held = dict(policy.named_parameters())
    return [held[name] for name in names]
