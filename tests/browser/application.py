"""The example behind MockupApp: what an adapter's mockup logins do, without a framework."""

from __future__ import annotations

from djsession.mockup import MockupApp
from examples import hello

application = MockupApp(hello.application, "examples/sessions.yaml")
