"""The web server's settings, read by every `gunicorn config.wsgi` started in this folder."""

import gc
import os
from typing import Any

bind = f"0.0.0.0:{os.environ.get('PORT', '8000')}"
workers = int(os.environ.get("WEB_WORKERS", "2"))
threads = 4
graceful_timeout = 10  # seconds that a request may still take when the server is told to stop
control_socket_disable = True


def post_worker_init(_worker: Any) -> None:
    """What a worker has loaded stays as long as it does: looking through it for garbage made answers 0.1 s late."""
    gc.collect()
    gc.freeze()
