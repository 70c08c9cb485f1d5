from __future__ import annotations

from typing import Any

import pytest

from djsession import ConfigurationError, Session
from djsession.requirements import (
    Requirement,
    plan_requirement,
    principals_of,
    role_requirement,
)
from tests.helpers.sessions import XIA


def meets(requirement: Requirement, session: Session, **arguments: Any) -> bool:
    return requirement(session, arguments) == ""


class TestRequiredRoles:
    @pytest.mark.parametrize(
        ("roles", "is_met"),
        [(("manager",), True), (("contributor",), False), (("contributor", "manager"), True)],
    )
    def test_a_role_for_any_organization_is_enough(
        self, roles: tuple[str, ...], is_met: bool
    ) -> None:
        assert meets(role_requirement(roles, None), Session(XIA)) == is_met
        assert not meets(role_requirement(roles, None), Session())

    def test_a_role_for_the_organization_in_an_argument_is_required(self) -> None:
        requirement = role_requirement(("manager",), "account")
        assert meets(requirement, Session(XIA), account="xia")
        assert not meets(requirement, Session(XIA), account="cowork")
        assert not meets(requirement, Session(XIA), account=None)
        assert not meets(requirement, Session(), account="xia")

    def test_a_view_without_that_argument_is_an_error(self) -> None:
        with pytest.raises(ConfigurationError, match="the view has no argument 'account'"):
            role_requirement(("manager",), "account")(Session(XIA), {"slug": "xia"})

    @pytest.mark.parametrize("roles", [(), (len,), (None,), (["manager"],), ("",), ("manager", "")])
    def test_requiring_no_role_is_an_error(self, roles: Any) -> None:
        with pytest.raises(ConfigurationError, match="names of roles"):
            role_requirement(roles, None)


class TestRequiredPlans:
    def test_one_of_several_plans_is_enough(self) -> None:
        assert meets(plan_requirement(("basic",)), Session(XIA))
        assert meets(plan_requirement(("tier1", "basic")), Session(XIA))
        assert not meets(plan_requirement(("tier1",)), Session(XIA))
        assert not meets(plan_requirement(("basic",)), Session())

    def test_a_plan_that_has_ended_does_not_count(self) -> None:
        ended = {"plan": "basic", "ends_at": "2020-01-01"}
        session = Session(roles={"manager": [{"slug": "a", "subscriptions": [ended]}]})
        assert not meets(plan_requirement(("basic",)), session)

    def test_a_plan_of_the_organization_in_an_argument(self) -> None:
        requirement = plan_requirement(("tier1", "basic"), "account")
        assert meets(requirement, Session(XIA), account="xia")
        assert not meets(requirement, Session(XIA), account="cowork")
        assert not meets(requirement, Session(XIA), account=None)
        assert not meets(requirement, Session(), account="xia")
        with pytest.raises(ConfigurationError, match="the view has no argument 'account'"):
            requirement(Session(XIA), {"slug": "xia"})

    @pytest.mark.parametrize("plans", [(), (len,), (None,), ("",), ("basic", "")])
    def test_requiring_no_plan_is_an_error(self, plans: Any) -> None:
        with pytest.raises(ConfigurationError, match="slugs of plans"):
            plan_requirement(plans)


def test_a_requirement_says_why_it_is_not_met() -> None:
    roles, plans = ("editor", "viewer"), ("pro",)
    assert role_requirement(roles, None)(Session(XIA), {}) == (
        "the view requires the role editor or viewer in any organization, but the user does not"
        " have it"
    )
    assert role_requirement(roles, "slug")(Session(), {"slug": "xia"}) == (
        "the view requires the role editor or viewer in the organization of its argument slug, but"
        " nobody is signed in"
    )
    assert plan_requirement(plans)(Session(), {}) == (
        "the view requires the plan pro for any organization, but nobody is signed in"
    )


class TestRequiredPrincipals:
    def test_the_principals_are_those_of_the_user(self) -> None:
        assert principals_of(Session(XIA)) == [
            "system.Everyone",
            "system.Authenticated",
            "xia",
            "role:manager",
            "manager:xia",
            "plan:basic",
        ]

    @pytest.mark.parametrize("session", [{}, {**XIA, "username": None}, {**XIA, "username": " "}])
    def test_without_a_user_the_only_principal_is_everyone(self, session: dict[str, Any]) -> None:
        assert principals_of(Session(session)) == ["system.Everyone"]

    @pytest.mark.parametrize(
        "username", ["system.Everyone", "system.Authenticated", "role:manager", "manager:xia"]
    )
    def test_a_username_is_not_taken_for_another_principal(self, username: str) -> None:
        assert principals_of(Session(username=username)) == [
            "system.Everyone",
            "system.Authenticated",
        ]

    @pytest.mark.parametrize("role", ["role", "plan", "manager:xia", "plan:premium"])
    def test_a_role_is_not_taken_for_another_principal(self, role: str) -> None:
        session = Session(username="xia", roles={role: [{"slug": "manager"}, {"slug": "premium"}]})
        found = set(principals_of(session)) - {"system.Everyone", "system.Authenticated", "xia"}
        assert found <= {f"role:{role}"}
        assert ":" not in role or not found

    def test_a_role_without_an_organization_is_left_out(self) -> None:
        assert "role:manager" not in principals_of(Session(username="xia", roles={"manager": []}))
