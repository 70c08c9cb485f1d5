"""The views of the project for the tests."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.generic import TemplateView, View

from djsession.django.decorators import plan_required, role_required
from djsession.django.mixins import AccessiblesMixin, AccountMixin
from tests.helpers.django_clients import STEPS


def nothing(request: HttpRequest) -> HttpResponse:
    return HttpResponse("nothing")


async def anothing(request: HttpRequest) -> HttpResponse:
    return HttpResponse("nothing")


def whoami(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"user": request.user.get_username(), "pk": request.user.pk})


async def awhoami(request: HttpRequest) -> HttpResponse:
    user = await request.auser()
    return JsonResponse({"user": user.get_username(), "pk": user.pk})


def session(request: HttpRequest) -> HttpResponse:
    """Take the steps of a test: see ``tests.helpers.django_clients.visit``."""
    STEPS.get()(request.session)
    return HttpResponse()


async def asession(request: HttpRequest) -> HttpResponse:
    await STEPS.get()(request.session)
    return HttpResponse()


def with_messages(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        messages.info(request, request.POST["message"])
        return HttpResponse()
    return JsonResponse([str(item) for item in messages.get_messages(request)], safe=False)


def form(request: HttpRequest) -> HttpResponse:
    from django.middleware.csrf import get_token

    return HttpResponse(get_token(request))


def sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponse(str(request.user.is_anonymous))


class AppView(AccessiblesMixin, View):  # type: ignore[misc]
    def get(self, request: HttpRequest) -> HttpResponse:
        return JsonResponse(
            {
                "accessibles": self.accessibles(),
                "contributes": self.accessibles(["contributor"]),
                "get_accessibles": self.get_accessibles(request),
                "get_managed": self.get_managed(request),
                "managed_accounts": self.managed_accounts,
                "manages": [self.manages("xia"), self.manages("cowork"), self.manages(None)],
                "accessible_profiles": sorted(self.accessible_profiles),
                "get_accessible_profiles": self.get_accessible_profiles(request, ["manager"]),
                "accessible_plans": sorted(self.accessible_plans),
                "get_accessible_plans": self.get_accessible_plans(request),
                "plans_of_cowork": self.get_accessible_plans(request, profile="cowork"),
                "has_role": self.has_role("cowork", ["contributor"]),
                "manages_broker": self.manages_broker,
            }
        )


class AccountView(AccountMixin, TemplateView):  # type: ignore[misc]
    account_url_kwarg = "slug"

    def render_to_response(self, context: dict[str, Any], **options: Any) -> HttpResponse:
        account = context["slug"]
        return JsonResponse({"slug": str(account), "manages": self.manages(account)})


@role_required("manager", account="slug")
def manage(request: HttpRequest, slug: str) -> HttpResponse:
    return HttpResponse(slug)


@role_required("manager", account="slug")
async def amanage(request: HttpRequest, slug: str) -> HttpResponse:
    return HttpResponse(slug)


@plan_required("basic", "premium")
def course(request: HttpRequest) -> HttpResponse:
    return HttpResponse("course")
