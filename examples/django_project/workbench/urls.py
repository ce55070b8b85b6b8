from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from projects import views

urlpatterns = [
    path("", views.home, name="home"),
    path("login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("<str:username>/<slug:name>/", views.project_page, name="project"),
    path("<str:username>/<slug:name>/ports/", views.reserve_port, name="reserve-port"),
    path(
        "<str:username>/<slug:name>/ports/<int:number>/release/",
        views.release_port,
        name="release-port",
    ),
]
