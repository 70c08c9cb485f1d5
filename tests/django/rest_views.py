"""The views of the project for the tests that need Django REST framework."""

from __future__ import annotations

from typing import Any

from rest_framework.response import Response
from rest_framework.views import APIView

from djsession.django.authentication import BearerAuthentication
from djsession.django.mixins import AccessiblesMixin


class Me(APIView):  # type: ignore[misc]
    def get(self, request: Any) -> Response:
        return Response({"user": request.user.get_username()})

    post = get


class BearerMe(AccessiblesMixin, APIView):  # type: ignore[misc]
    authentication_classes = (BearerAuthentication,)

    def get(self, request: Any) -> Response:
        return Response(
            {"user": request.user.get_username(), "managed_accounts": self.managed_accounts}
        )

    post = get
