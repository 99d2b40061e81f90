from django.urls import path

from alerts import deal_views, settings_views, views

app_name = "alerts"
urlpatterns = [
    path("", views.deals_list),
    path("deals/", views.deals_list, name="deals"),
    path("deals/<int:pk>/", deal_views.deal_page, name="deal"),
    path("settings/alerts/", settings_views.settings_page, name="settings"),
    path("settings/alerts/progress/<int:pk>/", settings_views.settings_progress, name="settings_progress"),
]
