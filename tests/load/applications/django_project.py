"""The page in a Django project of one module."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.urls import path

from tests.load.applications.counting import REDIS_URL, answer

SECRET_KEY = "a secret of the tests"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = __name__
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "djsession.django"]
MIDDLEWARE = ["djsession.django.middleware.SessionMiddleware"]
SESSION_ENGINE = "djsession.django.backends.encrypted_cookies"
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
    }
}
DJSESSION = {
    "LOCAL_SESSION_ENGINE": "django.contrib.sessions.backends.cache",
    "USER_SOURCE": "session",
}


def show(request: HttpRequest) -> JsonResponse:
    return JsonResponse(answer(request.META, request.djsession.username, request.session))


urlpatterns = [path("", show)]
