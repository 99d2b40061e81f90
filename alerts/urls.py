from django.urls import path

from alerts import views

app_name = "alerts"
urlpatterns = [
    path("", views.deals_list),
    path("deals/", views.deals_list, name="deals"),
    path("deals/<int:pk>/", views.deals_list, name="deal"),
    path("settings/alerts/", views.deals_list, name="settings"),
]
