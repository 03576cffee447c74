"""A server on loopback in the place of somebody else's: it answers, refuses or hangs, and remembers what it was asked."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: str


Answer = Callable[[Request], tuple[int, Any]]
"""Status and body of an answer: text, or what JSON is made of."""


@dataclass(slots=True)
class Somebody:
    url: str
    requests: list[Request] = field(default_factory=list)

    @property
    def sent(self) -> Any:
        """The JSON of the only request."""
        [one] = self.requests
        return json.loads(one.body)


@contextmanager
def answering(answer: Answer | None) -> Iterator[Somebody]:
    """None: it accepts a request, and never answers."""
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            request = Request(self.command, self.path, {key.lower(): word for key, word in self.headers.items()}, body)
            somebody.requests.append(request)
            if answer is None:
                self.close_connection = ended.wait(300)
                return
            status, said = answer(request)
            text = said if isinstance(said, str) else json.dumps(said)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_PUT = do_PATCH = serve  # noqa: N815 (as http.server calls them)

        def log_message(self, *words: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        somebody = Somebody(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield somebody
        finally:
            ended.set()
            server.shutdown()
            thread.join()
