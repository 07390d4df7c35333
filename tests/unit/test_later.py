"""Modules that are put off: not loaded by an import, and as good as loaded when they are wanted."""

from __future__ import annotations

import subprocess
import sys

PUT_OFF = "import sys; from alluxio_jnifuse.system.later import put_off; put_off('asyncio', 'json.tool')\n"


def said(program: str) -> list[str]:
    """The output of a program that puts some modules off."""
    done = subprocess.run(
        [sys.executable, "-c", PUT_OFF + program], capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_an_import_loads_nothing() -> None:
    """Of a module, and of a module of a package."""
    assert said("import asyncio, json; from json import tool; print('asyncio.events' in sys.modules)") == ["False"]


def test_the_first_name_that_is_wanted_loads_it() -> None:
    """The stand-in that was imported before works on; later imports find the real module."""
    program = (
        "import asyncio as before\n"
        "async def five(): return 5\n"
        "print(before.run(five()))\n"
        "import asyncio as after\n"
        "print(after is sys.modules['asyncio'], after.run is before.run, before is after)"
    )
    assert said(program) == ["5", "True", "True", "False"]


def test_other_ways_to_import_it() -> None:
    """One of its names, and a module within it."""
    assert said("from asyncio import run; print(run.__module__)") == ["asyncio.runners"]
    assert said("import asyncio.events; print(asyncio.events.get_event_loop.__name__)") == ["get_event_loop"]
    assert said("from json import tool; print(callable(tool.main))") == ["True"]


def test_a_name_that_it_does_not_have() -> None:
    """Is missing as usual."""
    assert said("import asyncio; print(hasattr(asyncio, 'nothing'), 'asyncio.events' in sys.modules)") == [
        "False",
        "True",
    ]


def test_a_module_that_is_loaded_stays() -> None:
    """It is too late."""
    assert said("import json as j; put_off('json'); import json; print(json is j)") == ["True"]


def test_many_threads_want_it_at_once() -> None:
    """Each gets it, from one import."""
    program = (
        "import asyncio, threading\n"
        "gate, found = threading.Barrier(8), []\n"
        "def want(): gate.wait(); found.append(asyncio.run)\n"
        "threads = [threading.Thread(target=want) for _ in range(8)]\n"
        "[each.start() for each in threads]; [each.join() for each in threads]\n"
        "print(len(found), len(set(found)))"
    )
    assert said(program) == ["8", "1"]


def test_grpc_works_with_asyncio() -> None:
    """The part of it that is put off can be used, in a process of ours that has loaded gRPC."""
    program = (
        "import alluxio_jnifuse.sources.alluxio.rpc.errors, grpc\n"
        "print('grpc.aio._channel' in sys.modules)\n"
        "import asyncio\n"
        "async def ask():\n"
        "    async with grpc.aio.insecure_channel('127.0.0.1:1') as channel:\n"
        "        try: await channel.unary_unary('/a/b')(b'')\n"
        "        except grpc.aio.AioRpcError as error: return error.code() is grpc.StatusCode.UNAVAILABLE\n"
        "print(asyncio.run(ask()))"
    )
    assert said(program) == ["False", "True"]
