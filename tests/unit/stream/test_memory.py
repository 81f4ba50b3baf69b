from kernel_services import Summer, app, note

from easeml.stream.memory import MemoryCluster
from easeml.stream.topics import ANNOTATIONS, APPS, AUDIT


def test_sum():
    cluster = MemoryCluster([Summer()])
    cluster.publish(APPS, app())
    for i in range(10):
        cluster.publish(ANNOTATIONS, note(i))
    cluster.run()
    assert cluster.state("summer", "churn")["total"] == 45
    assert len(cluster.events(AUDIT)) == 10
    cluster.restart("summer")
    cluster.run()
    assert cluster.state("summer", "churn")["total"] == 45
    assert len(cluster.events(AUDIT)) == 10
