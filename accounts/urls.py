from django.contrib.auth import views as auth
from django.contrib.auth.decorators import login_not_required
from django.urls import path
from django.views.generic import TemplateView

from accounts import views

app_name = "accounts"
urlpatterns = [
    path("login/", views.LoginView.as_view(), name="login"),
    path("login/forgotten/", views.forgotten, name="forgotten"),
    path(
        "login/forgotten/sent/",
        login_not_required(TemplateView.as_view(template_name="accounts/forgotten_sent.html")),
        name="forgotten_sent",
    ),
    path(
        "login/new-password/done/",
        login_not_required(TemplateView.as_view(template_name="accounts/new_password_done.html")),
        name="new_password_done",
    ),
    path("login/new-password/<uidb64>/<token>/", views.NewPasswordView.as_view(), name="new_password"),
    path("logout/", auth.LogoutView.as_view(), name="logout"),
]
