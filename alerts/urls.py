from django.urls import path

from alerts import deal_views, settings_views, titles_views, versions_views, views

app_name = "alerts"
urlpatterns = [
    path("", views.deals_list),
    path("deals/", views.deals_list, name="deals"),
    path("deals/<int:pk>/", deal_views.deal_page, name="deal"),
    path("settings/alerts/", settings_views.settings_page, name="settings"),
    path("settings/alerts/progress/<int:pk>/", settings_views.settings_progress, name="settings_progress"),
    path("settings/alerts/preview/", settings_views.settings_preview, name="settings_preview"),
    path("settings/alerts/versions/", versions_views.versions_page, name="versions"),
    path("settings/alerts/versions/<int:version>/", versions_views.version_page, name="version"),
    path("settings/alerts/import/", versions_views.import_page, name="import"),
    path("settings/titles/", titles_views.titles_page, name="titles"),
]
