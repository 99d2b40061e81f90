from django.urls import path

from workplace import analytics_views, freshness_views, onboarding_views, rates_views, upcoming_views
from workplace import members_views as members
from workplace import profile_views as profile
from workplace import review_views as review

app_name = "workplace"
urlpatterns = [
    path("freshness/", freshness_views.freshness_part, name="freshness"),
    path("analytics/", analytics_views.analytics_page, name="analytics"),
    path("upcoming/", upcoming_views.upcoming_page, name="upcoming"),
    path("upcoming/calendar/", upcoming_views.calendar_address, name="calendar_address"),
    path("calendar/<str:token>.ics", upcoming_views.calendar_feed, name="calendar_feed"),
    path("welcome/", onboarding_views.onboarding_page, name="welcome"),
    path("settings/currencies/", rates_views.rates_page, name="rates"),
    path("settings/members/", members.members_page, name="members"),
    path("settings/members/<int:pk>/role/", members.member_role, name="member_role"),
    path("settings/members/<int:pk>/remove/", members.member_remove, name="member_remove"),
    path("settings/invitations/<int:pk>/send/", members.invitation_send, name="invitation_send"),
    path("settings/invitations/<int:pk>/withdraw/", members.invitation_withdraw, name="invitation_withdraw"),
    path("settings/owners/", members.owners_page, name="owners"),
    path("settings/owners/<int:pk>/", members.owner_link, name="owner_link"),
    path("settings/teams/", members.teams_page, name="teams"),
    path("settings/teams/<int:pk>/", members.team_save, name="team_save"),
    path("settings/teams/<int:pk>/delete/", members.team_delete, name="team_delete"),
    path("invitation/<str:token>/", members.invitation_page, name="invitation"),
    path("profile/", profile.profile_page, name="profile"),
    path("profile/password/", profile.password_change, name="password"),
    path("profile/theme/", profile.theme_choice, name="theme"),
    path("profile/organisation/", profile.organisation_choice, name="organisation"),
    path("profile/sessions/<int:pk>/end/", profile.session_end, name="session_end"),
    path("profile/sessions/end/", profile.sessions_end, name="sessions_end"),
    path("review/", review.review_page, name="review"),
    path("review/present/", review.review_present, name="review_present"),
    path("review/print/", review.review_print, name="review_print"),
    path("review/start/", review.review_start, name="review_start"),
    path("review/<int:pk>/end/", review.review_end, name="review_end"),
    path("review/<int:pk>/mark/", review.review_mark, name="review_mark"),
    path("deals/<int:pk>/notes/", review.notes_page, name="notes"),
    path("notes/<int:pk>/delete/", review.note_delete, name="note_delete"),
]
