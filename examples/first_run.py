"""A first run from Python: asks the sidecar, does the work, commits.

    python examples/first_run.py unix:PATH|HOST:PORT ACCOUNT ACTION

Needs the package `grpcio-tools`, and the project's directory `proto/` beside `examples/`.
"""

import importlib.resources
import pathlib
import sys
import tempfile

import grpc
from grpc_tools import protoc

PROTO = pathlib.Path(__file__).resolve().parents[1] / "proto"

# A call without a deadline waits for ever where nobody answers.
SECONDS = 5


def stubs():
    """Generates the stubs anew. A project of your own generates them once, at build time, and keeps them."""
    out = tempfile.mkdtemp(prefix="bursar-stubs-")
    well_known = importlib.resources.files("grpc_tools") / "_proto"
    arguments = ["protoc", f"-I{PROTO}", f"-I{well_known}", f"--python_out={out}", f"--grpc_python_out={out}"]
    if protoc.main([*arguments, "bursar/v1/entitlement.proto"]) != 0:
        sys.exit("the protos do not compile")
    sys.path.insert(0, out)
    from bursar.v1 import entitlement_pb2, entitlement_pb2_grpc

    return entitlement_pb2, entitlement_pb2_grpc


def connect(target: str) -> grpc.Channel:
    """A channel to `unix:PATH` or `HOST:PORT`.

    Over a Unix socket gRPC's C core, which Python uses, names the socket's path as the `:authority` of each request.
    HTTP/2 servers may refuse that as malformed, and Bursar's does: the call fails with INTERNAL and `RST_STREAM`.
    With a default authority it works.
    """
    options = [("grpc.default_authority", "localhost")] if target.startswith("unix:") else []
    return grpc.insecure_channel(target, options=options)


def main(target: str, account: str, action: str) -> None:
    pb, rpc = stubs()
    with connect(target) as channel:
        bursar = rpc.EntitlementServiceStub(channel)
        run = bursar.Authorize(pb.AuthorizeRequest(account=account, action=action), timeout=SECONDS)
        # A refusal is an answer, not an error.
        if run.decision == pb.DECISION_DENIED:
            sys.exit(f"denied: {pb.Reason.Name(run.reason)}")
        print(f"{pb.Decision.Name(run.decision)}: {run.held} credits held")
        try:
            pass  # The work goes here.
        except Exception:
            bursar.Commit(
                pb.CommitRequest(reservation=run.reservation, result=pb.RUN_RESULT_FAILED), timeout=SECONDS
            )
            raise
        done = bursar.Commit(pb.CommitRequest(reservation=run.reservation), timeout=SECONDS)
        print(f"{pb.State.Name(done.state)}: {done.charged} credits charged")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
