from django.urls import path

from crm_sync import views

app_name = "crm_sync"
urlpatterns = [
    path("settings/crm/", views.connection_page, name="connection"),
    path("settings/crm/progress/", views.connection_progress, name="progress"),
    path("settings/crm/<int:pk>/sync/", views.connection_sync, name="sync"),
    path("settings/crm/<int:pk>/fields/", views.connection_fields, name="fields"),
    path("settings/crm/<int:pk>/disconnect/", views.connection_disconnect, name="disconnect"),
]
