"""Access rules: what they forward, and why."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from djsession import ConfigurationError, Session
from djsession.mockup.rules import Rule, Rules
from tests.helpers.sessions import XIA

PLAN = {"plan": "basic", "ends_at": "2030-01-01T09:00:00Z"}
ENDED = {"plan": "basic", "ends_at": "2020-01-01T09:00:00Z"}


def session(*organizations: dict[str, Any], role: str = "manager") -> Session:
    return Session({"username": "xia", "roles": {role: list(organizations)}})


def verdict(path: str, who: Session | None, *rules: Rule) -> str:
    return Rules(rules).decide(path, who).verdict


NOBODY = [None, Session(), Session(roles=XIA["roles"])]


class TestRulePaths:
    @pytest.mark.parametrize(
        ("pattern", "path", "matches"),
        [
            ("/", "/", True),
            ("/", "/a/b", True),
            ("/app", "/app", True),
            ("/app", "/app/", True),
            ("/app/", "/app", True),
            ("/app/", "/app/", True),
            ("/app/", "/app/x/y", True),
            ("/app/", "/apple", False),
            ("/app/", "/ap", False),
            ("/app/", "/", False),
            ("/app/", "/App/", False),
            ("/app/", "/x/app/", False),
            ("/app/x", "/app/", False),
            ("/app/{profile}/", "/app/xia/", True),
            ("/app/:profile/", "/app/xia", True),
            ("/app/{profile}/", "/app/xia/more", True),
            ("/app/{profile}/", "/app/", False),
            ("/app/{profile}/", "/app", False),
            ("/app/{profile}/edit", "/app/xia/edit", True),
            ("/app/{profile}/edit", "/app/xia/view", False),
            ("/app/{profile}/edit", "/app/xia", False),
            ("/{a}/{b}", "/1/2/3", True),
            ("/caf\xe9/", "/caf\xe9/x", True),
        ],
    )
    def test_a_path_is_a_prefix_in_whole_segments(
        self, pattern: str, path: str, matches: bool
    ) -> None:
        decision = Rules([Rule(pattern, "any")]).decide(path, None)
        assert decision.verdict == ("forward" if matches else "forbidden")
        assert (decision.rule is not None) == matches

    @pytest.mark.parametrize(
        "path",
        [
            "",
            "a",
            "a/b",
            "//",
            "//a",
            "/a//",
            "/a//b",
            "/./",
            "/.",
            "/..",
            "/a/..",
            "/a/../b",
            "/a/.",
        ],
    )
    @pytest.mark.parametrize("rules", [[Rule("/", "any")], [Rule("/{a}", "any")], []])
    def test_a_path_that_is_not_normalized_is_forbidden(self, path: str, rules: list[Rule]) -> None:
        decision = Rules(rules).decide(path, Session(XIA))
        assert (decision.verdict, decision.rule) == ("forbidden", None)

    def test_the_first_rule_that_matches_decides(self) -> None:
        rules = [Rule("/app/open/", "any"), Rule("/app/", plans=("basic",)), Rule("/", "any")]
        who = session({"slug": "xia"})
        assert verdict("/app/open/x", None, *rules) == "forward"
        assert verdict("/app/", who, *rules) == "forbidden"
        assert verdict("/app/", None, *rules) == "sign in"
        assert verdict("/", None, *rules) == "forward"

    @pytest.mark.parametrize("who", [None, Session(XIA)])
    def test_without_a_matching_rule_it_is_forbidden(self, who: Session | None) -> None:
        decision = Rules([Rule("/app/", "any")]).decide("/other", who)
        assert (decision.verdict, decision.rule) == ("forbidden", None)
        assert decision.reason == "No rule matches the path."

    def test_without_rules_every_path_is_for_signed_in_users(self) -> None:
        assert verdict("/any/where", Session(XIA)) == "forward"
        assert {verdict("/any/where", who) for who in NOBODY} == {"sign in"}


class TestRuleRequirements:
    @pytest.mark.parametrize("who", NOBODY)
    @pytest.mark.parametrize(
        "rule",
        [
            Rule("/{profile}/", roles=("manager",)),
            Rule("/{profile}/", plans=("basic",)),
            Rule("/", plans=("basic",)),
            Rule("/{profile}/", roles=("manager",), plans=("basic",)),
            Rule("/", "authenticated"),
        ],
        ids=str,
    )
    def test_a_visitor_has_to_sign_in(self, rule: Rule, who: Session | None) -> None:
        assert verdict("/xia/", who, rule) == "sign in"
        assert verdict("/xia/", Session(XIA), rule) == "forward"

    @pytest.mark.parametrize("who", [*NOBODY, Session(XIA)])
    def test_any_lets_everybody_in(self, who: Session | None) -> None:
        assert verdict("/xia/", who, Rule("/", "any")) == "forward"

    @pytest.mark.parametrize(
        ("path", "who", "expected"),
        [
            ("/app/xia/", session({"slug": "xia"}), "forward"),
            ("/app/xia/x", session({"slug": "xia"}, role="contributor"), "forward"),
            ("/app/xia/", session({"slug": "xia"}, role="viewer"), "forbidden"),
            ("/app/xia/", session({"slug": "Xia"}), "forbidden"),
            ("/app/other/", session({"slug": "xia"}), "forbidden"),
            ("/app/other/xia/", session({"slug": "xia"}), "forbidden"),
            ("/app/xia/", Session(username="xia"), "forbidden"),
            ("/app/None/", session({"slug": None}), "forbidden"),
        ],
    )
    def test_a_role_is_for_the_organization_in_the_path(
        self, path: str, who: Session, expected: str
    ) -> None:
        rule = Rule("/app/{profile}/", roles=("manager", "contributor"))
        assert verdict(path, who, rule) == expected

    @pytest.mark.parametrize(
        ("organizations", "of_xia", "of_any"),
        [
            ([{"slug": "xia", "subscriptions": [PLAN]}], "forward", "forward"),
            ([{"slug": "xia", "subscriptions": [ENDED]}], "forbidden", "forbidden"),
            ([{"slug": "xia", "subscriptions": [ENDED, PLAN]}], "forward", "forward"),
            ([{"slug": "xia", "subscriptions": [{"plan": "other"}]}], "forbidden", "forbidden"),
            ([{"slug": "xia"}, {"slug": "b", "subscriptions": [PLAN]}], "forbidden", "forward"),
            ([], "forbidden", "forbidden"),
        ],
    )
    def test_a_plan_must_be_of_the_organization_in_the_path_or_else_of_any(
        self, organizations: list[dict[str, Any]], of_xia: str, of_any: str
    ) -> None:
        who = session(*organizations)
        assert verdict("/xia/", who, Rule("/{profile}/", plans=("basic", "premium"))) == of_xia
        assert verdict("/xia/", who, Rule("/xia/", plans=("basic", "premium"))) == of_any

    @pytest.mark.parametrize(
        ("role", "subscriptions", "expected"),
        [
            ("manager", [PLAN], "forward"),
            ("manager", [ENDED], "forbidden"),
            ("viewer", [PLAN], "forbidden"),
            ("viewer", [], "forbidden"),
        ],
    )
    def test_roles_and_plans_must_both_hold(
        self, role: str, subscriptions: list[dict[str, Any]], expected: str
    ) -> None:
        rule = Rule("/{profile}/", roles=("manager",), plans=("basic",))
        who = session({"slug": "xia", "subscriptions": subscriptions}, role=role)
        assert verdict("/xia/", who, rule) == expected

    def test_a_role_for_one_organization_and_a_plan_of_another_are_not_enough(self) -> None:
        rule = Rule("/{profile}/", roles=("manager",), plans=("basic",))
        who = session({"slug": "xia"}, {"slug": "b", "subscriptions": [PLAN]})
        assert verdict("/xia/", who, rule) == "forbidden"


class TestRuleReasons:
    MANAGERS = Rule("/app/{profile}/", roles=("manager", "owner"))
    BOTH = Rule("/{profile}/", roles=("manager",), plans=("basic",))

    @pytest.mark.parametrize(
        ("rule", "path", "who", "outcome"),
        [
            (Rule("/", "any"), "/", None, "lets everybody in"),
            (
                Rule("/", "authenticated"),
                "/",
                Session(XIA),
                "needs a signed-in user, which the session has",
            ),
            (
                Rule("/", "authenticated"),
                "/",
                None,
                "needs a signed-in user, and nobody is signed in",
            ),
            (
                MANAGERS,
                "/app/xia/",
                Session(XIA),
                "needs the role manager or owner for xia, which the session has",
            ),
            (
                MANAGERS,
                "/app/b/",
                Session(XIA),
                "needs the role manager or owner for b, which the session does not have",
            ),
            (
                MANAGERS,
                "/app/b/",
                None,
                "needs the role manager or owner for b, and nobody is signed in",
            ),
            (
                Rule("/", plans=("basic", "premium")),
                "/",
                Session(XIA),
                "needs an active subscription to basic or premium, which the session has",
            ),
            (
                BOTH,
                "/xia/",
                session({"slug": "xia"}),
                "needs the role manager for xia and an active subscription of xia to basic, but"
                " the session does not have an active subscription of xia to basic",
            ),
        ],
    )
    def test_the_reason_is_a_sentence(
        self, rule: Rule, path: str, who: Session | None, outcome: str
    ) -> None:
        decision = Rules([rule]).decide(path, who)
        assert decision.reason == f"The rule for {rule.path} {outcome}."
        assert decision.steps[-1].outcome == f"matches; {outcome}"

    def test_the_steps_list_the_rules_up_to_the_match(self) -> None:
        rules = [Rule("/a/", "any", line=3), Rule("/b/", "any", line=4), Rule("/", "any", line=5)]
        decision = Rules(rules).decide("/b/c", None)
        assert [(step.rule.line, step.outcome) for step in decision.steps] == [
            (3, "does not match the path"),
            (4, "matches; lets everybody in"),
        ]
        steps = Rules(rules[:2]).decide("/c", None).steps
        assert [step.outcome for step in steps] == ["does not match the path"] * 2

    def test_control_characters_in_a_path_are_escaped(self) -> None:
        reason = Rules([self.MANAGERS]).decide("/app/x\n\x1b[31m\ud800/", Session(XIA)).reason
        assert "the role manager or owner for 'x\\n\\x1b[31m\\ud800'" in reason
        assert reason.isprintable()


class TestRule:
    @pytest.mark.parametrize(
        ("rule", "text"),
        [
            (Rule("/static/", "any"), "{path: /static/, allow: any}"),
            (
                Rule("/app/{profile}/", roles=("manager", "owner"), plans=("basic",)),
                "{path: '/app/{profile}/', roles: [manager, owner], plans: [basic]}",
            ),
            (
                Rule("/app/:profile/", plans=("basic",), engaged=("app", "tour")),
                "{path: '/app/:profile/', plans: [basic], engaged: 'app,tour'}",
            ),
            (
                Rule("/caf\xe9/" + "x" * 200, "any"),
                "{path: /caf\xe9/" + "x" * 200 + ", allow: any}",
            ),
        ],
    )
    def test_str_is_one_line_of_yaml(self, rule: Rule, text: str) -> None:
        assert yaml.safe_load(str(rule)) == yaml.safe_load(text)
        assert "\n" not in str(rule)

    def test_it_cannot_be_changed(self) -> None:
        with pytest.raises(FrozenInstanceError):
            Rule("/", "authenticated").allow = "any"  # type: ignore[misc]

    @pytest.mark.parametrize(
        ("values", "problem"),
        [
            ({"path": "/"}, "a rule that admits nobody"),
            ({"path": "/{a}", "allow": "any", "roles": ("manager",)}, "allow together with roles"),
            (
                {"path": "/", "allow": "authenticated", "plans": ("basic",)},
                "allow together with roles",
            ),
            ({"path": "/", "allow": "everybody"}, "allow is 'everybody'"),
            ({"path": "/", "roles": ("manager",)}, "roles with 0 parameters"),
            ({"path": "/{a}/{b}", "roles": ("manager",)}, "roles with 2 parameters"),
            ({"path": "/{a}/{b}", "plans": ("basic",)}, "plans with 2 parameters"),
            ({"path": "app/", "allow": "any"}, "must start with '/'"),
            ({"path": "", "allow": "any"}, "must start with '/'"),
            ({"path": "//", "allow": "any"}, "no path ever matches"),
            ({"path": "/a/../b", "allow": "any"}, "no path ever matches"),
            ({"path": "/a/./b", "allow": "any"}, "no path ever matches"),
            ({"path": "/a%20b", "allow": "any"}, "no path ever matches"),
            ({"path": "/a\\b", "allow": "any"}, "no path ever matches"),
            ({"path": "/a/x{b}", "allow": "any"}, "expected a parameter"),
            ({"path": "/a/{b", "allow": "any"}, "expected a parameter"),
            ({"path": "/a/{}", "allow": "any"}, "expected a parameter"),
            ({"path": "/a/:", "allow": "any"}, "expected a parameter"),
            ({"path": "/", "allow": "any", "engaged": ("a,b",)}, "'a,b' in engaged"),
            ({"path": "/", "allow": "any", "engaged": ("\xe9",)}, "in engaged"),
            ({"path": "/", "allow": "any", "engaged": ("",)}, "in engaged"),
        ],
    )
    def test_an_ambiguous_rule_is_an_error(self, values: dict[str, Any], problem: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            Rule(**values)
        assert problem in str(caught.value)


segments = st.lists(st.sampled_from(["a", "b", "ab", "A", "{x}", ":y"]), max_size=4)
patterns = segments.map(lambda parts: "/" + "/".join(parts))
words = st.sampled_from(["a", "b", "ab", "A", "c", "{x}", "..", ".", "", "%2e", "a ", "\\"])
paths = st.lists(words, max_size=5).map(lambda parts: "/" + "/".join(parts))
rule_lists = st.lists(
    st.builds(Rule, path=patterns, allow=st.sampled_from(["any", "authenticated"])), max_size=6
)


def matches(pattern: str, path: str) -> bool:
    """Match in another way than the code: one segment after the other, from the front."""
    pattern, path = pattern.strip("/"), path.strip("/")
    while pattern:
        expected, _, pattern = pattern.partition("/")
        segment, _, path = path.partition("/")
        if not segment or (expected[0] not in "{:" and segment != expected):
            return False
    return True


def is_normalized(path: str) -> bool:
    return "//" not in path and not {".", ".."} & set(path.split("/"))


@given(rule_lists.filter(bool), paths)
def test_the_first_rule_that_matches_decides_any_normalized_path(
    rules: list[Rule], path: str
) -> None:
    decision = Rules(rules).decide(path, None)
    found = [rule for rule in rules if is_normalized(path) and matches(rule.path, path)]
    assert decision.rule is (found[0] if found else None)
    expected = {"any": "forward", "authenticated": "sign in", None: "forbidden"}
    assert decision.verdict == expected[found[0].allow if found else None]


@given(patterns, patterns, paths)
def test_a_rule_that_covers_another_matches_what_the_other_matches(
    first: str, second: str, path: str
) -> None:
    covers = Rule(first, "any").covers(Rule(second, "any"))
    if covers and Rules([Rule(second, "any")]).decide(path, None).rule:
        assert Rules([Rule(first, "any")]).decide(path, None).rule
    if not covers:
        # A path that only the second matches: its parameters have values that no rule writes.
        own = "/".join("unlike" if part[:1] in ("{", ":") else part for part in second.split("/"))
        assert Rules([Rule(second, "any")]).decide(own, None).rule
        assert not Rules([Rule(first, "any")]).decide(own, None).rule


slugs = st.sampled_from(["xia", "b", "c"])
subscriptions = st.lists(st.sampled_from([PLAN, ENDED, {"plan": "other"}]), max_size=2)
organizations = st.fixed_dictionaries({"slug": slugs}, optional={"subscriptions": subscriptions})
sessions = st.dictionaries(
    st.sampled_from(["manager", "viewer"]), st.lists(organizations, max_size=3)
).map(lambda roles: Session({"username": "xia", "roles": roles}))


@given(sessions, slugs, st.booleans(), st.booleans())
def test_only_a_role_or_plan_of_the_organization_in_the_path_opens_it(
    who: Session, slug: str, needs_role: bool, needs_plan: bool
) -> None:
    if not (needs_role or needs_plan):
        return
    rule = Rule(
        "/app/{profile}/",
        roles=("manager",) if needs_role else (),
        plans=("basic",) if needs_plan else (),
    )
    roles: dict[str, list[dict[str, Any]]] = who["roles"]
    has_role = any(item["slug"] == slug for item in roles.get("manager", []))
    has_plan = any(
        item["slug"] == slug and PLAN in item.get("subscriptions", [])
        for items in roles.values()
        for item in items
    )
    expected = (has_role or not needs_role) and (has_plan or not needs_plan)
    assert verdict(f"/app/{slug}/", who, rule) == ("forward" if expected else "forbidden")
