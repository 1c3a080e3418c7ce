"""Health per service, and reflection in both of its versions, at both servers."""

import grpc
import processes
import pytest
import wire
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

ENTITLEMENT = "bursar.v1.EntitlementService"
LEDGER_SERVICES = [f"bursar.ledger.v1.{name}Service" for name in ("Lease", "Account", "Playbook")]
UPSTREAM = "bursar.ledger"


def health(channel, service: str) -> int:
    request = health_pb2.HealthCheckRequest(service=service)
    return health_pb2_grpc.HealthStub(channel).Check(request, timeout=wire.CALL_SECONDS).status


@pytest.mark.parametrize("service", ["", ENTITLEMENT, UPSTREAM])
def test_the_sidecar_is_healthy(site, transport, service):
    assert health(site.channels[transport], service) == SERVING


@pytest.mark.parametrize("service", ["", *LEDGER_SERVICES])
def test_the_ledger_is_healthy(site, service):
    assert health(site.channels["ledger"], service) == SERVING


@pytest.mark.parametrize("server", ["uds", "tcp", "ledger"])
def test_the_health_of_an_unknown_service_is_not_found(site, server):
    with pytest.raises(grpc.RpcError) as raised:
        health(site.channels[server], "bursar.v1.NoSuchService")
    assert raised.value.code() == grpc.StatusCode.NOT_FOUND


def test_health_can_be_watched(site, transport):
    request = health_pb2.HealthCheckRequest(service=ENTITLEMENT)
    changes = health_pb2_grpc.HealthStub(site.channels[transport]).Watch(request, timeout=wire.CALL_SECONDS)
    assert next(changes).status == SERVING
    changes.cancel()


def test_readiness_does_not_depend_on_the_ledger(short_directory, eventually):
    directory = short_directory / "alone"
    directory.mkdir()
    with processes.ledger(directory) as ledger:
        address = ledger.ready()["address"]
        with processes.sidecar(directory, address) as sidecar:
            channel = wire.uds(sidecar.ready()["socket"])
            eventually(lambda: health(channel, UPSTREAM) == SERVING)
            ledger.kill()
            eventually(lambda: health(channel, UPSTREAM) == NOT_SERVING)
            assert health(channel, ENTITLEMENT) == SERVING
            assert health(channel, "") == SERVING
            channel.close()
            assert sidecar.stop() == 0


def reflect(channel, version: str, *requests):
    """Calls the reflection service of one version; the messages of both are the same on the wire."""
    call = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    return list(call(iter(requests), timeout=wire.CALL_SECONDS))


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
@pytest.mark.parametrize(
    ("server", "services"), [("uds", [ENTITLEMENT]), ("tcp", [ENTITLEMENT]), ("ledger", LEDGER_SERVICES)]
)
def test_the_services_describe_themselves(site, server, services, version):
    requests = [reflection_pb2.ServerReflectionRequest(list_services="")]
    requests += [reflection_pb2.ServerReflectionRequest(file_containing_symbol=service) for service in services]
    listing, *descriptions = reflect(site.channels[server], version, *requests)
    listed = {service.name for service in listing.list_services_response.service}
    assert set(services) <= listed
    assert "grpc.health.v1.Health" in listed
    for description in descriptions:
        assert description.file_descriptor_response.file_descriptor_proto, description.error_response
