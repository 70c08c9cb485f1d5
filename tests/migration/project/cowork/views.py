import logging

from django.contrib import messages
from django.http import HttpResponse, JsonResponse
from django.views.generic import TemplateView, View
from deployutils.apps.django_deployutils import settings as deployutils_settings
from deployutils.apps.django_deployutils.compat import is_authenticated
from deployutils.apps.django_deployutils.mixins import (AccessiblesMixin,
    BeforeMixin)    # dates come from deployutils
from deployutils.apps.django_deployutils.mixins.base import (
    AccountMixin,           # one organization
    _get_accessible_plans,  # of all of them
)
from deployutils.apps.django_deployutils.mixins.timers import TimersMixin
from deployutils.apps.django_deployutils.mockup.views import SigninView
from deployutils.apps.django_deployutils.themes import get_template_search_path
from deployutils.crypt import decrypt
from deployutils.helpers import datetime_or_now

from .mixins import ManagedMixin, ProfileMixin, is_organization_view

LOGGER = logging.getLogger(__name__)


class AboutView(TemplateView):

    template_name = 'cowork/about.html'


class SignupView(SigninView):

    template_name = 'cowork/about.html'


class AppView(TimersMixin, ManagedMixin, TemplateView):

    template_name = 'cowork/app.html'

    def get_context_data(self, **kwargs):
        context = super(AppView, self).get_context_data(**kwargs)
        self._start_time()
        context.update({
            'managed_accounts': self.managed_accounts,
            'is_authenticated': is_authenticated(self.request),
            'plans': [plan['slug'] for plan
                in _get_accessible_plans(self.request)],
            'now': datetime_or_now(),
        })
        LOGGER.info("app of %d organizations", len(self.managed_accounts))
        return context


class ProfileView(BeforeMixin, ProfileMixin, View):
    """
    One organization, by deployutils.apps.django_deployutils.mixins.AccountMixin
    """

    def get(self, request, *args, **kwargs):
        assert isinstance(self, (AccessiblesMixin, AccountMixin))
        return JsonResponse({
            'slug': str(self.account['slug'] if isinstance(self.account, dict)
                else self.account.slug),
            'cookie': deployutils_settings.SESSION_COOKIE_NAME,
            'templates': len(get_template_search_path()),
            'is_organization_view': is_organization_view(self),
            'decrypt': callable(decrypt),
        })


class MessagesView(View):

    def get(self, request, *args, **kwargs):
        messages.info(request, "noted")
        return HttpResponse(str(len(messages.get_messages(request))))
