import pytest

# Before any helper is imported: a failing assertion in one shows its values.
pytest.register_assert_rewrite("tests.helpers")
