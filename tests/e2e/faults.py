"""What an error carries: its status, its reason, and the field at fault."""

import dataclasses

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status


@dataclasses.dataclass
class Fault:
    code: grpc.StatusCode
    message: str
    reason: str = ""
    metadata: dict[str, str] = dataclasses.field(default_factory=dict)
    fields: list[str] = dataclasses.field(default_factory=list)
    retry_seconds: float | None = None


def read(error: grpc.RpcError) -> Fault:
    """Decodes the google.rpc details of an error."""
    fault = Fault(error.code(), error.details())
    status = rpc_status.from_call(error)
    for detail in status.details if status else []:
        info = error_details_pb2.ErrorInfo()
        bad_request = error_details_pb2.BadRequest()
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            assert info.domain == "bursar", f"the domain of {info}"
            assert not fault.reason, f"two reasons: {fault.reason} and {info.reason}"
            fault.reason = info.reason
            fault.metadata = dict(info.metadata)
        elif detail.Unpack(bad_request):
            for violation in bad_request.field_violations:
                assert violation.description, f"`{violation.field}` without what is wrong with it"
                fault.fields.append(violation.field)
        elif detail.Unpack(retry):
            fault.retry_seconds = retry.retry_delay.ToTimedelta().total_seconds()
    return fault


def expect(call, code: grpc.StatusCode, reason: str, field: str | None = None) -> Fault:
    """`call` must fail with this status and reason; `field` names the violation, or the start of its path."""
    with pytest.raises(grpc.RpcError) as raised:
        call()
    fault = read(raised.value)
    assert (fault.code, fault.reason) == (code, reason), fault
    assert fault.message, "an error without words for people"
    if code == grpc.StatusCode.INVALID_ARGUMENT:
        assert fault.fields, f"no field violation: {fault}"
    if field is not None:
        assert any(_names(path, field) for path in fault.fields), f"no violation of `{field}`: {fault}"
    if code == grpc.StatusCode.UNAVAILABLE:
        assert fault.retry_seconds is not None, f"no RetryInfo: {fault}"
    return fault


def _names(path: str, field: str) -> bool:
    """`quantities["x"]` and `quantities.x` are violations of `quantities`."""
    return path == field or path.startswith((f"{field}.", f"{field}["))
