from django.urls import path, re_path

from alerts.api import base, deals, preview, settings, teams

app_name = "api"
urlpatterns = [
    path("alerts/settings/", settings.SettingsView.as_view(), name="settings"),
    path("alerts/settings/choices/", settings.ChoicesView.as_view(), name="choices"),
    path("alerts/settings/export/", settings.ExportView.as_view(), name="export"),
    path("alerts/settings/import/", settings.ImportView.as_view(), name="import"),
    path("alerts/settings/preview/", preview.PreviewView.as_view(), name="preview"),
    path("alerts/settings/versions/", settings.VersionsView.as_view(), name="versions"),
    path("alerts/settings/versions/<int:version>/", settings.VersionView.as_view(), name="version"),
    path("alerts/settings/versions/<int:version>/restore/", settings.RestoreView.as_view(), name="restore"),
    path("alerts/runs/<int:pk>/", settings.RunView.as_view(), name="run"),
    path("alerts/teams/", teams.TeamsView.as_view(), name="teams"),
    path("alerts/teams/<int:pk>/", teams.TeamView.as_view(), name="team"),
    path("deals/verdicts/", deals.VerdictsView.as_view(), name="verdicts"),
    path("deals/<int:pk>/verdicts/", deals.DealVerdictsView.as_view(), name="deal_verdicts"),
    re_path("", base.NothingHere.as_view()),
]
