"""The web server's settings, read by every `gunicorn config.wsgi` started in this folder."""

import os

bind = f"0.0.0.0:{os.environ.get('PORT', '8000')}"
workers = int(os.environ.get("WEB_WORKERS", "2"))
threads = 4
graceful_timeout = 10  # seconds that a request may still take when the server is told to stop
control_socket_disable = True
