from django.apps import AppConfig


class WorkplaceConfig(AppConfig):
    name = "workplace"

    def ready(self) -> None:
        from workplace import merging  # noqa: F401 - hears of merged deals
