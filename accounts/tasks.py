"""What the worker does for people before they are logged in."""

from celery import shared_task

from accounts import passwords


@shared_task
def send_password_link(user_id: int, language: str) -> None:
    passwords.send_link(user_id, language)
