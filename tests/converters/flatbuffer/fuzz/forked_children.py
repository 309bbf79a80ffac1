"""Child processes that are forks of one process, which has imported their modules: half a second less for each.

    with ForkedChildren("converters.runtime.isolated", "converters.runtime.model") as children:
        process = children.start(child_command("converters.runtime.isolated", "int4.tflite", ...), stdin=..., ...)

A child runs the function `main` of its module as `python` would: with its own standard streams and arguments, and an
exit status of 1 and a traceback after an exception.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import IO, Any

_REQUEST = 1 << 16  # bytes


class ForkedChild:
    """The part of `subprocess.Popen` that its users need, of a process that is another one's child."""

    def __init__(self, connection: socket.socket, stdin: IO[bytes], stdout: IO[bytes]) -> None:
        self.stdin, self.stdout = stdin, stdout
        self._connection = connection
        self._pid = int(connection.recv(_REQUEST))
        self._status: int | None = None

    def kill(self) -> None:
        if self._status is None:
            os.kill(self._pid, signal.SIGKILL)  # the server has not collected its status, so the number is its own

    def wait(self) -> int:
        if self._status is None:
            self._connection.send(b"collect")
            self._status = int(self._connection.recv(_REQUEST))
            self._connection.close()
        return self._status


class ForkedChildren:
    """A context manager that starts children in the way of `subprocess.Popen`.

    Args:
      modules: what the process imports of which they are forks.
    """

    def __init__(self, *modules: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.bind(f"\0forked_children_{os.getpid()}_{id(self)}")  # the kernel's own namespace
        self._socket.listen()
        command = [sys.executable, "-m", __name__, str(self._socket.fileno()), *modules]
        self._server = subprocess.Popen(command, pass_fds=[self._socket.fileno()])

    def __enter__(self) -> ForkedChildren:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._socket.close()
        self._server.kill()
        self._server.wait()

    def start(self, command: list[str], stdin: int, stdout: int, stderr: IO[bytes]) -> Any:
        """Starts a command of `child_command`, with pipes as its standard input and output."""
        assert stdin == stdout == subprocess.PIPE
        module, *arguments = command[4:]  # behind Python, -c, the program and the folders of modules
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.connect(self._socket.getsockname())
        (requests, ours), (theirs, answers) = os.pipe(), os.pipe()
        request = json.dumps([module, str(Path.cwd()), arguments]).encode()
        socket.send_fds(connection, [request], [requests, answers, stderr.fileno()])
        os.close(requests)
        os.close(answers)
        return ForkedChild(connection, os.fdopen(ours, "wb"), os.fdopen(theirs, "rb"))


def _serve(connection: socket.socket) -> None:
    """Starts one child, and answers with its number and, when asked, its exit status."""
    request, streams, *_ = socket.recv_fds(connection, _REQUEST, 3)
    child = os.fork()
    if child == 0:
        connection.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.closerange(3, max(streams) + 1)
        module, folder, arguments = json.loads(request)
        os.chdir(folder)
        sys.argv[1:] = arguments
        try:
            importlib.import_module(module).main()
        except SystemExit as end:
            os._exit(int(end.code or 0))
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)
    for stream in streams:
        os.close(stream)
    connection.send(str(child).encode())
    if not connection.recv(_REQUEST):  # nobody asks any more
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    connection.send(str(status).encode())


def main() -> None:
    number, *modules = sys.argv[1:]
    for module in modules:
        importlib.import_module(module)
    listener = socket.socket(fileno=int(number))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system forgets processes that end
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            try:
                _serve(connection)
            finally:
                os._exit(0)
        connection.close()


if __name__ == "__main__":
    main()
