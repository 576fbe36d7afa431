"""Pending migrations, and databases that are refused."""

import pytest

from airnode.errors import StartupError
from airnode.store.migrate import Migration, load, pending

ONE, TWO = Migration(1, "one", "SELECT 1"), Migration(2, "two", "SELECT 2")


def test_the_migrations_of_the_package_are_numbered():
    migrations = load()
    assert [migration.version for migration in migrations] == list(range(1, len(migrations) + 1))
    assert migrations[0].name == "classes_users_keys"


@pytest.mark.parametrize(
    ("applied", "left"),
    [({}, [ONE, TWO]), ({1: ONE.sha256}, [TWO]), ({1: ONE.sha256, 2: TWO.sha256}, [])],
)
def test_pending_migrations(applied, left):
    assert pending([ONE, TWO], applied) == left


def test_a_newer_database_is_refused():
    with pytest.raises(StartupError, match="schema version 2, but this airnode knows only 1: upgrade airnode"):
        pending([ONE], {1: ONE.sha256, 2: TWO.sha256})


def test_a_changed_file_is_refused():
    with pytest.raises(StartupError, match=r"0001_one\.sql was changed after it was applied"):
        pending([ONE, TWO], {1: "0" * 64})


@pytest.mark.parametrize("names", [["1_a.sql"], ["0001_a.sql", "0003_b.sql"], ["0001_a.sql", "0001_b.sql"]])
def test_invalid_file_names_are_refused(tmp_path, names):
    for name in names:
        (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(ValueError, match=r"NNNN_name|numbered 1, 2, 3"):
        load(tmp_path)
