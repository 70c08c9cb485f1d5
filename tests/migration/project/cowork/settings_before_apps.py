# Settings from the days before there was deployutils.apps
from .settings import *

INSTALLED_APPS += ("deployutils.apps.django",)

MIDDLEWARE_CLASSES = (
	'deployutils.middleware.SessionMiddleware',
	'deployutils.middleware.RequestLoggingMiddleware',
	'django.contrib.auth.middleware.AuthenticationMiddleware',)
TEMPLATE_CONTEXT_PROCESSORS = ('django.core.context_processors.request',)
SESSION_ENGINE = 'deployutils.backends.encrypted_cookies'
AUTHENTICATION_BACKENDS = ('deployutils.backends.auth.ProxyUserBackend')
