"""A collector sees what operators are promised: one trace from the caller through sidecar and ledger into the database,
and every documented metric."""

import concurrent.futures
import queue
import secrets

import grpc
import postgresql
import processes
import pytest
import test_watching
import wire
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from wire import pb, pb_grpc


class Collector:
    """Takes spans and metrics as OTLP has them."""

    def __init__(self):
        self.spans: queue.Queue = queue.Queue()
        self.metrics: queue.Queue = queue.Queue()
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=4))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(_Traces(self), self.server)
        metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(_Metrics(self), self.server)
        self.port = self.server.add_insecure_port("127.0.0.1:0")

    def __enter__(self) -> "Collector":
        self.server.start()
        return self

    def __exit__(self, *_) -> None:
        self.server.stop(None)


class _Traces(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, collector: Collector):
        self.collector = collector

    def Export(self, request, context):
        for resource in request.resource_spans:
            service = {a.key: a.value.string_value for a in resource.resource.attributes}["service.name"]
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.collector.spans.put((service, span))
        return trace_service_pb2.ExportTraceServiceResponse()


class _Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    def __init__(self, collector: Collector):
        self.collector = collector

    def Export(self, request, context):
        for resource in request.resource_metrics:
            service = {a.key: a.value.string_value for a in resource.resource.attributes}["service.name"]
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    self.collector.metrics.put((service, metric))
        return metrics_service_pb2.ExportMetricsServiceResponse()


@pytest.fixture(scope="module")
def observed(short_directory):
    """A collector, and a sidecar and a ledger over PostgreSQL that report to it. Nothing is sampled unless a caller's
    trace is."""
    directory = short_directory / "telemetry"
    directory.mkdir()
    with Collector() as collector, postgresql.PostgreSQL() as database:
        processes.succeed("ledger", "migrate", "--database", database.url)
        report = ("--otlp-endpoint", f"http://127.0.0.1:{collector.port}", "--trace-ratio", "0")
        with processes.shared_ledger(directory, database.url, "ledger", options=report) as ledger:
            address = ledger.ready()["address"]
            playbook = str(processes.ROOT / "tests/e2e/playbook.yaml")
            to = ("--ledger", processes.url(address))
            processes.succeed("playbook", "publish", playbook, *to)
            processes.succeed("account", "subscribe", "acme", "--plan", "hard", *to)
            debug = ("--log", "info,bursar::decision=debug")
            with processes.sidecar(directory, address, options=(*report, *debug)) as sidecar:
                socket = sidecar.ready()["socket"]
                with wire.uds(socket) as channel:
                    yield collector, pb_grpc.EntitlementServiceStub(channel), sidecar


def authorize(stub, trace: str, sampled: bool, **more):
    request = pb.AuthorizeRequest(account="acme", action="draft", request_id=trace, **more)
    span = secrets.token_hex(8)
    parent = f"00-{trace}-{span}-{int(sampled):02x}"
    return span, stub.Authorize(request, timeout=wire.CALL_SECONDS, metadata=(("traceparent", parent),))


def of_trace(collector: Collector, trace: str):
    """The next span of one trace, and whose it is."""
    while True:
        service, span = collector.spans.get(timeout=wire.CALL_SECONDS)
        if span.trace_id.hex() == trace:
            return service, span


AUTHORIZE = "bursar.v1.EntitlementService/Authorize"
LEASE = "bursar.ledger.v1.LeaseService/Lease"


def way_up(spans: dict, name: str) -> list[tuple[str, str, str]]:
    """From the span of this name: service, name and the id above of each that came so far."""
    at = next((got for _, got in spans.values() if got.name == name), None)
    way = []
    while at is not None:
        above = at.parent_span_id.hex()
        way.append((spans[at.span_id.hex()][0], at.name, above))
        at = spans.get(above, (None, None))[1]
    return way


def test_one_trace_from_the_caller_into_the_database(observed):
    collector, stub, _ = observed
    trace = secrets.token_hex(16)
    span, answer = authorize(stub, trace, True, quantity="1")
    assert answer.decision == pb.DECISION_ALLOWED
    spans: dict = {}
    way: list = []
    while not way or way[-1][2] != span:
        service, got = collector.spans.get(timeout=wire.CALL_SECONDS)
        if got.trace_id.hex() == trace:
            spans[got.span_id.hex()] = (service, got)
        way = way_up(spans, "bursar.turn write")
    assert [step[:2] for step in way] == [
        ("bursar-ledger", "bursar.turn write"),
        ("bursar-ledger", LEASE),
        ("bursar-sidecar", LEASE),
        ("bursar-sidecar", AUTHORIZE),
    ]


def test_a_refusal_is_kept_whatever_the_sampling(observed):
    collector, stub, sidecar = observed
    allowed, refused = secrets.token_hex(16), secrets.token_hex(16)
    authorize(stub, allowed, False, quantity="1")
    span, answer = authorize(stub, refused, False, quantity="1000000")
    assert answer.decision == pb.DECISION_DENIED
    service, got = of_trace(collector, refused)
    assert service == "bursar-sidecar" and got.parent_span_id.hex() == span
    assert {a.key: a.value.string_value for a in got.attributes}["bursar.reason"] == "CREDITS_EXHAUSTED"
    # Its log line has the trace, too; the one that was let through is nowhere.
    log = sidecar.log.read_text()
    assert refused in log and allowed not in log


def test_every_documented_metric_is_sent(observed):
    collector, _, _ = observed
    wanted = {
        (f"bursar-{part}", name.removesuffix("_total").removesuffix("_info"))
        for part in ("sidecar", "ledger")
        for name in test_watching.documented(part)
    }
    sent = set()
    # The first reading comes at the start, before anything has happened; there is another soon.
    while wanted - sent:
        service, metric = collector.metrics.get(timeout=3 * wire.CALL_SECONDS)
        # An error has to happen before it is counted.
        if getattr(metric, metric.WhichOneof("data")).data_points or metric.name == "bursar_call_errors":
            sent.add((service, metric.name))
