"""The page in Pyramid."""

from __future__ import annotations

from typing import Any

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid_session_redis import RedisSessionFactory

from tests.load.applications.counting import REDIS_URL, answer


def show(request: Request) -> dict[str, Any]:
    return answer(request.environ, request.djsession.username, request.session)


config = Configurator()
config.include("djsession.pyramid")
config.add_djsession(
    local_session_factory=RedisSessionFactory("signs the id of a session", redis_url=REDIS_URL)
)
config.add_route("show", "/")
config.add_view(show, route_name="show", renderer="json")
application = config.make_wsgi_app()
