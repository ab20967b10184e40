"""Foreign clients take a simulated phone for a phone: the adb command line, adbutils and adb-shell."""

from __future__ import annotations

import os
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import adbutils
import anyio
import pytest
from adb_shell.adb_device import AdbDeviceTcp
from adb_shell.auth.keygen import keygen
from adb_shell.auth.sign_cryptography import CryptographySigner
from adb_shell.exceptions import DeviceAuthError
from anyio import to_thread

from galaxy_core_adb.simulate.rig import Rig, phones

from .adb_asking import until

pytestmark = pytest.mark.anyio
T = TypeVar("T")


async def beside(work: Callable[[], T]) -> T:
    """Run blocking code while the phones, which live in this loop, go on."""
    return await to_thread.run_sync(work)


# ------------------------------------------------------------------------------------------------ the command line


async def adb(rig: Rig, *words: str, stdin: bytes = b"") -> tuple[int, bytes, bytes]:
    with anyio.fail_after(30):
        done = await rig.server.run("-s", rig[0].serial, *words, input=stdin)
    return done.returncode, done.stdout, done.stderr


async def test_the_command_line_runs_commands(rig: Rig) -> None:
    assert await adb(rig, "shell", "echo out; echo err >&2; exit 7") == (7, b"out\n", b"err\n")
    code, out, _ = await adb(rig, "shell", "-T", "cat", stdin=b"x" * 2_000_000)
    assert (code, len(out)) == (0, 2_000_000)
    assert await adb(rig, "exec-out", "printf 'a\\r\\n\\0b'") == (0, b"a\r\n\0b", b"")


async def test_the_command_line_copies_files_and_folders(rig: Rig, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / "big").write_bytes(os.urandom(3_000_000))
    (folder / "inner" / "né w").write_bytes(b"small")
    code, _, err = await adb(rig, "push", str(folder), "/sdcard/Download/")
    assert (code, b"2 files pushed" in err) == (0, True)
    code, _, err = await adb(rig, "pull", "/sdcard/Download/folder", str(tmp_path / "back"))
    assert (code, b"2 files pulled" in err) == (0, True)
    for name in ("big", "inner/né w"):
        assert (tmp_path / "back" / name).read_bytes() == (folder / name).read_bytes()
    code, _, err = await adb(rig, "pull", "/sdcard/none", str(tmp_path / "none"))
    assert (code, b"No such file or directory" in err) == (1, True)


async def test_the_command_line_hears_that_the_disk_is_full(rig: Rig, tmp_path: Path) -> None:
    rig[0].faults.free_bytes = 1000
    (tmp_path / "big").write_bytes(b"x" * 300_000)
    code, _, err = await adb(rig, "push", str(tmp_path / "big"), "/sdcard/big")
    assert (code, b"No space left on device" in err) == (1, True)


async def test_the_command_line_installs(rig: Rig, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "good.apk", "w") as archive:
        archive.writestr("AndroidManifest.xml", '<manifest package="com.example.app"/>')
    (tmp_path / "bad.apk").write_bytes(b"no apk")
    code, out, _ = await adb(rig, "install", str(tmp_path / "good.apk"))
    assert (code, out.splitlines()[-1]) == (0, b"Success")
    assert "com.example.app" in rig[0].packages
    code, _, err = await adb(rig, "install", str(tmp_path / "bad.apk"))
    assert (code, b"Failure [INSTALL_PARSE_FAILED_NOT_APK" in err) == (1, True)
    assert (await adb(rig, "uninstall", "com.example.app"))[:2] == (0, b"Success\n")


async def test_the_command_line_reads_the_log(rig: Rig) -> None:
    rig[0].log.add("tag", "hello")
    code, out, _ = await adb(rig, "logcat", "-d")
    assert (code, b"tag: hello" in out) == (0, True)


class Echo:
    """A service on a port of this machine that sends back one piece."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]

    def serve_one(self) -> None:
        with self.socket, self.socket.accept()[0] as client:
            client.sendall(b"echo " + client.recv(100))


def say(port: int, what: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(what)
        answer = b""
        while piece := client.recv(100):
            answer += piece
        return answer


async def test_the_command_line_forwards_a_port_to_the_phone(rig: Rig) -> None:
    echo = Echo()
    code, out, _ = await adb(rig, "forward", "tcp:0", f"tcp:{echo.port}")
    assert code == 0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(to_thread.run_sync, echo.serve_one)
        assert await beside(lambda: say(int(out), b"one")) == b"echo one"
    assert (await adb(rig, "forward", "--remove", f"tcp:{int(out)}"))[0] == 0


async def test_the_command_line_leads_a_port_of_the_phone_back(rig: Rig) -> None:
    echo = Echo()
    code, out, err = await adb(rig, "reverse", "tcp:0", f"tcp:{echo.port}")
    assert code == 0, err
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(to_thread.run_sync, echo.serve_one)
        assert await beside(lambda: say(int(out), b"two")) == b"echo two"
    code, listed, _ = await adb(rig, "reverse", "--list")
    assert listed.strip() == f"host tcp:{int(out)} tcp:{echo.port}".encode()
    assert (await adb(rig, "reverse", "--remove-all"))[0] == 0
    assert (await adb(rig, "reverse", "--list"))[1].strip() == b""
    assert (await adb(rig, "reverse", "--remove", "tcp:1"))[0] == 1


async def test_the_command_line_reboots(rig: Rig) -> None:
    before = set(rig[0].links)
    assert (await adb(rig, "reboot"))[0] == 0
    await until(lambda: any(link.online for link in rig[0].links - before))
    await rig.server.until({rig[0].serial: "device"})
    assert await adb(rig, "shell", "echo back") == (0, b"back\n", b"")


async def test_the_command_line_lists_what_the_phone_says_of_itself(rig: Rig) -> None:
    listed = (await rig.server.run("devices", "-l")).stdout.decode()
    assert f"{rig[0].serial}" in listed
    assert "product:sim model:Simulated_Phone device:sim" in listed
    assert b"shell_v2" in (await adb(rig, "features"))[1]


# --------------------------------------------------------------------------------------------------------- adbutils


async def test_adbutils_runs_commands_and_copies_files(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "it").write_bytes(os.urandom(200_000))

    def work() -> None:
        device: Any = adbutils.AdbClient("127.0.0.1", rig.port).device(rig[0].serial)
        done = device.shell2("echo out; echo err >&2; exit 3", v2=True)
        assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")
        assert device.getprop("ro.product.model") == "Simulated Phone"
        assert tuple(device.window_size()) == (1080, 2400)
        device.sync.push(str(tmp_path / "it"), "/sdcard/it")
        assert device.sync.stat("/sdcard/it").size == 200_000
        assert device.sync.read_bytes("/sdcard/it") == (tmp_path / "it").read_bytes()
        assert {entry.path for entry in device.sync.list("/sdcard")} >= {"it", "Download"}
        assert device.screenshot().size == (1080, 2400)

    await beside(work)


# ------------------------------------------------------------------------------------------- adb-shell, without a server


@pytest.fixture
def signer(tmp_path: Path) -> CryptographySigner:
    keygen(str(tmp_path / "key"))
    return CryptographySigner(str(tmp_path / "key"))


async def test_adb_shell_talks_to_the_phone_itself(rig: Rig, signer: CryptographySigner, tmp_path: Path) -> None:
    phone = rig[0]
    (tmp_path / "it").write_bytes(os.urandom(300_000))

    def work() -> None:
        for known in (False, True):
            device: Any = AdbDeviceTcp("127.0.0.1", phone.port, 10)
            assert device.connect(rsa_keys=[signer], auth_timeout_s=5) is True, f"known: {known}"
            assert device.shell("echo out; exit 3") == "out\n"
            assert len(device.shell("head -c 500000 /dev/zero | tr '\\0' x")) == 500_000
            device.push(str(tmp_path / "it"), "/sdcard/it")
            assert device.stat("/sdcard/it")[1] == 300_000
            device.pull("/sdcard/it", str(tmp_path / "back"))
            assert (tmp_path / "back").read_bytes() == (tmp_path / "it").read_bytes()
            assert b"Download" in {bytes(entry.filename) for entry in device.list("/sdcard")}
            device.close()

    await beside(work)
    assert len(phone.keys) == 2, "that of the server, and this one"


async def test_a_signature_of_another_key_is_not_taken(signer: CryptographySigner, tmp_path: Path) -> None:
    async with phones(1, authentication="refuses", connect=False) as rig:

        def work() -> None:
            device: Any = AdbDeviceTcp("127.0.0.1", rig[0].port, 10)
            with pytest.raises((DeviceAuthError, TimeoutError, OSError, Exception), match=r"(?i)time"):
                device.connect(rsa_keys=[signer], auth_timeout_s=0.3)
            device.close()

        await beside(work)
        assert not rig[0].keys


async def test_an_open_phone_wants_no_key(anyio_backend: object) -> None:
    async with phones(1, authentication="open", connect=False) as rig:

        def work() -> str:
            device: Any = AdbDeviceTcp("127.0.0.1", rig[0].port, 10)
            device.connect()
            said: str = device.shell("echo hello")
            device.close()
            return said

        assert await beside(work) == "hello\n"
