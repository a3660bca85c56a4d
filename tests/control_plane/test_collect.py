"""Collection and deploys exclude each other."""

from threading import Thread

from control_plane.collect import CollectionReport, collect
from control_plane.plane import ControlPlane


def test_hardening_68_collection_waits_for_deploys_that_have_claimed_their_blobs(plane: ControlPlane) -> None:
    reports: list[CollectionReport] = []
    collector = Thread(target=lambda: reports.append(collect(plane)))
    with plane.blobs.claiming():
        collector.start()
        collector.join(0.5)  # it can only wait: this never ends it early, and a collector that doesn't wait is done
        assert collector.is_alive()
        assert reports == []
    collector.join()
    assert len(reports) == 1
