"""`python -m tests.crash.cancelled --seeds 50`: recorded runs that are cancelled from outside, at every step that any task takes.

A life begins a run, or goes on with one that an earlier life has left in its middle, with edits, retries and faults of devices;
in a third kind it is paused, let go on and stopped meanwhile. At the fatal step, what waits for the run is cancelled, and
nothing else: this process goes on, and must have nothing of the run left. Then another life resumes, if anything is left to do.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Literal

import anyio
from attrs import frozen

from galaxy_core import Effect, GalaxyError, TaskConstellationOrchestrator
from galaxy_core.errors import ResumeError
from tests.crash.far import Life
from tests.crash.simulated import RUN, Lives, without_threads
from tests.crash.stepping import Steps, run_in_steps
from tests.properties.loops import run_steadily

Kind = Literal["run", "resume", "steered"]
KINDS: tuple[Kind, ...] = ("run", "resume", "steered")
#: Virtual seconds after which a life has to be over.
HORIZON_S = 3000.0


@frozen
class Found:
    """What is wrong when a life is cancelled at step `fatal`, of `steps` that it took."""

    seed: int
    backend: str
    kind: Kind
    fatal: int
    steps: int
    problems: tuple[str, ...]
    story: tuple[str, ...]

    def __str__(self) -> str:
        return "\n  ".join(
            [f"seed {self.seed} on {self.backend}, {self.kind}, cancelled at step {self.fatal}:", *self.problems]
        )


class Cancelled(Lives):
    """The lives of one run, of which one is cancelled."""

    def __init__(self, seed: int, backend: str, kind: Kind, fatal: int) -> None:
        super().__init__(seed, backend)
        self.kind, self.steps = kind, Steps(fatal)
        self.world.is_calm = kind == "steered"

    def play_and_cancel(self) -> Found:
        """A life that crashes, of the kind "resume"; the one that is cancelled; and the last one."""
        seed, number, base_s = self.seed * 10, 0, 0.0
        if self.kind == "resume":
            life = Life(0, 0.0)
            run_steadily(self.backend, seed, self.live, life, 0.3 + 1.5 * self.random.random())
            life.is_dead, number, base_s = True, 1, 2.0
        if not self._is_over():
            run_in_steps(self.backend, seed + number, self.steps, self.be_cancelled, Life(number, base_s))
        self.world.is_calm = True
        if not self.world.problems:
            run_steadily(self.backend, seed + 9, self.go_on, Life(9, base_s + 5000.0))
        return Found(
            self.seed,
            self.backend,
            self.kind,
            self.steps.fatal,
            self.steps.count,
            tuple(self.world.problems),
            tuple(self.world.story),
        )

    async def be_cancelled(self, life: Life) -> None:
        """The life whose run is cancelled; it goes on to its own end."""
        async with self.house(life) as (orchestrator, synchronizer), anyio.create_task_group() as others:
            with anyio.CancelScope() as scope:
                others.start_soon(self.edit, life, orchestrator, synchronizer)
                if self.kind == "steered":
                    others.start_soon(self.steer, orchestrator)
                self.steps.watch(scope)
                try:
                    status = await self.begin(life, orchestrator)
                    self.world.note(life, f"it ended {status}")
                except GalaxyError as error:
                    self.world.problem(life, f"it broke: {error!r}")
                finally:
                    self.steps.rest()
            if scope.cancelled_caught:
                self.world.note(life, f"CANCELLED at step {self.steps.count}")
            others.cancel_scope.cancel()
            self._look(life, orchestrator)
        if self.world.sessions:
            self.world.problem(life, f"{self.world.sessions} sessions are left")
        self._look_for_tasks(life)
        self.judge(life, "cancelled")

    def _look(self, life: Life, orchestrator: TaskConstellationOrchestrator) -> None:
        """What may not be left of a run while its process goes on."""
        problem, book = self.world.problem, orchestrator._manager.lanes()
        if self.disk.writer is not None or self.disk.in_flight:
            problem(life, "its journal is still open")
        if orchestrator.runs() or orchestrator._starting:
            problem(life, "it is still counted among the runs")
        for name, lane in book.lanes.items():
            if lane.free != lane.device.max_concurrency or lane.waiting() or lane.assigned:
                problem(life, f"device {name}: {lane.free} slots free, {lane.waiting()} wait, {lane.assigned} assigned")
        if book.runs or book.hungry:
            problem(life, "its lanes still know the run")
        if self._is_over():
            tasks = self.replay().document()["tasks"]
            for work in self.world.works.values():
                status, effect = tasks[work.task_id]["status"], self.world.effects[work.task_id]
                # What may run again, and was begun by a process that died or over a link that broke, may be at work anywhere.
                is_known = status != "unknown" and (
                    effect is Effect.ONCE or work.mark not in self.world.lost | self.world.left
                )
                if is_known and work.is_running(life.now() + 1e-6):  # sums of floats
                    problem(life, f"{work.task_id} is {status}, and still at work as {work.mark}")

    def _look_for_tasks(self, life: Life) -> None:
        if self.backend == "asyncio":
            left = asyncio.all_tasks() - {asyncio.current_task()}
            if left:
                self.world.problem(life, f"tasks are left: {left}")

    async def steer(self, orchestrator: TaskConstellationOrchestrator) -> None:
        """Pause it, let it go on, and stop it, at any time."""
        random = self.random
        for _ in range(3):
            await anyio.sleep(random.choice((0.0, 0.01, 0.3)))
            orchestrator.pause(RUN, "me")
            await anyio.sleep(random.choice((0.0, 0.01, 0.3)))
            orchestrator.proceed(RUN, "me")
        await orchestrator.stop(RUN, "me")

    async def go_on(self, life: Life) -> None:
        """The last life: nothing goes wrong in it, and it brings to its end what is left to do."""
        was_over = self._is_over()
        with anyio.fail_after(HORIZON_S):
            async with self.house(life) as (orchestrator, _):
                try:
                    status = await self.begin(life, orchestrator)
                except ResumeError as error:
                    if not was_over:
                        raise
                    self.world.note(life, f"it is refused: {error}")
                    status = "cancelled"
                else:
                    if was_over:
                        self.world.problem(life, f"what was over went on, to {status}")
        self.judge(life, status)
        if not self.world.problems:
            self.judge_end(status)


def cancel(seed: int, backend: str, kind: Kind, fatal: int) -> Found:
    """Cancel it there, and see what comes of it."""
    with without_threads(backend):
        try:
            return Cancelled(seed, backend, kind, fatal).play_and_cancel()
        except BaseException as error:
            raise AssertionError(f"seed {seed} on {backend}, {kind}, cancelled at step {fatal}: {error!r}") from error


def at_every_step(seed: int, backend: str, kind: Kind, stride: int = 1) -> tuple[int, list[Found]]:
    """How many steps it takes when nobody cancels it, and what is wrong when somebody does, at every `stride`-th."""
    whole = cancel(seed, backend, kind, 0)
    wrong = [whole] if whole.problems else []
    for fatal in range(1 + seed % stride, whole.steps + 1, stride):
        found = cancel(seed, backend, kind, fatal)
        if found.problems:
            wrong.append(found)
    return whole.steps, wrong


def _told(seed: int, backend: str, kind: Kind, stride: int) -> tuple[int, list[str]]:
    try:
        steps, wrong = at_every_step(seed, backend, kind, stride)
    except AssertionError as error:
        return 0, [str(error)]
    return steps, [str(one) for one in wrong]


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.cancelled", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="how many")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first one")
    parser.add_argument("--stride", type=int, default=1, help="of so many steps one")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    options = parser.parse_args()
    began, steps, bad = time.monotonic(), 0, 0
    seeds = range(options.first, options.first + options.seeds)
    cases: list[tuple[Any, ...]] = [
        (seed, backend, kind, options.stride) for seed in seeds for backend in ("asyncio", "trio") for kind in KINDS
    ]
    with ProcessPoolExecutor(options.jobs) as pool:
        for more, wrong in pool.map(_told, *zip(*cases, strict=True)):
            steps, bad = steps + more, bad + len(wrong)
            for text in wrong[:3]:
                sys.stdout.write(text[:1500] + "\n")
    took_s = time.monotonic() - began
    sys.stdout.write(f"{len(cases)} runs of {steps} steps in {took_s:.0f} s: {bad} cancellations were wrong\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
