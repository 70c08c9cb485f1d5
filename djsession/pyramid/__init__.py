"""The Pyramid adapter. Pyramid 2.0 and later.

::

    config.include("djsession.pyramid")

with ``djsession.secret_key`` in the ini file, or ``DJAODJIN_SECRET_KEY`` in the environment. It
installs a tween that opens the gate, ``request.djsession``, a session factory, a security
policy, and the view predicates ``djsession_role`` and ``djsession_plan``. An application's own
factory or policy takes precedence.

In an ini file a ``%`` starts an interpolation: one in a key has to be written ``%%``.
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
    """Install everything, with the settings of the ini file. For ``config.include``."""
    _check_tweens(config.registry.settings)
    config.add_directive("add_djsession", _add_djsession)
    config.add_tween(_MOCKUP_TWEEN, over=EXCVIEW)
    config.add_tween(_TWEEN, under=EXCVIEW)
    # Pyramid registers an application's own policies in phase 2 and its session factory in phase 3,
    # in whatever order they are configured. Views, in phase 3, need the policy.
    _add_default(config, ISecurityPolicy, SecurityPolicy(), PHASE2_CONFIG + 1)
    _add_default(config, ISessionFactory, session_factory, PHASE3_CONFIG + 1)
    config.add_view_predicate("djsession_role", RolePredicate)
    config.add_view_predicate("djsession_plan", PlanPredicate)
    config.add_view_deriver(djsession_deriver, "djsession")
    config.add_djsession()


def _add_default(config: Configurator, interface: Any, default: Any, order: int) -> None:
    """Register a utility after all actions of a lower order, unless there is one by then."""

    def register() -> None:
        if config.registry.queryUtility(interface) is None:
            config.registry.registerUtility(default, interface)

    config.action((_add_default, interface), register, order=order)


def _add_djsession(config: Configurator, **options: Any) -> None:
    """The directive ``config.add_djsession(**options)``: settings that override the ini file.

    The options are the fields of PyramidSettings. Called twice it conflicts, as other
    directives do; a call of the application overrides that of ``config.include``.
    """

    def register() -> None:
        config.registry[OPTIONS] = options

    config.action("djsession", register)


def _check_tweens(settings: Mapping[str, Any]) -> None:
    explicit = aslist(settings.get("pyramid.tweens", []))
    if explicit and _TWEEN not in explicit:
        raise ConfigurationError(
            f"{_TWEEN} is not among pyramid.tweens: without it no request would be refused. List"
            " it below pyramid.tweens.excview_tween_factory."
        )
