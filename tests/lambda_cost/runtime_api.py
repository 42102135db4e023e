"""A Lambda Runtime API for one process, and an SNS that takes every message.

It speaks just enough HTTP over bare sockets, and reads the clock beside the system calls: what a server of the standard
library does before it calls its handler would count as the function's latency.
"""

import queue
import socket
import threading
import time

PUBLISHED = (
    b"<PublishResponse xmlns='http://sns.amazonaws.com/doc/2010-03-31/'><PublishResult><MessageId>1</MessageId>"
    b"</PublishResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></PublishResponse>"
)


class RuntimeApi:
    def __init__(self):
        self._polls, self._events, self._answers = queue.Queue(), queue.Queue(), queue.Queue()
        self.published = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def wait_for_poll(self):
        """When the process asked for work."""
        return self._polls.get(timeout=60)

    def invoke(self, event):
        """Milliseconds from the event's departure to the answer's arrival, and the answer; then waits for the next poll."""
        self._events.put(event)
        sent, answered, path, body = self._answers.get(timeout=60)
        self.wait_for_poll()
        if not path.endswith("/response"):
            raise RuntimeError(f"the function failed: {body.decode()}")
        return (answered - sent) * 1000, body

    def close(self):
        self._events.put(None)
        self._listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            with connection:
                while (request := read_request(connection)) is not None:
                    if not self._answer(connection, *request):
                        return
        except OSError:
            # the process was ended
            pass

    def _answer(self, connection, arrived, method, path, body):
        if method == "GET":
            self._polls.put(arrived)
            event = self._events.get()
            if event is None:
                return False
            head = (
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                "Lambda-Runtime-Aws-Request-Id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n"
                "Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:123456789012:function:f\r\n"
                f"Lambda-Runtime-Deadline-Ms: {int((time.time() + 60) * 1000)}\r\nContent-Length: {len(event)}\r\n\r\n"
            )
            self._sent = time.perf_counter()
            connection.sendall(head.encode() + event)
        elif "/runtime/" in path:
            connection.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
            self._answers.put((self._sent, arrived, path, body))
        else:
            self.published += 1
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(PUBLISHED) + PUBLISHED)
        return True


def read_request(connection):
    """When its first bytes arrived, method, path and body; None where the connection was closed."""
    data = connection.recv(65536)
    arrived = time.perf_counter()
    while b"\r\n\r\n" not in data:
        if not data or not (more := connection.recv(65536)):
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    method, path, _ = lines[0].split(" ")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        while not body.endswith(b"0\r\n\r\n"):
            body += connection.recv(65536)
        body = unchunked(body)
    else:
        while len(body) < int(headers.get("content-length", 0)):
            body += connection.recv(65536)
    return arrived, method, path, body


def unchunked(data):
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        size = int(size, 16)
        body, data = body + data[:size], data[size + 2 :]
        if size == 0:
            break
    return body
