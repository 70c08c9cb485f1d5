from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djsession import Organization, Session, Subscription
from djsession.session import parse_datetime
from tests.helpers.sessions import XIA, load_capture

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def organization(slug: Any, *plans: tuple[Any, Any]) -> dict[str, Any]:
    subscriptions = [{"plan": plan, "ends_at": ends_at} for plan, ends_at in plans]
    return {"slug": slug, "subscriptions": subscriptions}


@pytest.fixture
def session() -> Session:
    return Session(
        username="xia",
        roles={
            "manager": [
                organization("xia", ("basic", "2030-01-01T09:00:00Z"), ("all-courses", None)),
                organization("cowork", ("old", "2020-12-31T23:59:59Z")),
            ],
            "contributor": [
                organization("cowork"),
                organization("alliance", ("basic", None), ("tier1", "2026-06-01T00:00:00Z")),
            ],
        },
        site={"slug": "cowork", "printable_name": "Chamoix Coworking"},
    )


def test_a_session_is_the_json_as_it_came() -> None:
    assert Session(XIA) == XIA
    assert Session(XIA)["roles"]["manager"][0]["slug"] == "xia"


def test_an_empty_session_has_nobody_signed_in() -> None:
    session = Session()
    assert session.username is None
    assert not session.is_authenticated
    assert session.roles == {}
    assert session.site == {}
    assert session.last_visited is None
    assert session.accessibles() == session.managed_accounts == session.accessible_plans() == []


def test_the_properties_of_a_session_cannot_be_assigned() -> None:
    session: Any = Session()
    for name in ("username", "is_authenticated", "roles", "anything"):
        with pytest.raises(AttributeError):
            setattr(session, name, "root")


@pytest.mark.parametrize("username", [None, "", " ", 1, True, ["xia"], {"xia": 1}])
def test_an_odd_username_is_nobody(username: Any) -> None:
    assert not Session(username=username).is_authenticated


def test_roles_are_organizations(session: Session) -> None:
    [xia, cowork] = session.roles["manager"]
    assert isinstance(xia, Organization)
    assert (xia.slug, cowork.slug) == ("xia", "cowork")
    assert [item.plan for item in xia.subscriptions] == ["basic", "all-courses"]


def test_slugs_come_once_each_in_the_order_sent(session: Session) -> None:
    assert session.accessibles() == ["xia", "cowork", "alliance"]
    assert [item["slug"] for item in session.get_accessibles()] == ["xia", "cowork", "alliance"]


def test_accessibles_are_filtered_by_one_role_or_several(session: Session) -> None:
    assert session.accessibles("contributor") == ["cowork", "alliance"]
    assert session.accessibles(["contributor"]) == ["cowork", "alliance"]
    assert session.accessibles({"contributor", "manager"}) == ["xia", "cowork", "alliance"]
    assert session.accessibles(role for role in ["nobody"]) == []
    # A part of a role's name is another name.
    assert session.accessibles("manage") == []


def test_without_a_role_there_is_no_organization(session: Session) -> None:
    assert session.accessibles([]) == []
    assert session.accessibles("") == []


def test_managed_accounts_are_those_with_the_role_manager(session: Session) -> None:
    assert session.managed_accounts == ["xia", "cowork"]
    assert [item.slug for item in session.get_managed()] == ["xia", "cowork"]
    assert session.manages("xia")
    assert not session.manages("alliance")


def test_an_account_is_compared_as_a_string(session: Session) -> None:
    class Account:
        def __str__(self) -> str:
            return "xia"

    assert session.manages(Account())
    assert Session(roles={"manager": [organization("42")]}).manages(42)


def test_no_account_is_managed_by_nobody() -> None:
    assert not Session(roles={"manager": [organization("None")]}).manages(None)


def test_has_role_compares_role_and_account(session: Session) -> None:
    assert session.has_role("alliance", "contributor")
    assert session.has_role("alliance", ["manager", "contributor"])
    assert not session.has_role("alliance", "manager")
    assert not session.has_role("alliance", [])
    assert not session.has_role("elsewhere", ["manager", "contributor"])


def test_plans_come_once_each_and_only_active_ones(session: Session) -> None:
    assert session.accessible_plans(NOW) == ["basic", "all-courses"]
    assert session.subscribed_to("basic", NOW)
    assert not session.subscribed_to("old", NOW)
    assert not session.subscribed_to(None, NOW)


def test_plans_are_those_of_another_time_when_asked(session: Session) -> None:
    assert session.accessible_plans(datetime(2020, 1, 1, tzinfo=UTC)) == [
        "basic",
        "all-courses",
        "old",
        "tier1",
    ]
    # Beyond the end of xia's own, alliance's has none.
    assert session.subscribed_to("basic", datetime(2040, 1, 1, tzinfo=UTC))


def test_a_subscription_has_ended_at_its_end() -> None:
    subscription = Subscription(plan="tier1", ends_at="2026-06-01T00:00:00Z")
    assert subscription.is_active(NOW - timedelta(seconds=1))
    assert not subscription.is_active(NOW)


def test_plans_are_those_of_now_by_default() -> None:
    ended = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    ahead = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
    session = Session(roles={"manager": [organization("a", ("old", ended), ("new", ahead))]})
    assert session.accessible_plans() == ["new"]


def test_a_naive_time_is_utc() -> None:
    subscription = Subscription(plan="tier1", ends_at="2026-06-01T00:00:00Z")
    assert subscription.is_active(datetime(2026, 5, 31, 23, 59))
    assert not subscription.is_active(datetime(2026, 6, 1))


@pytest.mark.parametrize("subscription", [{"plan": "a", "ends_at": None}, {"plan": "a"}])
def test_a_subscription_without_an_end_has_none(subscription: dict[str, Any]) -> None:
    assert Subscription(subscription).ends_at is None
    assert Subscription(subscription).is_active(datetime.max)


@pytest.mark.parametrize("ends_at", ["never", "", 0, 4102444800, True, [], {}, "2030-13-01"])
def test_a_subscription_whose_end_cannot_be_read_is_not_active(ends_at: Any) -> None:
    session = Session(roles={"manager": [organization("a", ("basic", ends_at))]})
    assert session.roles["manager"][0].subscriptions[0].ends_at is None
    assert session.accessible_plans() == []


ODD: list[Any] = [None, "", "text", 0, 1.5, True, [], [None, 1, "a", [], {}], {}, {"a": None}]


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_odd_parts_of_a_session_read_as_absent(odd: Any) -> None:
    for value in (
        {"roles": odd},
        {"roles": {"manager": odd}},
        {"roles": {"manager": [odd]}},
        {"roles": {"manager": [{"slug": odd}] if odd != "text" else odd}},
    ):
        session = Session(value)
        assert session.accessibles() == []
        assert session.accessible_plans() == []
        assert not session.manages(odd)
    for item in (odd, [odd], [{"plan": odd}] if odd != "text" else odd):
        session = Session(roles={"manager": [{"slug": "a", "subscriptions": item}]})
        assert session.accessible_plans() == []
        assert session.accessibles() == ["a"]
    assert Session(last_visited=odd).last_visited is None
    assert Session(site=odd).site.slug is None


@given(
    st.recursive(
        st.none() | st.integers() | st.text() | st.booleans(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "roles",
                        "manager",
                        "slug",
                        "subscriptions",
                        "plan",
                        "ends_at",
                        "site",
                        "username",
                        "last_visited",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
    )
)
def test_no_json_makes_a_property_of_a_session_raise(value: Any) -> None:
    session = Session(value if isinstance(value, dict) else {"roles": value})
    for item in (session, session.site, *session.get_accessibles()):
        for name in dir(type(item)):
            if not name.startswith("_") and isinstance(getattr(type(item), name), property):
                getattr(item, name)
    session.accessible_plans()
    session.has_role("a", ["manager"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2020-01-01T09:00:00Z", datetime(2020, 1, 1, 9, tzinfo=UTC)),
        ("2020-01-01T09:00:00z", datetime(2020, 1, 1, 9, tzinfo=UTC)),
        ("2026-11-23T06:20:15.501933+00:00", datetime(2026, 11, 23, 6, 20, 15, 501933, UTC)),
        ("2026-11-23T06:20:15.5Z", datetime(2026, 11, 23, 6, 20, 15, 500000, UTC)),
        ("2026-11-23T06:20:15.123456789Z", datetime(2026, 11, 23, 6, 20, 15, 123456, UTC)),
        ("2026-11-23T06:20:15-0530", datetime(2026, 11, 23, 11, 50, 15, tzinfo=UTC)),
        ("2026-11-23 06:20", datetime(2026, 11, 23, 6, 20, tzinfo=UTC)),
        ("2026-11-23T06:20:15", datetime(2026, 11, 23, 6, 20, 15, tzinfo=UTC)),
        ("2026-11-23", datetime(2026, 11, 23, tzinfo=UTC)),
        ("20261123", datetime(2026, 11, 23, tzinfo=UTC)),
        ("20261123T062015Z", datetime(2026, 11, 23, 6, 20, 15, tzinfo=UTC)),
        ("2026-11-23t06:20:15z", datetime(2026, 11, 23, 6, 20, 15, tzinfo=UTC)),
        ("2026-W48-1", datetime(2026, 11, 23, tzinfo=UTC)),
    ],
)
def test_dates_of_a_session_are_aware(text: str, expected: datetime) -> None:
    found = parse_datetime(text)
    assert found == expected
    assert found is not None
    assert found.tzinfo is not None


@pytest.mark.parametrize(
    "text",
    [
        "app,tutorial",
        "",
        "2026",
        "2026-02-30",
        "2026-13-01",
        "0000-01-01",
        "2026-11-23T25:00:00Z",
        "2026-11-23T06:20:60Z",
        "2026-11-23T06:20:15+99:00",
        "2026-11-23T06:20:15Z\n",
        "٢٠٢٦-11-23",
    ],
)
def test_what_is_not_a_date_is_none(text: str) -> None:
    assert parse_datetime(text) is None


@pytest.mark.parametrize("value", [None, 0, 1.5, True, b"2026-11-23", [], {}, date(2026, 11, 23)])
def test_a_date_of_another_type_is_not_a_date(value: Any) -> None:
    assert parse_datetime(value) is None


def test_a_datetime_is_taken_as_it_is() -> None:
    assert parse_datetime(NOW) is NOW
    assert parse_datetime(datetime(2026, 6, 1)) == NOW


@given(st.datetimes(timezones=st.just(UTC)))
def test_every_date_that_python_writes_is_read(moment: datetime) -> None:
    assert parse_datetime(moment.isoformat()) == moment


def test_a_list_of_tags_as_last_visited_stays_in_the_raw_session() -> None:
    session = Session(last_visited="app,tutorial")
    assert session.last_visited is None
    assert session["last_visited"] == "app,tutorial"


def test_an_organization_reads_its_name_and_subscriptions() -> None:
    [xia] = Session(XIA).get_managed()
    assert xia.printable_name == "Xia Lee"
    assert xia.email == "xia@example.com"
    assert xia.created_at == datetime(2017, 9, 14, 23, 16, 55, tzinfo=UTC)
    assert xia.subscriptions[0].ends_at == datetime(2030, 1, 1, 9, tzinfo=UTC)


def test_the_site_is_read_with_and_without_a_slug(session: Session) -> None:
    assert session.site.slug == "cowork"
    assert Session(XIA).site.slug is None
    assert Session(XIA).site.printable_name == "Chamoix Coworking"


def test_the_repr_of_a_session_names_the_keys_and_shows_no_value() -> None:
    session = Session(XIA, secret_key="AKIA")
    assert repr(session) == "<Session: username, roles, site, last_visited, secret_key>"
    assert repr(Session()) == "<Session: empty>"
    assert "xia@example.com" not in repr(session.get_managed())
    # Sentry's client takes a mapping apart unless it has this.
    assert session.__sentry_repr__() == repr(session)


def test_the_captured_session_of_a_second_visit_has_its_date(pytestconfig: pytest.Config) -> None:
    captured = load_capture(pytestconfig.rootpath / "tests/captures/cookie-second-visit.json")
    assert captured.session is not None
    visited = Session(captured.session).last_visited
    assert visited == datetime(2026, 11, 23, 6, 20, 15, 501933, UTC)
