from django.apps import AppConfig


class ConfigConfig(AppConfig):
    name = "config"

    def ready(self) -> None:
        # Imported to be known: the Celery application, so that web requests ring the right broker, and the checks.
        from config import celery, checks  # noqa: F401
