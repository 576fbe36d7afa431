"""Generated customers and courses: repeatable, and good enough for the tables."""

from itertools import islice

from airnode.pipeline.seed.people import person, product_rows, user_rows


def test_a_seed_and_an_id_always_make_the_same_row():
    whole = {row[0]: row for row in user_rows(7, range(1, 2000))}
    assert list(user_rows(7, [1500, 3])) == [whole[1500], whole[3]]
    assert list(product_rows(7, range(5))) == list(product_rows(7, range(5)))
    assert list(user_rows(8, range(1, 2000))) != list(whole.values())
    assert next(user_rows(1, [1]))[1:] != next(user_rows(1, [2]))[1:]


def test_customers_fit_the_table():
    rows = list(user_rows(1, range(1, 20_001)))
    assert len({email for _, _, email, _ in rows}) == len(rows)
    assert {locale for *_, locale in rows} == {"ko", "en"}
    for row_id, name, email, locale in rows:
        assert 2 <= len(name) <= 200
        local, _, domain = email.partition("@")
        assert domain in ("example.com", "example.net", "example.org")
        assert local.isascii()
        assert local.rstrip("0123456789").replace(".", "").isalpha()
        assert local.endswith(str(row_id))
        assert name.isascii() == (locale == "en")
    korean = sum(locale == "ko" for *_, locale in rows)
    assert 0.7 < korean / len(rows) < 0.8
    assert len({name for _, name, _, _ in rows}) > 2000


def test_courses_fit_the_table():
    rows = list(product_rows(1, range(1, 20_001)))
    for _, title, category, price in rows:
        assert 3 <= len(title) <= 300
        assert category.isascii() == title.isascii() or "SQL" in title or "UX" in title
        assert 9000 <= price <= 490_000
        assert price % 1000 == 0
    assert len({title for _, title, _, _ in rows}) > 5000
    assert len({category for _, _, category, _ in rows}) == 16


def test_persons_come_from_any_bits():
    for bits in (0, 1, 2**50 - 1, 2**64 - 1):
        name, local, locale = person(bits)
        assert name
        assert local
        assert locale in ("ko", "en")
    assert [row[0] for row in islice(user_rows(-5, range(10**9, 10**9 + 3)), 3)] == [10**9, 10**9 + 1, 10**9 + 2]
