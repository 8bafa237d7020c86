"""A proxy on loopback before an HTTP server, that does to chosen requests what networks do."""

import http.client
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "expect"})
CODES = {429: "TooManyRequests", 500: "InternalError", 503: "SlowDown"}


class Fault(Enum):
    """What becomes of a request. The first four never reach the server, the others do."""

    UNAVAILABLE = "answered with 503"
    THROTTLED = "answered with 429"
    STALLED = "never answered"
    RESET = "the connection is reset"
    CUT = "half of the answer's body, and the connection is closed"
    STALLED_BODY = "half of the answer's body, and nothing more"
    DONE_AND_500 = "done, and answered with 500"
    DONE_AND_CLOSED = "done, and the connection is closed without an answer"


@dataclass(frozen=True, slots=True)
class Request:
    """What a rule decides by."""

    number: int
    """0 and up, in the order of arrival at the proxy, since the rule was set."""
    method: str
    path: str
    """With its query."""


Rule = Callable[[Request], Fault | None]


class Proxy(ThreadingHTTPServer):
    """Passes requests on to `port` of this machine, `rule` willing. Host headers pass as they are,
    so that signatures hold.
    """

    daemon_threads = True  # one may be in a stall when the proxy closes

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port = port
        self.released = threading.Event()
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self.set_rule(lambda request: None)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def set_rule(self, rule: Rule) -> None:
        """`rule` decides from now on; `seen` begins anew."""
        with self._lock:
            self._rule = rule
            self.seen: list[tuple[Request, Fault | None]] = []

    def count(self, method: str) -> int:
        """Requests of `method` that were seen."""
        return sum(request.method == method for request, _ in self.seen)

    def fate(self, method: str, path: str) -> Fault | None:
        with self._lock:
            request = Request(len(self.seen), method, path)
            fault = self._rule(request)
            self.seen.append((request, fault))
            return fault

    def process_request(self, request: socket.socket, client_address: object) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that gave up is what is tested here."""

    def close_all(self) -> None:
        """Whoever waits for an answer gets a closed connection."""
        self.released.set()
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxy_to(port: int) -> Iterator[Proxy]:
    """A proxy before `port` of this machine, gone afterwards."""
    with Proxy(port) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            proxy.close_all()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Proxy

    def handle_request(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Transfer-Encoding"):
            raise NotImplementedError("a request of unknown length")
        fault = self.server.fate(self.command, self.path)
        if fault is Fault.UNAVAILABLE:
            self.refuse(503)
        elif fault is Fault.THROTTLED:
            self.refuse(429)
        elif fault is Fault.STALLED:
            self.server.released.wait()
            self.close_connection = True
        elif fault is Fault.RESET:
            self.reset()
        else:
            self.pass_on(body, fault)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_request

    def pass_on(self, body: bytes, fault: Fault | None) -> None:
        with closing(
            http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        ) as server:
            server.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in HOP_BY_HOP:
                    server.putheader(name, value)
            server.endheaders(body or None)
            answer = server.getresponse()
            data = answer.read()
        if fault is Fault.DONE_AND_500:
            self.refuse(500)
        elif fault is Fault.DONE_AND_CLOSED:
            self.close_connection = True
        else:
            self.answer(answer, data, fault)

    def answer(self, answer: http.client.HTTPResponse, data: bytes, fault: Fault | None) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in HOP_BY_HOP | {"content-length"}:
                self.send_header(name, value)
        length = len(data)
        if self.command == "HEAD":
            length = int(answer.getheader("Content-Length", "0"))
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if fault is None or not data:
            self.wfile.write(data)
            return
        self.wfile.write(data[: len(data) // 2])
        self.wfile.flush()
        if fault is Fault.STALLED_BODY:
            self.server.released.wait()
        self.close_connection = True

    def refuse(self, status: int) -> None:
        data = (
            '<?xml version="1.0" encoding="UTF-8"?>'
            f"<Error><Code>{CODES[status]}</Code><Message>injected</Message></Error>"
        ).encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def reset(self) -> None:
        """Closing with nothing lingering sends an RST."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def log_message(self, format: str, *values: object) -> None:
        """Silence."""
