"""A scripted LLM host, steered from the test, with a ledger of all it saw. What it says is in `answers.py`.

Why not a mock inside the client: what is tested is the wire between aifd and a host, so this is a real
HTTP/1.1 server (asyncio, in a thread of its own).
The trap: a test that wants to see events one by one must hold the host back, not sleep. The model `gated`
sends an event only after `upstream.step()`; `lingers` says `[DONE]` and then waits before it ends the answer.
"""

import asyncio
import concurrent.futures
import dataclasses
import json
import threading

import answers


@dataclasses.dataclass
class Call:
    """One request as the host saw it, and how it ended: "done" or "client left"."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    sent: bytearray = dataclasses.field(default_factory=bytearray)
    ended: concurrent.futures.Future = dataclasses.field(default_factory=concurrent.futures.Future)

    def header(self, name):
        """The values of one header, in their order."""
        return [value for key, value in self.headers if key == name]

    def json(self):
        """The body, read."""
        return json.loads(self.body)


class ClientLeft(Exception):
    """The other side has closed the connection."""


class Wire(asyncio.StreamReaderProtocol):
    """A connection that knows at once when its peer has gone, whatever the server is doing."""

    def __init__(self, serve):
        self.gone = asyncio.Event()
        super().__init__(asyncio.StreamReader(limit=1 << 20), lambda r, w: serve(r, w, self.gone))

    def eof_received(self):
        self.gone.set()
        return super().eof_received()

    def connection_lost(self, exc):
        self.gone.set()
        super().connection_lost(exc)


class Upstream:
    """The host. `calls` is its ledger; `step()` lets one more event of a gated answer go."""

    def __init__(self, key):
        self.key, self.calls = key, []
        self._loop = asyncio.new_event_loop()
        self._arrived = threading.Condition()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._run(self._listen())
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self):
        """Closes the listener and every connection."""
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def step(self, events=1):
        """Lets so many more events go."""
        for _ in range(events):
            self._loop.call_soon_threadsafe(self._gate.release)

    def clear(self):
        """Forgets the calls and closes the gate: a test begins."""
        self._run(self._reset())
        self.calls.clear()

    def wait(self, count=1, timeout=10):
        """Waits until so many calls have arrived; the last of them."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.calls) >= count, timeout), f"no call {count}"
            return self.calls[count - 1]

    async def respond(self, call, answer):
        """What it says to a call; other hosts say other things."""
        await answers.respond(self.key, call, answer)

    def _run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)

    async def _reset(self):
        self._gate = asyncio.Semaphore(0)

    async def _listen(self):
        await self._reset()
        return await self._loop.create_server(lambda: Wire(self._serve), "127.0.0.1", 0)

    async def _close(self):
        self._server.close()
        mine = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in mine:
            task.cancel()
        await asyncio.gather(*mine, return_exceptions=True)

    async def _serve(self, reader, writer, gone):
        try:
            while (call := await read_call(reader)) is not None:
                with self._arrived:
                    self.calls.append(call)
                    self._arrived.notify_all()
                answer = Answer(call, writer, gone, self._gate)
                try:
                    await self.respond(call, answer)
                    call.ended.set_result("done")
                except (ClientLeft, ConnectionError):
                    call.ended.set_result("client left")
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def read_call(reader):
    """Reads one request, whole; None when the connection ends between two."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, _, rest = head.decode("latin-1").partition("\r\n")
    method, path, _ = first.split(" ")
    pairs = [line.split(":", 1) for line in rest.split("\r\n") if line]
    headers = [(name.lower(), value.strip()) for name, value in pairs]
    call = Call(method, path, headers, b"")
    if "chunked" in call.header("transfer-encoding"):
        call.body = await read_chunks(reader)
    elif length := call.header("content-length"):
        call.body = await reader.readexactly(int(length[0]))
    return call


async def read_chunks(reader):
    """The body of a chunked request."""
    body = bytearray()
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readuntil(b"\r\n")
    return bytes(body)


class Answer:
    """Writes one answer, and notes in the ledger what was written."""

    def __init__(self, call, writer, gone, gate):
        self.call, self.writer, self.gone, self.gate = call, writer, gone, gate

    async def whole(self, status, body, kind="application/json", headers=()):
        """An answer with a length."""
        if not isinstance(body, bytes):
            body = json.dumps(body, ensure_ascii=False).encode()
        self.call.sent += body  # before the write: who has read the answer may look at the ledger at once
        self._head(status, kind, [*headers, ("content-length", str(len(body)))])
        self.writer.write(body)
        await self.writer.drain()

    async def stream(self, pieces, headers=(), gated=False, lingers=False):
        """A chunked event stream, one write a piece; gated, each piece waits for its step; lingering, the end does."""
        self._head(200, "text/event-stream; charset=utf-8", [*headers, ("transfer-encoding", "chunked")])
        await self.writer.drain()
        for piece in pieces:
            if gated:
                await self.permit()
            self.call.sent += piece
            self.writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await self.writer.drain()
            if self.gone.is_set():
                raise ClientLeft
        if lingers:
            await self.permit()
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()

    async def permit(self):
        """Waits for `step()`, or for the client to go."""
        waits = [asyncio.ensure_future(self.gate.acquire()), asyncio.ensure_future(self.gone.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if self.gone.is_set():
            raise ClientLeft

    def _head(self, status, kind, headers):
        lines = [f"HTTP/1.1 {status} Scripted", f"content-type: {kind}"]
        lines += [f"{name}: {value}" for name, value in headers]
        self.writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
