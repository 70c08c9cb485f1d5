"""The views: class-based with the mixins, a function with a decorator, one of an API."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST
from django.views.generic import TemplateView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from djsession.django.decorators import plan_required
from djsession.django.mixins import AccessiblesMixin, AccountMixin
from djsession.redact import mask


class HomeView(AccessiblesMixin, TemplateView):
    """Who you are, what you manage, and how often you have been here."""

    template_name = "home.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the organizations, and count the visit."""
        session = self.request.session
        session["visits"] = session.get("visits", 0) + 1
        return super().get_context_data(
            visits=session["visits"],
            organizations=self.get_accessibles(self.request),
            managed_accounts=self.managed_accounts,
            plans=sorted(self.accessible_plans),
            **kwargs,
        )


class ManageView(AccountMixin, TemplateView):
    """The page of one organization, for its managers."""

    template_name = "manage.html"
    account_url_kwarg = "account"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Answer 403 to anyone who does not manage it."""
        if not self.manages(kwargs["account"]):
            raise PermissionDenied
        return super().dispatch(request, *args, **kwargs)


class MeView(APIView):
    """The user, for an API."""

    def get(self, request: Request) -> Response:
        """Return the username."""
        return Response({"username": request.user.get_username()})


def about(request: HttpRequest) -> HttpResponse:
    """Answer requests without a session, too."""
    return HttpResponse("open to anyone", content_type="text/plain")


@plan_required("basic", "all-courses")
def course(request: HttpRequest) -> HttpResponse:
    """Answer subscribers."""
    return HttpResponse("for subscribers", content_type="text/plain")


@require_POST
def note(request: HttpRequest) -> HttpResponse:
    """Leave a message."""
    messages.info(request, "noted")
    return redirect("home")


def raw(request: HttpRequest) -> HttpResponse:
    """Show the session."""
    # The proxy may send credentials of the site along, and a page must not show them.
    return JsonResponse(mask(request.djsession))
