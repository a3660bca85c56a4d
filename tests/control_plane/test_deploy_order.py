from control_plane.deploy_order import DeployOrders

OLD_SITE, OTHER_SITE = 1, 2
HASHES = ["a" * 32, "b" * 32]


def test_a_post_finds_the_order_of_its_uploads_whatever_their_sequence_and_repeats() -> None:
    orders = DeployOrders()
    orders.note_uploaded(OLD_SITE, [*HASHES, HASHES[0]], order=7)
    assert orders.take(OLD_SITE, reversed(HASHES)) == 7


def test_another_sites_uploads_say_nothing() -> None:
    orders = DeployOrders()
    orders.note_uploaded(OTHER_SITE, HASHES, order=7)
    assert orders.take(OLD_SITE, HASHES) is None


def test_uploads_count_for_one_post() -> None:
    orders = DeployOrders()
    orders.note_uploaded(OLD_SITE, HASHES, order=7)
    orders.take(OLD_SITE, HASHES)
    assert orders.take(OLD_SITE, HASHES) is None


def test_twins_both_count_as_the_latest_that_began() -> None:
    orders = DeployOrders()
    orders.note_uploaded(OLD_SITE, HASHES, order=7)
    orders.note_uploaded(OLD_SITE, HASHES, order=9)
    assert [orders.take(OLD_SITE, HASHES) for _ in range(3)] == [9, 9, None]


def test_a_repeated_call_of_one_deploy_counts_once() -> None:
    orders = DeployOrders()
    orders.note_uploaded(OLD_SITE, HASHES, order=7)
    orders.note_uploaded(OLD_SITE, HASHES, order=7)
    assert [orders.take(OLD_SITE, HASHES) for _ in range(2)] == [7, None]
