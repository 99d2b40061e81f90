from django.contrib.auth.decorators import login_not_required
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views.i18n import set_language

from config.icons import icons


@login_not_required
def healthz(request: HttpRequest) -> HttpResponse:
    """Whether this process answers and reaches its database; an error is a 500."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return HttpResponse("ok\n", content_type="text/plain")


urlpatterns = [
    path("", include("alerts.urls")),
    path("api/v1/", include("alerts.api.urls")),
    path("", include("crm_sync.urls")),
    path("", include("workplace.urls")),
    path("", include("accounts.urls")),
    path("language/", login_not_required(set_language), name="set_language"),
    path("icons.<slug:version>.svg", icons, name="icons"),
    path("healthz", healthz, name="healthz"),
]
