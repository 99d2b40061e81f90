from django.urls import path

from alerts import deal_views, settings_views, titles_views, versions_views, views

app_name = "alerts"
urlpatterns = [
    path("deals/", views.deals_list, name="deals"),
    path("deals/details/", views.deals_details, name="details"),
    path("deals/facets/<slug:name>/", views.facet_menu, name="facet"),
    path("deals/export/", views.deals_export, name="export"),
    path("deals/bulk/", views.deals_bulk, name="bulk"),
    path("deals/views/", views.views_page, name="views"),
    path("deals/views/<int:pk>/", views.view_page, name="view"),
    path("deals/<int:pk>/", deal_views.deal_page, name="deal"),
    path("deals/<int:pk>/details/", deal_views.deal_details, name="deal_details"),
    path("deals/<int:pk>/snooze/", deal_views.deal_snooze, name="deal_snooze"),
    path("deals/<int:pk>/wake/", deal_views.deal_wake, name="deal_wake"),
    path("deals/<int:pk>/feedback/", deal_views.deal_feedback, name="deal_feedback"),
    path("settings/alerts/", settings_views.settings_page, name="settings"),
    path("settings/alerts/progress/<int:pk>/", settings_views.settings_progress, name="settings_progress"),
    path("settings/alerts/preview/", settings_views.settings_preview, name="settings_preview"),
    path("settings/alerts/versions/", versions_views.versions_page, name="versions"),
    path("settings/alerts/versions/<int:version>/", versions_views.version_page, name="version"),
    path("settings/alerts/import/", versions_views.import_page, name="import"),
    path("settings/titles/", titles_views.titles_page, name="titles"),
]
