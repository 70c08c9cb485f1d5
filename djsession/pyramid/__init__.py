"""The Pyramid adapter. Pyramid 2.0 and later.

::

    config.include("djsession.pyramid")

Set ``djsession.secret_key`` in the ini file, or ``DJAODJIN_SECRET_KEY`` in the environment. The
package installs a tween that is the gate, ``request.djsession``, a session factory, a security
policy, and the view predicates ``djsession_role`` and ``djsession_plan``. An application's own
factory or policy takes precedence.

In an ini file ``%`` starts an interpolation, so write ``%%`` for each ``%`` in the key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyramid.config import Configurator
from pyramid.interfaces import PHASE2_CONFIG, PHASE3_CONFIG, ISecurityPolicy, ISessionFactory
from pyramid.settings import aslist
from pyramid.tweens import EXCVIEW

from ..errors import ConfigurationError
from ..requirements import principals_of
from .request import djsession_deriver, session_factory
from .security import PlanPredicate, RolePredicate, SecurityPolicy
from .session import PyramidSession
from .settings import OPTIONS, PyramidSettings, settings_of
from .tweens import mockup_tween_factory, tween_factory

__all__ = [
    "PyramidSession",
    "PyramidSettings",
    "SecurityPolicy",
    "includeme",
    "mockup_tween_factory",
    "principals_of",
    "settings_of",
    "tween_factory",
]

_TWEEN = "djsession.pyramid.tween_factory"
_MOCKUP_TWEEN = "djsession.pyramid.mockup_tween_factory"


def includeme(config: Configurator) -> None:
    """Install everything, with the settings from the ini file. Called by ``config.include``."""
    _check_tweens(config.registry.settings)
    config.add_directive("add_djsession", _add_djsession)
    config.add_tween(_MOCKUP_TWEEN, over=EXCVIEW)
    config.add_tween(_TWEEN, under=EXCVIEW)
    # Register the defaults after the application's own policies (phase 2) and session factory
    # (phase 3), wherever those are configured. Views need the policy in phase 3.
    _add_default(config, ISecurityPolicy, SecurityPolicy(), PHASE2_CONFIG + 1)
    _add_default(config, ISessionFactory, session_factory, PHASE3_CONFIG + 1)
    config.add_view_predicate("djsession_role", RolePredicate)
    config.add_view_predicate("djsession_plan", PlanPredicate)
    config.add_view_deriver(djsession_deriver, "djsession")
    config.add_djsession()


def _add_default(config: Configurator, interface: Any, default: Any, order: int) -> None:
    """Register a utility after all actions of a lower order, unless one is registered by then."""

    def register() -> None:
        if config.registry.queryUtility(interface) is None:
            config.registry.registerUtility(default, interface)

    config.action((_add_default, interface), register, order=order)


def _add_djsession(config: Configurator, **options: Any) -> None:
    """The directive ``config.add_djsession(**options)``, for settings that override the ini file.

    The options are the fields of PyramidSettings. As with other directives, two calls conflict, but
    a call in the application overrides the call in ``config.include``.
    """

    def register() -> None:
        config.registry[OPTIONS] = options

    config.action("djsession", register)


def _check_tweens(settings: Mapping[str, Any]) -> None:
    explicit = aslist(settings.get("pyramid.tweens", []))
    if explicit and _TWEEN not in explicit:
        raise ConfigurationError(
            f"pyramid.tweens does not contain {_TWEEN}, and without it no request is refused. Add"
            " it below pyramid.tweens.excview_tween_factory."
        )
