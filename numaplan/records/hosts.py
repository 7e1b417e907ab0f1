"""The plans for several hosts to JSON (schema ``numaplan/hosts/1``)."""

from typing import Final

from numaplan.model.hosts import HostRanking
from numaplan.records.plan import plan_document
from numaplan.records.text import dump

HOSTS_SCHEMA: Final = "numaplan/hosts/1"


def hosts_json(ranking: HostRanking) -> str:
    """The document of a ranking: each host's plan document as it would stand by itself."""
    return dump(
        {
            "schema": HOSTS_SCHEMA,
            "hosts": [
                {
                    "rank": host.rank,
                    "snapshot": host.snapshot,
                    "hostname": host.plan.hostname,
                    "plan": plan_document(host.plan),
                }
                for host in ranking.hosts
            ],
            "unread": [{"snapshot": host.snapshot, "problems": list(host.problems)} for host in ranking.unread],
        }
    )
