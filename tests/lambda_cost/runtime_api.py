"""A Lambda Runtime API for one process, with a Secrets Manager that has one secret and an SNS that takes every message.

It speaks just enough HTTP over bare sockets: each connection is one thread, and nothing is shared but queues.
"""

import json
import queue
import socket
import threading
import time

PUBLISHED = (
    b"<PublishResponse xmlns='http://sns.amazonaws.com/doc/2010-03-31/'><PublishResult><MessageId>1</MessageId>"
    b"</PublishResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></PublishResponse>"
)


class RuntimeApi:
    def __init__(self, secret):
        self._polls, self._events, self._answers = queue.Queue(), queue.Queue(), queue.Queue()
        self._secret = json.dumps({"SecretString": secret}).encode()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def wait_for_poll(self):
        """Until the process has asked for work."""
        self._polls.get(timeout=60)

    def invoke(self, event):
        """The answer, once the process has asked for more."""
        self._events.put(event)
        path, body = self._answers.get(timeout=60)
        self.wait_for_poll()
        if not path.endswith("/response"):
            raise RuntimeError(f"the function failed: {body.decode()}")
        return body

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

    def _answer(self, connection, method, path, body):
        if method == "GET":
            self._polls.put(True)
            event = self._events.get()
            if event is None:
                return False
            head = (
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                "Lambda-Runtime-Aws-Request-Id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n"
                "Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:123456789012:function:f\r\n"
                f"Lambda-Runtime-Deadline-Ms: {int((time.time() + 60) * 1000)}\r\nContent-Length: {len(event)}\r\n\r\n"
            )
            connection.sendall(head.encode() + event)
        elif "/runtime/" in path:
            connection.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
            self._answers.put((path, body))
        else:
            answer = PUBLISHED if b"Action=Publish" in body else self._secret
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
        return True


def read_request(connection):
    """Method, path and body; None where the connection was closed."""
    data = connection.recv(65536)
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
    return method, path, body


def unchunked(data):
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        size = int(size, 16)
        body, data = body + data[:size], data[size + 2 :]
        if size == 0:
            break
    return body
