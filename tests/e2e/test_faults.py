"""Each kind of bad input gets its status, its reason and the field at fault.

A table: one row is one call that must fail. `ACCOUNT` and `RUN` stand for an account of the row's own and the handle of
a run that it has open.
"""

import base64
import zlib

import grpc
import processes
import pytest
import wire
from faults import expect
from google.protobuf.duration_pb2 import Duration
from wire import account_pb2, pb, playbook_pb2, playbook_pb2_grpc

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
EXISTS = grpc.StatusCode.ALREADY_EXISTS
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION

ACCOUNT, RUN = "ACCOUNT", "RUN"
LONG = "x" * 129
CONTROL = "a\nb"
NO_HANDLE = "this is no handle"
FORGED = base64.urlsafe_b64encode(bytes(range(120))).decode().rstrip("=")


def authorize(**fields):
    return "Authorize", pb.AuthorizeRequest(**{"account": ACCOUNT, "action": "draft", **fields})


def record(**fields):
    return "Record", pb.RecordRequest(**{"account": ACCOUNT, "action": "draft", **fields})


def commit(**fields):
    return "Commit", pb.CommitRequest(**{"reservation": RUN, **fields})


def progress(**fields):
    return "Progress", pb.ProgressRequest(**{"reservation": RUN, **fields})


def release(**fields):
    return "Release", pb.ReleaseRequest(**{"reservation": RUN, **fields})


def get(**fields):
    return "GetReservation", pb.GetReservationRequest(**fields)


def listed(**fields):
    return "ListReservations", pb.ListReservationsRequest(**fields)


def balance(**fields):
    return "GetBalance", pb.GetBalanceRequest(**fields)


def quantity_rows(call):
    """Everything that is no quantity, in every call that takes one."""
    for quantity in ["-1", "abc", "1e3", "", " 1", "+1", "1,5", "NaN", "0.1234567891", "1" + "0" * 16]:
        yield call(quantity=quantity), INVALID, "INVALID_QUANTITY", "quantity"
    yield call(quantity="1", quantities={"input_tokens": "1"}), INVALID, "INVALID_QUANTITY", None
    yield call(quantities={"no_such_meter": "1"}), INVALID, "INVALID_QUANTITY", "quantities"
    yield call(quantities={"input_tokens": "-1"}), INVALID, "INVALID_QUANTITY", "quantities"


def who_rows(call):
    """The fields that `Authorize` and `Record` share."""
    for account in ["", LONG, CONTROL, "a/b"]:
        yield call(account=account), INVALID, "INVALID_ACCOUNT", "account"
    for action in ["", LONG, CONTROL]:
        yield call(action=action), INVALID, "INVALID_ACTION", "action"
    yield call(action="nobody.wrote.this"), NOT_FOUND, "ACTION_UNKNOWN", None
    yield call(subject=pb.Subject(user=CONTROL)), INVALID, "INVALID_SUBJECT", "subject.user"
    yield call(subject=pb.Subject(team=LONG)), INVALID, "INVALID_SUBJECT", "subject.team"
    yield call(subject=pb.Subject(agent=CONTROL)), INVALID, "INVALID_SUBJECT", "subject.agent"
    yield call(dimensions={str(n): "x" for n in range(17)}), INVALID, "INVALID_DIMENSION", "dimensions"
    yield call(dimensions={CONTROL: "x"}), INVALID, "INVALID_DIMENSION", "dimensions"
    yield call(run_id=LONG), INVALID, "INVALID_RUN_ID", "run_id"
    yield call(request_id=LONG), INVALID, "INVALID_REQUEST_ID", "request_id"
    for handle in [NO_HANDLE, FORGED, "A" * 513]:
        yield call(parent=handle), INVALID, "INVALID_HANDLE", "parent"
        yield call(retry_of=handle), INVALID, "INVALID_HANDLE", "retry_of"


def handle_rows(call):
    """The fields that every call on a run shares."""
    for handle in ["", NO_HANDLE, FORGED, "A" * 513]:
        yield call(reservation=handle), INVALID, "INVALID_HANDLE", "reservation"
    yield call(request_id=LONG), INVALID, "INVALID_REQUEST_ID", "request_id"


def result_rows(call):
    """The fields that `Commit` and `Record` share."""
    yield call(result=99), INVALID, "INVALID_RESULT", "result"
    for completion in ["1.1", "-0.5", "half", ""]:
        bad = call(result=pb.RUN_RESULT_PARTIAL, completion=completion)
        yield bad, INVALID, "INVALID_COMPLETION", "completion"
    yield call(verified=True), PRECONDITION, "WRONG_RESULT_FOR_TRIGGER", None


def ttl_rows(call):
    for ttl in [Duration(), Duration(seconds=-1), Duration(seconds=24 * 3600 + 1), Duration(nanos=-1)]:
        yield call(ttl=ttl), INVALID, "INVALID_TTL", "ttl"


def lookup_rows():
    yield get(), INVALID, "INVALID_LOOKUP", None
    yield get(reservation=RUN, account=ACCOUNT, request_id="x"), INVALID, "INVALID_LOOKUP", None
    yield get(reservation=NO_HANDLE), INVALID, "INVALID_HANDLE", "reservation"
    yield get(account=ACCOUNT, request_id="never sent"), NOT_FOUND, "RESERVATION_UNKNOWN", None
    yield listed(), INVALID, "INVALID_LOOKUP", None
    yield listed(account=CONTROL), INVALID, "INVALID_ACCOUNT", "account"
    yield listed(account=ACCOUNT, page_size=-1), INVALID, "INVALID_PAGE", "page_size"
    yield listed(account=ACCOUNT, page_token="no token"), INVALID, "INVALID_PAGE", "page_token"
    yield balance(), INVALID, "INVALID_ACCOUNT", "account"
    yield balance(account="nobody-subscribed-this"), NOT_FOUND, "ACCOUNT_UNKNOWN", None
    yield balance(account=ACCOUNT, pool="no pool"), INVALID, "INVALID_POOL", "pool"
    yield balance(account=ACCOUNT, pool="team:t"), NOT_FOUND, "POOL_UNKNOWN", None
    yield ("GetFeatures", pb.GetFeaturesRequest()), INVALID, "INVALID_ACCOUNT", "account"
    yield ("GetFeatures", pb.GetFeaturesRequest(account="nobody-subscribed-this")), NOT_FOUND, "ACCOUNT_UNKNOWN", None
    yield ("BatchAuthorize", pb.BatchAuthorizeRequest()), INVALID, "INVALID_BATCH", "requests"
    many = [pb.AuthorizeRequest(account=ACCOUNT, action="draft")] * 129
    yield ("BatchAuthorize", pb.BatchAuthorizeRequest(requests=many)), INVALID, "INVALID_BATCH", "requests"


TABLE = [
    *who_rows(authorize),
    *quantity_rows(authorize),
    *ttl_rows(authorize),
    *who_rows(record),
    *quantity_rows(record),
    *result_rows(record),
    *handle_rows(commit),
    *quantity_rows(commit),
    *result_rows(commit),
    *handle_rows(progress),
    *quantity_rows(progress),
    *ttl_rows(progress),
    (progress(ahead="-1"), INVALID, "INVALID_QUANTITY", "ahead"),
    *handle_rows(release),
    *lookup_rows(),
]


def row_name(row) -> str:
    (method, request), _, reason, _ = row
    given = ",".join(descriptor.name for descriptor, _ in request.ListFields())
    return f"{method}({given})-{reason}"


@pytest.fixture(scope="module")
def subject_of_rows(site):
    """An account with an open run: no row may change them, so all rows share them."""
    account = site.subscribe("hard")
    request = pb.AuthorizeRequest(account=account, action="draft", quantity="3")
    return account, site.entitlement().Authorize(request, timeout=wire.CALL_SECONDS).reservation


def filled(message, account: str, run: str):
    """The row's message with its placeholders replaced."""
    text = message.SerializeToString()
    if not text:
        return message
    copy = type(message).FromString(text)
    for descriptor, value in copy.ListFields():
        if value == ACCOUNT:
            setattr(copy, descriptor.name, account)
        elif value == RUN:
            setattr(copy, descriptor.name, run)
    return copy


@pytest.mark.parametrize("row", TABLE, ids=row_name)
def test_bad_input_is_named(site, entitlement, subject_of_rows, row):
    (method, request), code, reason, field = row
    request = filled(request, *subject_of_rows)
    expect(lambda: getattr(entitlement, method)(request), code, reason, field)


def test_bad_input_changes_nothing(site, entitlement, subject_of_rows):
    account, run = subject_of_rows
    found = entitlement.GetReservation(pb.GetReservationRequest(reservation=run)).run
    assert (found.state, found.held) == (pb.STATE_HELD, "3")


def test_a_handle_with_one_flipped_character_is_refused(site, entitlement):
    account = site.subscribe("hard")
    run = entitlement.Authorize(pb.AuthorizeRequest(account=account, action="draft")).reservation
    # The last character may hold bits that decode to nothing; every other one counts.
    for at in range(0, len(run) - 1, 7):
        flipped = run[:at] + ("A" if run[at] != "A" else "B") + run[at + 1 :]
        request = pb.CommitRequest(reservation=flipped)
        expect(lambda request=request: entitlement.Commit(request), INVALID, "INVALID_HANDLE", "reservation")
    assert entitlement.Commit(pb.CommitRequest(reservation=run)).state == pb.STATE_SETTLED


def test_a_fault_in_a_batch_is_that_requests_own(site, entitlement):
    account = site.subscribe("hard")
    good = pb.AuthorizeRequest(account=account, action="draft")
    bad = pb.AuthorizeRequest(account=account, action="draft", quantity="-1")
    results = entitlement.BatchAuthorize(pb.BatchAuthorizeRequest(requests=[good, bad])).results
    assert results[0].response.decision == pb.DECISION_ALLOWED
    fault = results[1].fault
    assert (fault.code, fault.reason) == (INVALID.value[0], "INVALID_QUANTITY")
    assert [violation.field for violation in fault.field_violations] == ["quantity"]


@pytest.mark.parametrize("ending", ["Commit", "Release"])
def test_a_run_that_has_ended(site, entitlement, ending):
    account = site.subscribe("hard")
    run = entitlement.Authorize(pb.AuthorizeRequest(account=account, action="draft", quantity="4")).reservation
    if ending == "Commit":
        entitlement.Commit(pb.CommitRequest(reservation=run))
        state, charged = "SETTLED", "4"
    else:
        entitlement.Release(pb.ReleaseRequest(reservation=run))
        state, charged = "RELEASED", "0"
    request = pb.ProgressRequest(reservation=run, quantity="5")
    fault = expect(lambda: entitlement.Progress(request), PRECONDITION, "RESERVATION_SETTLED")
    assert fault.metadata["state"].removeprefix("STATE_") == state
    assert fault.metadata["charged"] == charged


def test_a_settled_run_is_not_committed_again(site, entitlement):
    account = site.subscribe("hard")
    run = entitlement.Authorize(pb.AuthorizeRequest(account=account, action="draft", quantity="4")).reservation
    entitlement.Commit(pb.CommitRequest(reservation=run, quantity="2", request_id=f"first-{account}"))
    again = pb.CommitRequest(reservation=run, quantity="3", request_id=f"second-{account}")
    fault = expect(lambda: entitlement.Commit(again), PRECONDITION, "RESERVATION_SETTLED")
    assert fault.metadata["charged"] == "2"


def test_an_outcome_may_be_verified(site, entitlement):
    account = site.subscribe("hard")
    run = entitlement.Authorize(pb.AuthorizeRequest(account=account, action="lead")).reservation
    waits = entitlement.Commit(pb.CommitRequest(reservation=run))
    assert (waits.state, waits.charged or "0") == (pb.STATE_AWAITING_OUTCOME, "0")
    done = entitlement.Commit(pb.CommitRequest(reservation=run, verified=True))
    assert (done.state, done.charged) == (pb.STATE_SETTLED, "20")


LEDGER_TABLE = [
    (("Subscribe", account_pb2.SubscribeRequest(account="a/b", plan="hard", request_id="1")), INVALID, "INVALID_ACCOUNT", "account"),
    (("Subscribe", account_pb2.SubscribeRequest(account="", plan="hard", request_id="2")), INVALID, "INVALID_ACCOUNT", "account"),
    (("Subscribe", account_pb2.SubscribeRequest(account="new", plan="hard")), INVALID, "INVALID_REQUEST_ID", "request_id"),
    (("Subscribe", account_pb2.SubscribeRequest(account="new", plan="none", request_id="3")), NOT_FOUND, "PLAN_UNKNOWN", None),
    (("Subscribe", account_pb2.SubscribeRequest(account="new", plan="hard", time_zone="Mars/Base", request_id="4")), INVALID, "INVALID_TIME_ZONE", "time_zone"),
    (("Subscribe", account_pb2.SubscribeRequest(account=ACCOUNT, plan="hard", request_id="5")), EXISTS, "ALREADY_SUBSCRIBED", None),
    (("Suspend", account_pb2.SuspendRequest(account="nobody", request_id="6")), NOT_FOUND, "ACCOUNT_UNKNOWN", None),
    (("Grant", account_pb2.GrantRequest(account=ACCOUNT, credits="-5", request_id="7")), INVALID, "INVALID_CREDITS", "credits"),
    (("Grant", account_pb2.GrantRequest(account=ACCOUNT, credits="0", request_id="8")), INVALID, "INVALID_CREDITS", "credits"),
    (("Grant", account_pb2.GrantRequest(account=ACCOUNT, credits="5", species="gold", request_id="9")), INVALID, "INVALID_SPECIES", "species"),
    (("Grant", account_pb2.GrantRequest(account=ACCOUNT, credits="5", pool="team:t", request_id="10")), NOT_FOUND, "POOL_UNKNOWN", None),
    (("Void", account_pb2.VoidRequest(account=ACCOUNT, grant=987654, request_id="11")), NOT_FOUND, "GRANT_UNKNOWN", None),
    (("GetBalance", account_pb2.GetBalanceRequest(account="nobody")), NOT_FOUND, "ACCOUNT_UNKNOWN", None),
    (("ListAccounts", account_pb2.ListAccountsRequest(page_size=-1)), INVALID, "INVALID_PAGE", "page_size"),
]


@pytest.mark.parametrize("row", LEDGER_TABLE, ids=row_name)
def test_bad_input_at_the_ledger_is_named(site, ledger, subject_of_rows, row):
    (method, request), code, reason, field = row
    request = filled(request, *subject_of_rows)
    expect(lambda: getattr(ledger, method)(request), code, reason, field)


def playbooks(site):
    return playbook_pb2_grpc.PlaybookServiceStub(site.channels["ledger"])


@pytest.mark.parametrize(
    ("change", "code", "reason", "field"),
    [
        (("version: 1", "version: 1"), PRECONDITION, "VERSION_NOT_HIGHER", None),
        (("version: 1", "version: 2\nverzion: 3"), INVALID, "PLAYBOOK_INVALID", None),
        (("actions:", "actions: ["), INVALID, "PLAYBOOK_INVALID", None),
    ],
    ids=["not higher", "unknown key", "no YAML"],
)
def test_a_bad_playbook_is_not_published(site, change, code, reason, field):
    document = (processes.ROOT / "tests" / "e2e" / "playbook.yaml").read_text()
    assert change[0] in document
    document = document.replace(*change, 1)
    # An id of the document's own: the same id with another document would be REQUEST_ID_REUSED.
    request_id = f"bad-{zlib.crc32(document.encode())}"
    request = playbook_pb2.PlaybookServicePublishRequest(document=document, request_id=request_id)
    expect(lambda: playbooks(site).Publish(request, timeout=wire.CALL_SECONDS), code, reason, field)
