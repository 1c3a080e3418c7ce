"""A request id makes a call idempotent: the same request gets the first answer, another one an error."""

import concurrent.futures

import grpc
import pytest
from faults import expect
from google.protobuf.duration_pb2 import Duration
from wire import CALL_SECONDS, account_pb2, pb

EXISTS = grpc.StatusCode.ALREADY_EXISTS
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


def hold(account, **more):
    return pb.AuthorizeRequest(**{"account": account, "action": "draft", "quantity": "5", "request_id": "r", **more})


def held(entitlement, account) -> str:
    return entitlement.GetBalance(pb.GetBalanceRequest(account=account)).held


def test_authorize_repeats_its_first_answer(site, entitlement):
    account = site.subscribe("hard")
    first = entitlement.Authorize(hold(account))
    again = entitlement.Authorize(hold(account))
    assert (again.reservation, again.decision, again.held) == (first.reservation, first.decision, first.held)
    assert held(entitlement, account) == "5"


def test_both_transports_share_the_ids(site):
    account = site.subscribe("hard")
    handles = {
        site.entitlement(transport).Authorize(hold(account), timeout=CALL_SECONDS).reservation
        for transport in ("uds", "tcp")
    }
    assert len(handles) == 1


def test_concurrent_repeats_hold_once(site, entitlement):
    account = site.subscribe("hard")
    with concurrent.futures.ThreadPoolExecutor(16) as callers:
        answers = list(callers.map(lambda _: entitlement.Authorize(hold(account)), range(16)))
    assert len({answer.reservation for answer in answers}) == 1
    assert held(entitlement, account) == "5"


@pytest.mark.parametrize(
    "other",
    [
        {"quantity": "6"},
        {"action": "note"},
        {"subject": pb.Subject(user="ann")},
        {"dimensions": {"model": "large"}},
        {"run_id": "another"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_another_request_under_the_id_is_refused(site, entitlement, other):
    account = site.subscribe("hard")
    entitlement.Authorize(hold(account))
    expect(lambda: entitlement.Authorize(hold(account, **other)), EXISTS, "REQUEST_ID_REUSED")
    assert held(entitlement, account) == "5"


def test_a_ttl_is_not_part_of_the_request(site, entitlement):
    account = site.subscribe("hard")
    first = entitlement.Authorize(hold(account))
    assert entitlement.Authorize(hold(account, ttl=Duration(seconds=60))).reservation == first.reservation


def test_ids_of_two_accounts_do_not_meet(site, entitlement):
    one, two = site.subscribe("hard"), site.subscribe("hard")
    assert entitlement.Authorize(hold(one)).reservation != entitlement.Authorize(hold(two)).reservation


def test_a_run_that_has_ended_is_said_so(site, entitlement):
    account = site.subscribe("hard")
    run = entitlement.Authorize(hold(account)).reservation
    entitlement.Commit(pb.CommitRequest(reservation=run, quantity="3"))
    fault = expect(lambda: entitlement.Authorize(hold(account)), PRECONDITION, "RESERVATION_SETTLED")
    assert fault.metadata["state"].removeprefix("STATE_") == "SETTLED"
    assert fault.metadata["charged"] == "3"


def test_commit_charges_once(site, entitlement):
    account = site.subscribe("hard")
    run = entitlement.Authorize(hold(account)).reservation
    request = pb.CommitRequest(reservation=run, quantity="4", request_id="c")
    first = entitlement.Commit(request)
    again = entitlement.Commit(request)
    assert (again.state, again.charged) == (first.state, first.charged) == (pb.STATE_SETTLED, "4")
    other = pb.CommitRequest(reservation=run, quantity="5", request_id="c")
    expect(lambda: entitlement.Commit(other), EXISTS, "REQUEST_ID_REUSED")
    assert entitlement.GetBalance(pb.GetBalanceRequest(account=account)).spent == "4"


def test_record_charges_once(site, entitlement, eventually):
    account = site.subscribe("hard")
    request = pb.RecordRequest(account=account, action="draft", quantity="7", request_id="w")
    first = entitlement.Record(request)
    again = entitlement.Record(request)
    assert (again.reservation, again.charged) == (first.reservation, first.charged)
    other = pb.RecordRequest(account=account, action="draft", quantity="8", request_id="w")
    expect(lambda: entitlement.Record(other), EXISTS, "REQUEST_ID_REUSED")
    eventually(lambda: site.ledger_balance(account).spent == "7")


def test_an_event_is_charged_once(site, entitlement, eventually):
    account = site.subscribe("hard")
    request = pb.AuthorizeRequest(account=account, action="ping", quantity="3", request_id="e")
    assert [entitlement.Authorize(request).charged for _ in range(2)] == ["6", "6"]
    eventually(lambda: site.ledger_balance(account).spent == "6")


def test_a_denial_is_not_remembered_as_a_hold(site, entitlement, ledger):
    account = site.subscribe("hard")
    too_much = hold(account, quantity="501", request_id="d")
    assert entitlement.Authorize(too_much).decision == pb.DECISION_DENIED
    assert held(entitlement, account) in ("", "0")


def test_a_grant_is_made_once(site, ledger):
    account = site.subscribe("hard")
    request = account_pb2.GrantRequest(account=account, credits="10", request_id=f"g-{account}")
    assert ledger.Grant(request).grant == ledger.Grant(request).grant
    assert site.ledger_balance(account).available == "510"
    other = account_pb2.GrantRequest(account=account, credits="11", request_id=f"g-{account}")
    expect(lambda: ledger.Grant(other), EXISTS, "REQUEST_ID_REUSED")


def test_a_subscription_is_made_once(site, ledger):
    request = account_pb2.SubscribeRequest(account="subscribed-once", plan="hard", request_id="once")
    first, again = (ledger.Subscribe(request).account for _ in range(2))
    for account in (first, again):
        # What is left of the period shrinks between the two answers; its end does not.
        account.ClearField("period_ends_in")
    assert first == again
