"""Who is let in, by what, and what they may do then: the ledger over TLS, with an access document."""

import datetime
import json
import pathlib
import threading

import authority
import faults
import grpc
import processes
import proxy
import pytest
import wire
from bursar.ledger.v1 import account_pb2, audit_pb2, lease_pb2, ledger_pb2, playbook_pb2
from bursar.ledger.v1 import lease_pb2_grpc
from google.protobuf import descriptor, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from wire import pb, pb_grpc

LEDGER_ID = "spiffe://bursar.test/ledger"
LEFT = "spiffe://bursar.test/agents/left"
RIGHT = "spiffe://bursar.test/agents/right"
STRANGER = "spiffe://bursar.test/elsewhere/stranger"

ROLES = ["viewer", "operator", "buyer", "administrator", "auditor"]

# Looks as if it were one, and is found wherever it comes out.
CANARY = "canary-5f2c7d1e"

ROTATIONS = 20

# Longer than a refusal takes.
STREAM_SECONDS = 1

ACCESS = """
access: 1
sidecars:
  - {{id: {left}, accounts: [left-*]}}
  - {{id: {right}, accounts: [right-*]}}
operators:
  - {{id: spiffe://bursar.test/console, roles: [viewer], accounts: ["*"]}}
keys:
{keys}
tokens:
  issuer: {issuer}
  audience: {audience}
  keys: jwks.json
  roles: roles
  accounts: accounts
"""


class Realm:
    """A ledger behind TLS with an access document, and what its callers show."""

    def __init__(self, directory: pathlib.Path):
        self.directory = directory
        self.authority = authority.Authority()
        self.issuer = authority.Issuer()
        self.ca = authority.replace(directory / "ca.pem", self.authority.pem)
        self.rotate_ledger()
        (directory / "jwks.json").write_bytes(self.issuer.jwks)
        keys = {role: f"{CANARY}-{role}" for role in ROLES}
        entries = [
            f"  - {{name: {role}, sha256: {authority.hashed(key)}, roles: [{role}], accounts: [left-*]}}"
            for role, key in keys.items()
        ]
        entries.append(
            f"  - {{name: root, sha256: {authority.hashed(CANARY)}, roles: [administrator], accounts: ['*']}}"
        )
        entries.append(
            f"  - {{name: old, sha256: {authority.hashed('old')}, roles: [viewer], accounts: ['*'], until: 2020-01-01T00:00:00Z}}"
        )
        self.access = directory / "access.yaml"
        self.access.write_text(
            ACCESS.format(
                left=LEFT,
                right=RIGHT,
                keys="\n".join(entries),
                issuer=authority.Issuer.NAME,
                audience=authority.Issuer.AUDIENCE,
            )
        )
        self.token = directory / "token"
        self.token.write_text(CANARY + "\n")

    def rotate_ledger(self) -> None:
        self.authority.sign(id=LEDGER_ID, host="localhost").write(self.directory, "ledger")

    def pair(self, name: str, id: str | None, by: authority.Authority | None = None, **how) -> tuple[str, str]:
        return (by or self.authority).sign(id=id, **how).write(self.directory, name)

    def ledger_options(self) -> tuple[str, ...]:
        files = {"cert": "ledger.pem", "key": "ledger.key", "client-ca": "ca.pem"}
        tls = [word for flag, file in files.items() for word in (f"--tls-{flag}", str(self.directory / file))]
        return (*tls, "--access", str(self.access), "--log", "trace")

    def sidecar_options(self, name: str, id: str | None, ca: str | None = None, ledger: str = LEDGER_ID) -> tuple:
        chain, key = str(self.directory / f"{name}.pem"), str(self.directory / f"{name}.key")
        trust = ("--ledger-ca", ca or self.ca, "--ledger-id", ledger)
        return (*trust, "--ledger-cert", chain, "--ledger-key", key, "--log", "trace")

    def sidecar(self, address: str, name: str, id: str | None, **how) -> processes.Server:
        options = self.sidecar_options(name, id, **how)
        return processes.sidecar(self.directory, f"https://{address}", name, options)

    def channel(self, address: str, pair: tuple[str, str] | None = None) -> grpc.Channel:
        own = [pathlib.Path(path).read_bytes() for path in pair] if pair else [None, None]
        credentials = grpc.ssl_channel_credentials(self.authority.pem, own[1], own[0])
        options = [("grpc.ssl_target_name_override", "localhost"), ("grpc.use_local_subchannel_pool", 1)]
        return grpc.secure_channel(address, credentials, options=options)

    def cli(self, address: str) -> tuple[str, ...]:
        trust = ("--ledger-ca", self.ca, "--ledger-id", LEDGER_ID, "--token-file", str(self.token))
        return ("--ledger", f"https://{address}", *trust)


@pytest.fixture(scope="module")
def realm(short_directory):
    directory = short_directory / "trust"
    directory.mkdir()
    return Realm(directory)


@pytest.fixture(scope="module")
def address(realm):
    """A ledger of the realm, with a playbook and an account for each side."""
    with processes.ledger(realm.directory, realm.ledger_options()) as ledger:
        address = ledger.ready()["address"]
        playbook = str(pathlib.Path(__file__).parent / "playbook.yaml")
        processes.succeed("playbook", "publish", playbook, *realm.cli(address))
        for account in ("left-1", "right-1"):
            processes.succeed("account", "subscribe", account, "--plan", "wide", *realm.cli(address))
        yield address


def bearer(token: str | None):
    return [("authorization", f"Bearer {token}")] if token else []


def status_of(call) -> tuple[grpc.StatusCode, str]:
    """The code and the reason that a call ends with; of a stream, its first message."""
    try:
        answer = call()
        if isinstance(answer, grpc.Call):
            next(iter(answer), None)
            answer.cancel()
        return grpc.StatusCode.OK, ""
    except grpc.RpcError as error:
        return error.code(), faults.read(error).reason


# Who may make which call. Written out once more, on purpose: the ledger's own table is what is tested.
LOOK = {
    "GetAccount", "ListAccounts", "GetBalance", "GetUsage", "ListInvoiceLines", "ListAlerts", "WatchAlerts",
    "Get", "List", "Diff",
}  # fmt: skip
MAY = {
    "viewer": LOOK,
    "operator": LOOK | {"Suspend", "Resume", "SetCap", "SetOverageLimit", "Allocate", "Transfer"},
    "buyer": LOOK | {"Subscribe", "ChangePlan", "SetSeats", "Cancel", "Purchase"},
    "auditor": LOOK | {"ListEntries", "Export", "Verify"},
    "sidecar": {"Attach", "Lease", "Decide", "Report", "Watch"},
    "nobody": set(),
}
EVERYBODY = {"Describe"}
FILES = [account_pb2, audit_pb2, lease_pb2, ledger_pb2, playbook_pb2]


def calls() -> list[descriptor.MethodDescriptor]:
    services = [service for file in FILES for service in file.DESCRIPTOR.services_by_name.values()]
    return [method for service in services for method in service.methods]


def may(who: str, method: descriptor.MethodDescriptor) -> bool:
    if who == "administrator":
        return method.name not in MAY["sidecar"]
    return method.name in MAY[who] | EVERYBODY


@pytest.mark.parametrize("who", ["nobody", "sidecar", *ROLES])
def test_every_call_by_every_role_on_every_account(realm, address, who):
    pair = realm.pair("left", LEFT) if who == "sidecar" else None
    token = f"{CANARY}-{who}" if who in ROLES else None
    wrong = []
    with realm.channel(address, pair) as channel:
        for method in calls():
            path = f"/{method.containing_service.full_name}/{method.name}"
            request_class = message_factory.GetMessageClass(method.input_type)
            answer_class = message_factory.GetMessageClass(method.output_type)
            kind = channel.unary_stream if method.server_streaming else channel.unary_unary
            stub = kind(path, request_class.SerializeToString, answer_class.FromString)
            named = "account" in method.input_type.fields_by_name
            for account in ("left-1", "right-1") if named else ("",):
                request = request_class(account=account) if named else request_class()
                # A stream that was let in may have nothing to say.
                seconds = STREAM_SECONDS if method.server_streaming else wire.CALL_SECONDS
                call = lambda: stub(request, timeout=seconds, metadata=bearer(token))  # noqa: E731
                code, reason = status_of(call)
                refused = code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
                if not may(who, method):
                    wanted = "IDENTITY_MISSING" if who == "nobody" else "ROLE_MISSING"
                    right = refused and reason == wanted
                elif account == "right-1" and method.name not in MAY["sidecar"]:
                    right = refused and reason == "ACCOUNT_NOT_ALLOWED"
                else:
                    right = not refused
                if not right:
                    wrong.append((path, account, code.name, reason))
    assert not wrong


def test_a_transfer_needs_both_accounts(realm, address):
    from bursar.ledger.v1 import account_pb2_grpc

    with realm.channel(address) as channel:
        stub = account_pb2_grpc.AccountServiceStub(channel)
        request = account_pb2.TransferRequest(account="left-1", to_account="right-1", credits="1", request_id="t")
        call = lambda: stub.Transfer(request, timeout=wire.CALL_SECONDS, metadata=bearer(f"{CANARY}-operator"))  # noqa: E731
        faults.expect(call, grpc.StatusCode.PERMISSION_DENIED, "ACCOUNT_NOT_ALLOWED")
        listed = stub.ListAccounts(
            account_pb2.ListAccountsRequest(), timeout=wire.CALL_SECONDS, metadata=bearer(f"{CANARY}-viewer")
        )
        assert [account.account for account in listed.accounts] == ["left-1"]


def test_tokens_are_the_issuers_and_hold(realm, address):
    issuer = realm.issuer
    past = int(datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc).timestamp())
    claims = {"roles": ["viewer"], "accounts": ["left-*"]}
    forged = issuer.token("ES256", **claims)
    head, body, _ = forged.split(".")
    good = [issuer.token(algorithm, **claims) for algorithm in issuer.keys]
    bad = [
        "",
        "geheim",
        "old",
        issuer.token("ES256", **claims, exp=past),
        issuer.token("ES256", **claims, exp=None),
        issuer.token("ES256", **claims, nbf=2 * 10**9),
        issuer.token("ES256", **claims, iss="https://other.test"),
        issuer.token("ES256", **claims, aud="other"),
        issuer.token("ES256", roles=["king"], accounts=["*"]),
        issuer.token("ES256", roles=["viewer"]),
        issuer.token("ES256", roles=["viewer"], accounts=[]),
        # The header lies about who signed it, or how.
        issuer.token("RS256", signed_by="ES256", **claims),
        f"{head}.{body}.",
        f"{head}.{body}.{forged.split('.')[2][::-1]}",
        authority._text(b'{"alg":"none"}') + f".{body}.",
        authority._text(b'{"alg":"HS256","kid":"ES256"}') + f".{body}.{forged.split('.')[2]}",
        authority.Issuer().token("ES256", **claims),
    ]
    from bursar.ledger.v1 import account_pb2_grpc

    with realm.channel(address) as channel:
        stub = account_pb2_grpc.AccountServiceStub(channel)
        request = account_pb2.GetAccountRequest(account="left-1")
        for token in good:
            assert stub.GetAccount(request, timeout=wire.CALL_SECONDS, metadata=bearer(token)).account.account == "left-1"
        for token in bad:
            metadata = [("authorization", f"Bearer {token}")]
            code, reason = status_of(lambda: stub.GetAccount(request, timeout=wire.CALL_SECONDS, metadata=metadata))
            assert (code, reason) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID"), token
        basic = [("authorization", "Basic dTpw")]
        code, reason = status_of(lambda: stub.GetAccount(request, timeout=wire.CALL_SECONDS, metadata=basic))
        assert (code, reason) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")


def describe(channel: grpc.Channel):
    method = channel.unary_unary(
        "/bursar.ledger.v1.LedgerService/Describe",
        ledger_pb2.DescribeRequest.SerializeToString,
        ledger_pb2.DescribeResponse.FromString,
    )
    return method(ledger_pb2.DescribeRequest(), timeout=wire.CALL_SECONDS)


def test_certificates_of_others_and_of_yesterday_are_refused(realm, address):
    with realm.channel(address) as channel:
        describe(channel)
    with realm.channel(address, realm.pair("left", LEFT)) as channel:
        describe(channel)
    foreign = realm.pair("foreign", LEFT, by=authority.Authority("another"))
    expired = realm.pair("expired", LEFT, lasts=-authority.DAY)
    for pair in (foreign, expired):
        with realm.channel(address, pair) as channel, pytest.raises(grpc.RpcError) as raised:
            describe(channel)
        assert raised.value.code() == grpc.StatusCode.UNAVAILABLE
    # Nobody who speaks no TLS gets anywhere either.
    with wire.tcp(address) as channel, pytest.raises(grpc.RpcError):
        describe(channel)


def upstream(sidecar: str) -> bool:
    with wire.uds(sidecar) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service="bursar.ledger")
        return stub.Check(request, timeout=wire.CALL_SECONDS).status == health_pb2.HealthCheckResponse.SERVING


def authorize(stub, account: str, request_id: str):
    request = pb.AuthorizeRequest(account=account, action="draft", quantity="1", request_id=request_id)
    return stub.Authorize(request, timeout=wire.CALL_SECONDS)


def test_a_sidecar_acts_for_the_accounts_of_its_certificate(realm, address, eventually):
    realm.pair("left", LEFT)
    with realm.sidecar(address, "left", LEFT) as sidecar:
        socket = sidecar.ready()["socket"]
        eventually(lambda: upstream(socket))
        with wire.uds(socket) as channel:
            stub = pb_grpc.EntitlementServiceStub(channel)
            assert authorize(stub, "left-1", "a").decision == pb.DECISION_ALLOWED
            try:
                answer = authorize(stub, "right-1", "b")
                assert answer.decision == pb.DECISION_DENIED
            except grpc.RpcError as error:
                assert faults.read(error).reason in ("INVALID_ACCOUNT", "ACCOUNT_NOT_ALLOWED")


@pytest.mark.parametrize("why", ["IDENTITY_UNKNOWN", "the ledger names another", "another authority"])
def test_a_sidecar_or_a_ledger_of_another_name_stays_alone(realm, address, eventually, why):
    name = f"alone-{why[:3].lower()}"
    how = {}
    if why == "IDENTITY_UNKNOWN":
        realm.pair(name, STRANGER)
        says = why
    elif why == "another authority":
        realm.pair(name, LEFT)
        other = authority.Authority("another").pem
        how, says = {"ca": authority.replace(realm.directory / "other.pem", other)}, "UnknownIssuer"
    else:
        realm.pair(name, LEFT)
        how, says = {"ledger": STRANGER}, f"wanted is `{STRANGER}`"
    with realm.sidecar(address, name, LEFT, **how) as sidecar:
        socket = sidecar.ready()["socket"]
        eventually(lambda: says in sidecar.log.read_text())
        assert not upstream(socket)


def test_nobody_speaks_for_a_sidecar_that_attached_under_another_certificate(realm, address):
    left, right = realm.pair("left", LEFT), realm.pair("right", RIGHT)
    who = b"0123456789abcdef"
    with realm.channel(address, left) as ours, realm.channel(address, right) as theirs:
        ours, theirs = lease_pb2_grpc.LeaseServiceStub(ours), lease_pb2_grpc.LeaseServiceStub(theirs)
        attach = lambda stub, start, **more: stub.Attach(  # noqa: E731
            lease_pb2.AttachRequest(sidecar=who, start=start, **more), timeout=wire.CALL_SECONDS
        )
        attached = attach(ours, 1)
        sender = lease_pb2.Sender(sidecar=who, epoch=attached.epoch)
        report = lease_pb2.ReportRequest(sender=sender)
        ours.Report(report, timeout=wire.CALL_SECONDS)
        denied = grpc.StatusCode.PERMISSION_DENIED
        faults.expect(lambda: theirs.Report(report, timeout=wire.CALL_SECONDS), denied, "SIDECAR_NOT_YOURS")
        faults.expect(lambda: attach(theirs, 2), denied, "SIDECAR_NOT_YOURS")
        faults.expect(lambda: attach(ours, 2, accounts=["right-1"]), denied, "ACCOUNT_NOT_ALLOWED")
        # It was not fenced by the attempt.
        ours.Report(report, timeout=wire.CALL_SECONDS)


def test_certificates_change_under_load_without_a_failed_call(realm, address, eventually):
    """Twenty times: both sides get new certificates, the fourth of them broken; connections are torn so that new ones
    are made with them. Callers of the sidecar and operators at the ledger notice nothing."""
    realm.pair("rotating", LEFT)
    failures: list[BaseException] = []
    made = {"runs": 0, "looks": 0}
    stop = threading.Event()

    def repeatedly(what):
        try:
            while not stop.is_set():
                what()
        except BaseException as failure:  # noqa: BLE001
            failures.append(failure)

    with proxy.Network([address]) as network, realm.sidecar(network.addresses[0], "rotating", LEFT) as sidecar:
        socket = sidecar.ready()["socket"]
        eventually(lambda: upstream(socket))
        with wire.uds(socket) as channel:
            stub = pb_grpc.EntitlementServiceStub(channel)

            def run():
                answer = authorize(stub, "left-1", f"r{made['runs']}")
                assert answer.decision == pb.DECISION_ALLOWED, answer
                request = pb.CommitRequest(reservation=answer.reservation)
                stub.Commit(request, timeout=wire.CALL_SECONDS)
                made["runs"] += 1

            def look():
                # A connection of its own, each time.
                with realm.channel(address, (str(realm.directory / "rotating.pem"), str(realm.directory / "rotating.key"))) as one:
                    describe(one)
                made["looks"] += 1

            run()
            caller = threading.Thread(target=repeatedly, args=(run,))
            caller.start()
            try:
                for number in range(ROTATIONS):
                    taken = [count(realm.directory / f"{name}.log", IN_FORCE) for name in ("ledger", "rotating")]
                    if number % 4 == 3:
                        # A half-written file: what was before stays in force.
                        authority.replace(realm.directory / "ledger.pem", b"-----BEGIN CERTIFICATE-----\nhalf")
                        eventually(lambda: count(realm.directory / "ledger.log", REFUSED) > number // 4)
                        look()
                    realm.rotate_ledger()
                    realm.pair("rotating", LEFT)
                    now = lambda: [count(realm.directory / f"{name}.log", IN_FORCE) for name in ("ledger", "rotating")]  # noqa: E731
                    eventually(lambda: all(after > before for after, before in zip(now(), taken)))
                    network.order(0, "tear")
                    look()
                    eventually(lambda: upstream(socket))
                    assert not failures, failures
            finally:
                stop.set()
                caller.join()
    assert not failures, failures
    print(f"{ROTATIONS} rotations, {made['runs']} runs and {made['looks']} connections of operators: none failed")
    assert made["runs"] > ROTATIONS


IN_FORCE = "its files have changed: they are in force"
REFUSED = "its files have changed, and can't be used"


def count(log: pathlib.Path, words: str) -> int:
    return log.read_text().count(words)


def test_a_secret_is_in_no_output(realm, address):
    """The last of this file: every log was written at trace level until here."""
    url = f"postgres://u:{CANARY}@127.0.0.1:1/d"
    said = [
        processes.run("config", "show", "ledger", "--database", url),
        processes.run("config", "show", "ledger", "--database", url, "--json"),
        processes.run("ledger", "migrate", "--database", url),
        processes.run("doctor", "ledger", "--database", url),
        processes.run("account", "get", "left-1", *realm.cli(address), "--json"),
        processes.run("account", "get", "left-1", *realm.cli("127.0.0.1:1")),
    ]
    outputs = [run.stdout + run.stderr for run in said]
    logs = [path.read_text() for path in realm.directory.glob("*.log")]
    assert len(logs) > 4 and all(logs)
    keys = [path.read_text().splitlines()[2] for path in realm.directory.glob("*.key")]
    for text in [*outputs, *logs]:
        assert CANARY not in text
        assert not [key for key in keys if key in text]
    assert said[4].returncode == 0, said[4].stderr
    assert json.loads(said[4].stdout)
