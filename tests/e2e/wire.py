"""The protos as Python sees them, and channels to a server.

The stubs are made from `proto/` each time, into `target/`: what is tested is what callers would generate today.
"""

import atexit
import importlib.resources
import os
import pathlib
import shutil
import sys
import tempfile

import grpc
import grpc.aio
from grpc_tools import protoc

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROTO = ROOT / "proto"
E2E = ROOT / "target" / "e2e"


def _make_stubs() -> str:
    sources = sorted(str(path) for path in PROTO.rglob("*.proto"))
    if not sources:
        raise RuntimeError(f"no protos below {PROTO}")
    E2E.mkdir(parents=True, exist_ok=True)
    # A directory of its own: two runs at once must not read each other's half-written stubs.
    stubs = tempfile.mkdtemp(prefix="stubs-", dir=E2E)
    atexit.register(shutil.rmtree, stubs, ignore_errors=True)
    well_known = importlib.resources.files("grpc_tools") / "_proto"
    arguments = ["protoc", f"-I{PROTO}", f"-I{well_known}", f"--python_out={stubs}", f"--grpc_python_out={stubs}"]
    if protoc.main(arguments + sources) != 0:
        raise RuntimeError("the protos do not compile for Python")
    return stubs


STUBS = _make_stubs()
sys.path.insert(0, STUBS)

from bursar.ledger.v1 import account_pb2, account_pb2_grpc  # noqa: E402
from bursar.ledger.v1 import playbook_pb2, playbook_pb2_grpc  # noqa: E402
from bursar.v1 import entitlement_pb2 as pb  # noqa: E402
from bursar.v1 import entitlement_pb2_grpc as pb_grpc  # noqa: E402

__all__ = ["account_pb2", "account_pb2_grpc", "pb", "pb_grpc", "playbook_pb2", "playbook_pb2_grpc"]

# How long any one call may take. Long, because two cores may be busy with a build; a pass never waits for it.
CALL_SECONDS = 20

_OPTIONS = [
    # Each channel has connections of its own: two tests, or two callers, never share one by accident.
    ("grpc.use_local_subchannel_pool", 1),
    # A server that was killed comes back within a fraction of a second.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
]


_UDS_OPTIONS = [*_OPTIONS, ("grpc.default_authority", "localhost")]


def uds(socket: str | os.PathLike) -> grpc.Channel:
    """A channel over a Unix socket.

    gRPC's C core sends the socket's percent-encoded path as `:authority`, which HTTP/2 servers may refuse as malformed
    (tonic's does: the call fails with INTERNAL, `RST_STREAM`). So the authority is named here, as callers must.
    """
    return grpc.insecure_channel(f"unix:{socket}", options=_UDS_OPTIONS)


def tcp(address: str) -> grpc.Channel:
    """A channel over TCP; `address` may be written as a URL."""
    return grpc.insecure_channel(address.removeprefix("http://"), options=_OPTIONS)


def aio_uds(socket: str | os.PathLike) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(f"unix:{socket}", options=_UDS_OPTIONS)


def aio_tcp(address: str) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(address.removeprefix("http://"), options=_OPTIONS)
