from rest_framework.response import Response
from rest_framework.views import APIView
try:
    from deployutils.apps.django_deployutils.authentication import JWTAuthentication
except ImportError: # an older deployutils
    from deployutils.apps.django.authentication import JWTAuthentication


class PlansAPIView(APIView):

    authentication_classes = (JWTAuthentication,)

    def get(self, request, *args, **kwargs):
        return Response({'username': request.user.username})
