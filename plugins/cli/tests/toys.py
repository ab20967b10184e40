"""The source of a plugin that simulates toys, for tests of `galaxy simulate`."""

#: Devices that are this machine: `robot` works, `wreck` cannot be started, and so on.
TOYS = """
    import os
    import subprocess
    import sys
    from contextlib import asynccontextmanager
    from pathlib import Path
    import anyio
    from galaxy_core import Device, SecretRef, SimulatorError, hookimpl

    class Robot:
        name = "robot"

        @asynccontextmanager
        async def simulate(self, count, folder):
            (folder / "token").touch(0o600)
            (folder / "token").write_text("sesame-sesame")
            settings = {"root": folder, "env": {"TOKEN": SecretRef(file=str(folder / "token"))}}
            with anyio.CancelScope(shield=True):
                devices = [Device(f"robot-{n}", "local", settings, None, ["toy"], {"on": "yes"}, 2) for n in range(count)]
            try:
                yield devices
            finally:
                assert (folder / "token").exists()  # it is not taken away before its owner has ended
                Path(os.environ["ENDED"]).touch()

    class Wreck:
        name = "wreck"

        @asynccontextmanager
        async def simulate(self, count, folder):
            raise SimulatorError("wreck", "it needs a crane; install one")
            yield

    class Bug:
        name = "bug"

        @asynccontextmanager
        async def simulate(self, count, folder):
            async with anyio.create_task_group():
                raise KeyError("oops")
            yield

    class Twin:
        name = "twin"

        @asynccontextmanager
        async def simulate(self, count, folder):
            yield [Device("robot-0")]

    class Liar:
        name = "liar"

        @asynccontextmanager
        async def simulate(self, count, folder):
            yield [Device("lie", "no such transport")]

    class Mortal:
        name = "mortal"

        @asynccontextmanager
        async def simulate(self, count, folder):
            async def die():
                await anyio.Path(os.environ["DIE"]).read_text()
                raise RuntimeError("it fell over")

            async with anyio.create_task_group() as group:
                group.start_soon(die)
                yield [Device("mortal")]
                group.cancel_scope.cancel()

    class Vandal:
        name = "vandal"

        @asynccontextmanager
        async def simulate(self, count, folder):
            Path("simulated.yaml").write_text("mine")
            async with anyio.create_task_group():
                yield [Device("vandal")]

    class Slow:
        name = "slow"

        @asynccontextmanager
        async def simulate(self, count, folder):
            try:
                await anyio.sleep_forever()
            finally:
                Path(os.environ["ENDED"]).touch()
            yield

    class Stubborn:
        name = "stubborn"

        @asynccontextmanager
        async def simulate(self, count, folder):
            yield [Device("mule")]
            with anyio.CancelScope(shield=True):
                await anyio.sleep_forever()

    class Parent:
        name = "parent"

        @asynccontextmanager
        async def simulate(self, count, folder):
            # A child that leaves its parents, their session and its environment.
            program = "import os, time; os.fork() and os._exit(0); os.setsid(); print(os.getpid(), flush=True); time.sleep(3600)"
            words = ["/usr/bin/env", "-i", sys.executable, "-c", program]
            child = subprocess.Popen(words, stdout=subprocess.PIPE, start_new_session=True)
            Path(os.environ["CHILD"]).write_bytes(child.stdout.readline())
            child.wait()
            child.stdout.close()
            yield [Device("parent")]

    @hookimpl
    def galaxy_simulators():
        return [Robot(), Wreck(), Bug(), Twin(), Liar(), Mortal(), Vandal(), Slow(), Stubborn(), Parent()]
"""
