from django.urls import include, path
from deployutils.apps.django_deployutils.redirects import AccountRedirectView
from deployutils.apps.django_deployutils.urlbuilders import url_prefixed

from .api.views import PlansAPIView
from .views import AboutView, AppView, MessagesView, ProfileView, SignupView

urlpatterns = [
    # In production the proxy intercepts the login, and the pages of users.
    path('', include('deployutils.apps.django_deployutils.mockup.urls')),
    path('about/', AboutView.as_view(), name='about'),
    path('signup/', SignupView.as_view(), name='signup'),
    path('api/plans', PlansAPIView.as_view(), name='api_plans'),
    path('messages/', MessagesView.as_view(), name='messages'),
    url_prefixed(r'profile/(?P<profile>[a-z]+)/', ProfileView.as_view(),
        name='profile'),
    path('app/', AppView.as_view(), name='app'),
    path('redirect/', AccountRedirectView.as_view(
        pattern_name='profile', redirect_roles=['manager']), name='redirect'),
]
