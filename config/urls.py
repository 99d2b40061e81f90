from django.contrib.auth.decorators import login_not_required
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from config.icons import icons
from workplace.onboarding_views import home
from workplace.profile_views import language_choice


@login_not_required
def healthz(request: HttpRequest) -> HttpResponse:
    """Whether this process answers and reaches its database; an error is a 500."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return HttpResponse("ok\n", content_type="text/plain")


urlpatterns = [
    path("", home, name="home"),
    path("", include("alerts.urls")),
    path("api/v1/", include("alerts.api.urls")),
    path("", include("crm_sync.urls")),
    path("", include("workplace.urls")),
    path("", include("accounts.urls")),
    path("language/", language_choice, name="set_language"),
    path("icons.<slug:version>.svg", icons, name="icons"),
    path("healthz", healthz, name="healthz"),
]
