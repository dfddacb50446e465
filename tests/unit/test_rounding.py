from polylm_core.rounding import largest_remainder


def test_shares_keep_their_total_and_the_largest_remainders_gain() -> None:
    assert largest_remainder({"a": 1.2, "b": 2.7, "c": 6.1}, 10) == {"a": 1, "b": 3, "c": 6}


def test_equal_remainders_gain_in_the_order_of_their_names() -> None:
    assert largest_remainder({"c": 0.5, "a": 0.5, "b": 1.0}, 2) == {"c": 0, "a": 1, "b": 1}


def test_whole_shares_stay_as_they_are() -> None:
    assert largest_remainder({"a": 3.0, "b": 4.0}, 7) == {"a": 3, "b": 4}
