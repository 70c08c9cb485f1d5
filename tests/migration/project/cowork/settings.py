# -*- coding: utf-8 -*-
"""
Settings of a coworking space — behind the session proxy.
"""
import os, sys

from django.urls import reverse_lazy
from deployutils.configs import load_config, update_settings

BASE_DIR = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RUN_DIR = os.getenv('RUN_DIR', BASE_DIR)
APP_NAME = 'cowork'

DEBUG = bool(os.getenv('DEBUG'))

update_settings(sys.modules[__name__], load_config(
    APP_NAME, 'site.conf', location=os.path.join(BASE_DIR, 'etc')))

SECRET_KEY = 'a secret of the project'
DJAODJIN_SECRET_KEY = 'k3y!@#$%^*-_=+ab'
JWT_ALGORITHM = 'HS256'

INSTALLED_APPS = (
    'django.contrib.auth',
    'django.contrib.contenttypes',
    'django.contrib.sessions',
    'django.contrib.messages',
    'django.contrib.staticfiles',
    'rest_framework',
    'deployutils.apps.django_deployutils',  # templatetags, package_theme
    'cowork',
)

MIDDLEWARE = (
    'django.middleware.security.SecurityMiddleware',
    'django.middleware.common.CommonMiddleware',
    'deployutils.apps.django_deployutils.middleware.RequestLoggingMiddleware',
    'deployutils.apps.django_deployutils.middleware.SessionMiddleware',
    'django.middleware.csrf.CsrfViewMiddleware',
    'django.contrib.auth.middleware.AuthenticationMiddleware',
    'django.contrib.messages.middleware.MessageMiddleware',
)

ROOT_URLCONF = 'cowork.urls'
WSGI_APPLICATION = 'cowork.wsgi.application'
STATIC_URL = '/static/'
USE_TZ = True
DEFAULT_AUTO_FIELD = 'django.db.models.BigAutoField'

DATABASES = {
    'default': {
        'ENGINE': 'django.db.backends.sqlite3',
        'NAME': os.path.join(RUN_DIR, 'db.sqlite'),
    }
}

TEMPLATES = [{
    'BACKEND': 'django.template.backends.django.DjangoTemplates',
    'DIRS': (os.path.join(BASE_DIR, 'cowork', 'templates'),),
    'APP_DIRS': True,
    'OPTIONS': {
        'context_processors': ['django.template.context_processors.request'],
        'builtins': [
            'deployutils.apps.django_deployutils.templatetags'
            '.deployutils_extratags'],
    },
}]

LOGGING = {
    'version': 1,
    'disable_existing_loggers': True,
    'filters': {
        'request': {
            '()': 'deployutils.apps.django_deployutils.logging.RequestFilter',
        },
    },
    'formatters': {
        'json': {
            '()': 'deployutils.apps.django_deployutils.logging.JSONFormatter',
            'format':
            'cowork: [%(process)d] [%(asctime)s] "%(http_method)s'\
            ' %(http_path)s %(http_version)s" %(username)s %(message)s',
            'datefmt': '%d/%b/%Y:%H:%M:%S %z',
            'replace': False,
            'whitelists': {'record': ['nb_queries', 'queries_duration']},
        },
    },
    'handlers': {
        'log': {
            'level': 'DEBUG',
            'formatter': 'json',
            'filters': ['request'],
            'class': 'logging.StreamHandler',
        },
    },
    'loggers': {
        'deployutils': {
            'handlers': ['log'],
            'level': 'INFO',    # DEBUG shows the session
            'propagate': False,
        },
        'deployutils.perf': {'handlers': ['log'], 'level': 'INFO'},
        'cowork': {
            'handlers': ['log'],
            'level': 'INFO',
        },
    },
}

# Sessions
# --------
SESSION_ENGINE = \
    'deployutils.apps.django_deployutils.backends.encrypted_cookies'
if os.getenv('SESSION_BACKEND') == 'jwt':
    SESSION_ENGINE = (
        u"deployutils.apps.django_deployutils.backends.jwt_session_store")

AUTHENTICATION_BACKENDS = (
    'deployutils.apps.django_deployutils.backends.auth.ProxyUserBackend',
)

LOGIN_REDIRECT_URL = '/app/'

REST_FRAMEWORK = {
    'DEFAULT_AUTHENTICATION_CLASSES': (
        'deployutils.apps.django_deployutils.authentication.JWTAuthentication',
        'rest_framework.authentication.SessionAuthentication',
    ),
}

DEPLOYUTILS = {
    'APP_NAME': APP_NAME,
    'ASSETS_CDN': {},
    'MOCKUP_SESSIONS': {
        'xia': {
            'username': 'xia',
            'roles': {'manager': [{
                'slug': 'xia',
                'printable_name': 'Xia Lee',
                'subscriptions': [
                    {'plan': 'basic', 'ends_at': '2030-01-01T09:00:00Z'}],
            }]},
            'site': {'printable_name': 'Größe', 'email': 'support@cowork.net'},
        },
    },
    'ALLOWED_NO_SESSION': [STATIC_URL, reverse_lazy('login'), '/about/'],
}
