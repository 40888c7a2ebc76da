import json

import pytest

from envs.errors import OptionError
from envs.spec import Criticality, Tenant, Workload, workload_of
from tests.worlds import critical_and_best_effort, network


def test_tenants_are_critical_unless_they_say_otherwise() -> None:
    workload = critical_and_best_effort(network("a"), network("b"))
    assert workload.tenants[0].criticality is Criticality.CRITICAL
    assert workload.best_effort == (False, True)


def test_criticality_survives_json() -> None:
    workload = critical_and_best_effort(network("a"), network("b"))
    assert Workload.from_dict(json.loads(json.dumps(workload.to_dict()))) == workload


def test_a_critical_tenant_is_written_as_before_there_was_criticality() -> None:
    data = Workload((Tenant("a", network("a")),)).to_dict()
    assert set(data["tenants"][0]) == {"name", "network", "rate_ips", "weight"}
    assert Workload.from_dict(data).tenants[0].criticality is Criticality.CRITICAL


def test_an_unknown_criticality_is_named() -> None:
    data = Workload((Tenant("a", network("a")),)).to_dict()
    data["tenants"][0]["criticality"] = "urgent"
    with pytest.raises(OptionError, match=r"criticality=urgent .*critical, best_effort"):
        Workload.from_dict(data)


def test_no_two_tenants_have_one_name() -> None:
    served = [network(name) for name in ("a_2", "a", "a", "b", "a", "b")]
    assert workload_of(served).names == ("a_2", "a", "a_3", "b", "a_4", "b_2")
