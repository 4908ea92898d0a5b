"""An ECS agent on loopback, with two tasks, that can be told to lie, hang, fail or go away."""

import http.server
import json
import threading

CLUSTER = "prod"
ARN = "arn:aws:ecs:eu-west-1:111122223333"
WEB, PAY = "0" * 31 + "1", "0" * 31 + "2"
IDS = {name: f"{number:064x}" for number, name in enumerate(("app", "sidecar-log", "ledger", "pause", "stray"), 10)}


def task(task_id: str, family: str, **containers: str) -> dict:
    """A task as `/v1/tasks` tells of it; `containers` are images by name, `_` for `-`."""
    return {
        "Arn": f"{ARN}:task/{CLUSTER}/{task_id}",
        "DesiredStatus": "RUNNING",
        "KnownStatus": "RUNNING",
        "Family": family,
        "Version": "7",
        "Containers": [
            {
                "DockerId": IDS[name.replace("_", "-")],
                "DockerName": f"ecs-{family}-7-{name}-b1ea",
                "Name": name.replace("_", "-"),
                "Image": image,
                "CreatedAt": "2026-01-02T03:04:05.5Z",
                "Networks": [{"NetworkMode": "awsvpc", "IPv4Addresses": ["10.0.0.7"]}],
                "Unheard": {"of": 1},
            }
            for name, image in containers.items()
        ],
    }


METADATA = {
    "Cluster": CLUSTER,
    "ContainerInstanceArn": f"{ARN}:container-instance/{CLUSTER}/abc",
    "Version": "Amazon ECS Agent - v1.99.0 (*00000000)",
}
TASKS = {"Tasks": [task(WEB, "web", app="registry.example/web:7", sidecar_log="log:1"), task(PAY, "pay", ledger="l:2")]}


class Agent:
    """The introspection API. `answer` maps a path to a document, raw bytes, a status, or `hang`."""

    def __init__(self) -> None:
        self.answer: dict[str, object] = {"/v1/metadata": METADATA, "/v1/tasks": TASKS}
        self.asked: list[str] = []
        self.let_go = threading.Event()
        self._server: http.server.ThreadingHTTPServer | None = None
        self.port = 0
        self.start()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Answer; on the same port as before."""
        agent = self

        class Answering(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                agent.asked.append(self.path)
                wanted = agent.answer.get(self.path, 404)
                if wanted == "hang":
                    agent.let_go.wait(20)
                    return
                if wanted == "drip":
                    agent.drip(self)
                    return
                self.send_response(wanted if isinstance(wanted, int) else 200)
                self.end_headers()
                if not isinstance(wanted, int):
                    self.wfile.write(wanted if isinstance(wanted, bytes) else json.dumps(wanted).encode())

            def log_message(self, *_: object) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Server(("127.0.0.1", self.port), Answering)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def drip(self, asked: http.server.BaseHTTPRequestHandler) -> None:
        """A byte now and then, without end: each wait is short, the whole is not."""
        asked.wfile.write(b"HTTP/1.0 200 OK\r\nX: ")
        while not self.let_go.wait(0.05):
            try:
                asked.wfile.write(b"x")
            except OSError:
                return

    def stop(self) -> None:
        """Go away: connections are refused from here on."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def close(self) -> None:
        self.let_go.set()
        self.stop()
