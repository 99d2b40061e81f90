from django.urls import path

from crm_sync import mapping_views, oauth_views, reconciliation_views, views, webhook_views

app_name = "crm_sync"
urlpatterns = [
    path("settings/crm/", views.connection_page, name="connection"),
    path("settings/crm/progress/", views.connection_progress, name="progress"),
    path("settings/crm/sign-in/<slug:provider>/", oauth_views.oauth_start, name="oauth_start"),
    path("settings/crm/sign-in/<slug:provider>/back/", oauth_views.oauth_callback, name="oauth_callback"),
    path("settings/crm/<int:pk>/sync/", views.connection_sync, name="sync"),
    path("settings/crm/<int:pk>/compare/", reconciliation_views.reconciliation_begin, name="compare"),
    path("settings/crm/<int:pk>/release/", reconciliation_views.reconciliation_release, name="release"),
    path("settings/crm/mapping/", mapping_views.mapping_page, name="mapping"),
    path("settings/crm/mapping/progress/", mapping_views.mapping_progress, name="mapping_progress"),
    path("settings/crm/mapping/domains/", mapping_views.mapping_domains, name="domains"),
    path("settings/crm/<int:pk>/types/", mapping_views.mapping_types, name="types"),
    path("settings/crm/<int:pk>/fields/", mapping_views.mapping_fields, name="fields"),
    path("settings/crm/<int:pk>/disconnect/", views.connection_disconnect, name="disconnect"),
    path("webhooks/hubspot/", webhook_views.webhook_hubspot, name="webhook_hubspot"),
    path("webhooks/pipedrive/<str:address>/", webhook_views.webhook_pipedrive, name="webhook_pipedrive"),
]
