"""How next steps leave: each as a publish of its own, or dispatches together where a processor asks for it.

Dispatches that are ready together go together. A message that is not full waits only while other batches of
the pipeline are about to bring more, and no longer than its processor allows: at low load nothing waits.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from worker.amqp.lane import Confirmation, Lane, Unknown
from worker.lines import Bounds
from worker.planning import Dispatch
from worker.routing import Batch, Processor
from worker.sending import Sending, tracestate_of
from worker.work import ToProcessor, Work

_Way: TypeAlias = tuple[str, str, int | None, str | None]
"""What dispatches of one message have in common: exchange, routing key, priority, tracestate."""


@dataclass(slots=True)
class _Group:
    """Dispatches for one message; ``answer`` is the broker's word for all of them."""

    answer: "asyncio.Future[Confirmation]"
    works: list[Work] = field(default_factory=list)
    size: int = 0
    timer: asyncio.TimerHandle | None = None


@dataclass(slots=True)
class Departures:
    """Sends next steps over a lane. ``bounds`` are what a worker reads if a message is given back.

    ``start`` runs what leaves when its time is over.
    """

    lane: Lane
    sending: Sending
    now: Callable[[], datetime]
    bounds: Bounds
    start: Callable[[Coroutine[Any, Any, None]], object]
    _wishes: dict[str, Batch] = field(default_factory=dict)
    _open: dict[_Way, _Group] = field(default_factory=dict)
    _coming: int = 0

    def use(self, processors: Iterable[Processor]) -> None:
        """Send from now on as these processors wish."""
        self._wishes = {one.name: one.batch for one in processors if one.batch is not None}

    @contextmanager
    def more_coming(self) -> Iterator[None]:
        """Say for the block that more is about to be sent."""
        self._coming += 1
        try:
            yield
        finally:
            self._coming -= 1

    async def send(self, works: Sequence[Work]) -> Sequence[Confirmation]:
        """Publish each payment's next step, and return what became of it, in the same order."""
        if not self._wishes:
            return await self._depart(works, ())
        due: list[_Group] = []
        groups = [self._join(work, due) for work in works]
        if not self._coming:
            due += [self._close(way) for way in list(self._open)]
        alone = [work for work, group in zip(works, groups, strict=True) if group is None]
        answers = iter(await self._depart(alone, due))
        if waiting := {group.answer for group in groups if group is not None and not group.answer.done()}:
            await asyncio.wait(waiting)
        return [next(answers) if group is None else group.answer.result() for group in groups]

    def _join(self, work: Work, due: list[_Group]) -> _Group | None:
        """Add a dispatch to the message it may travel in, None where it travels alone; full ones are due."""
        step = work.step
        if not isinstance(step, ToProcessor):
            return None
        dispatch = work.prepare(step.candidate)
        wish = self._wishes.get(dispatch.processor)
        if wish is None or not self._is_line(work, dispatch):
            return None
        way = (dispatch.exchange, dispatch.routing_key, dispatch.priority, tracestate_of(work))
        size = len(dispatch.body) + 1
        group = self._open.get(way)
        if group is not None and group.size + size > self.bounds.max_bytes:
            due.append(self._close(way))
            group = None
        if group is None:
            group = self._open[way] = _Group(asyncio.get_running_loop().create_future())
            group.timer = asyncio.get_running_loop().call_later(wish.max_wait_ms / 1000, self._time_over, way)
        group.works.append(work)
        group.size += size
        if len(group.works) >= min(wish.max_payments, self.bounds.max_lines):
            due.append(self._close(way))
        return group

    def _is_line(self, work: Work, dispatch: Dispatch) -> bool:
        """Whether a dispatch can be a line: it needs no headers of its own, is short, and has no lines."""
        first = work.arrival.attempt == 1 and not work.has_past
        return first and len(dispatch.body) < self.bounds.max_bytes and b"\n" not in dispatch.body

    def _close(self, way: _Way) -> _Group:
        group = self._open.pop(way)
        if group.timer is not None:
            group.timer.cancel()
        return group

    def _time_over(self, way: _Way) -> None:
        group = self._close(way)
        self.start(self._leave(group))

    async def _leave(self, group: _Group) -> None:
        await self._depart((), (group,))

    async def _depart(self, alone: Sequence[Work], groups: Sequence[_Group]) -> Sequence[Confirmation]:
        """Publish, and return the answers for those that go alone; groups are given theirs."""
        now = self.now()
        try:
            outgoing = [self.sending.outgoing(work, now) for work in alone]
            outgoing += [self.sending.together(group.works, now) for group in groups]
            confirmations = await self.lane.send(outgoing)
            for group, confirmation in zip(groups, confirmations[len(alone) :], strict=True):
                group.answer.set_result(confirmation)
        finally:
            for group in groups:
                if not group.answer.done():
                    group.answer.set_result(Unknown("the publish was cut off"))
        return confirmations[: len(alone)]
