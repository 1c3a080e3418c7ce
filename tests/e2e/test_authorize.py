"""May this run proceed? Holds under concurrency, and refusals as answers."""

import concurrent.futures
from decimal import Decimal

import pytest
from wire import CALL_SECONDS, account_pb2, pb

HOLDS = 20
CREDITS_OF_A_HOLD = 75
# 500 credits pay for six holds of 75; a seventh would need 525.
HOLDS_THAT_FIT = 6


def credits(text: str) -> Decimal:
    """An amount of an answer; one that is not set is none."""
    return Decimal(text or "0")


def by_species(amounts) -> dict[str, Decimal]:
    return {species: credits(amount) for species, amount in amounts.items()}


def hold(account: str, quantity: int = 1, action: str = "draft", **more):
    return pb.AuthorizeRequest(account=account, action=action, quantity=str(quantity), **more)


@pytest.mark.parametrize("transports", [["uds"], ["tcp"], ["uds", "tcp"]], ids="+".join)
def test_concurrent_holds_never_pass_the_limit(site, transports):
    account = site.subscribe("hard")
    stubs = [site.entitlement(transport) for transport in transports]
    with concurrent.futures.ThreadPoolExecutor(HOLDS) as callers:
        calls = [
            callers.submit(stubs[n % len(stubs)].Authorize, hold(account, CREDITS_OF_A_HOLD), timeout=CALL_SECONDS)
            for n in range(HOLDS)
        ]
        answers = [call.result() for call in calls]
    allowed = [answer for answer in answers if answer.decision == pb.DECISION_ALLOWED]
    denied = [answer for answer in answers if answer.decision == pb.DECISION_DENIED]
    assert (len(allowed), len(denied)) == (HOLDS_THAT_FIT, HOLDS - HOLDS_THAT_FIT)
    assert {credits(answer.held) for answer in allowed} == {Decimal(CREDITS_OF_A_HOLD)}
    assert {answer.reason for answer in denied} == {pb.REASON_CREDITS_EXHAUSTED}
    assert len({answer.reservation for answer in allowed}) == HOLDS_THAT_FIT
    balance = stubs[0].GetBalance(pb.GetBalanceRequest(account=account), timeout=CALL_SECONDS)
    assert credits(balance.held) == HOLDS_THAT_FIT * CREDITS_OF_A_HOLD


def test_a_run_is_held_committed_and_at_the_ledger(site, entitlement, eventually):
    account = site.subscribe("hard")
    answer = entitlement.Authorize(hold(account, 30))
    assert answer.decision == pb.DECISION_ALLOWED
    assert 0 < len(answer.reservation) <= 512
    assert (credits(answer.held), credits(answer.charged)) == (30, 0)
    assert answer.HasField("expires_at") and answer.expires_in.ToTimedelta().total_seconds() > 0
    assert by_species(answer.paid_by) == {"subscription": 30}
    done = entitlement.Commit(pb.CommitRequest(reservation=answer.reservation, quantity="20"))
    assert (done.state, credits(done.charged)) == (pb.STATE_SETTLED, 20)
    eventually(lambda: credits(site.ledger_balance(account).spent) == 20)
    balance = site.ledger_balance(account)
    assert (credits(balance.available), credits(balance.held), credits(balance.debt)) == (480, 0, 0)


def test_a_released_run_gives_its_credits_back(site, entitlement):
    account = site.subscribe("hard")
    whole = entitlement.Authorize(hold(account, 500))
    assert entitlement.Authorize(hold(account)).decision == pb.DECISION_DENIED
    assert entitlement.Release(pb.ReleaseRequest(reservation=whole.reservation)).state == pb.STATE_RELEASED
    assert entitlement.Authorize(hold(account, 500)).decision == pb.DECISION_ALLOWED


def test_a_recorded_run_is_never_refused(site, entitlement):
    account = site.subscribe("hard")
    done = entitlement.Record(pb.RecordRequest(account=account, action="draft", quantity="510"))
    assert (done.state, credits(done.charged), credits(done.debt)) == (pb.STATE_SETTLED, 510, 10)
    assert (done.would_be_decision, done.would_be_reason) == (pb.DECISION_DENIED, pb.REASON_CREDITS_EXHAUSTED)


def test_progress_charges_what_was_used_so_far(site, entitlement):
    account = site.subscribe("hard")
    run = entitlement.Authorize(hold(account, 10)).reservation
    so_far = entitlement.Progress(pb.ProgressRequest(reservation=run, quantity="4", ahead="10"))
    assert so_far.decision == pb.DECISION_ALLOWED
    assert (credits(so_far.charged), credits(so_far.held)) == (4, 10)
    too_much = entitlement.Progress(pb.ProgressRequest(reservation=run, quantity="5", ahead="1000"))
    assert (too_much.decision, too_much.reason) == (pb.DECISION_DENIED, pb.REASON_CREDITS_EXHAUSTED)
    assert too_much.HasField("stop_by") and credits(too_much.charged) == 5


def test_a_check_reserves_nothing(site, entitlement):
    account = site.subscribe("hard")
    quote = entitlement.Authorize(hold(account, 500, validate_only=True, explain=True))
    assert (quote.decision, credits(quote.held), quote.reservation) == (pb.DECISION_ALLOWED, 500, "")
    assert quote.explanation
    assert entitlement.Authorize(hold(account, 500)).decision == pb.DECISION_ALLOWED


def denied(answer) -> tuple:
    """A refusal is an answer: the call itself was OK, or it would have raised."""
    assert answer.decision == pb.DECISION_DENIED
    assert answer.reservation == ""
    assert credits(answer.held) == 0
    return answer.reason


def test_credits_exhausted(site, entitlement):
    account = site.subscribe("hard")
    answer = entitlement.Authorize(hold(account, 501))
    assert denied(answer) == pb.REASON_CREDITS_EXHAUSTED
    assert answer.HasField("retry_at"), "the next period may help"
    assert credits(answer.remaining) == 500


def test_account_unknown(entitlement):
    assert denied(entitlement.Authorize(hold("nobody-subscribed-this"))) == pb.REASON_ACCOUNT_UNKNOWN


def test_account_suspended(site, entitlement, ledger, eventually):
    account = site.subscribe("hard")
    ledger.Suspend(account_pb2.SuspendRequest(account=account, request_id=f"suspend-{account}"))
    assert denied(entitlement.Authorize(hold(account))) == pb.REASON_ACCOUNT_SUSPENDED
    ledger.Resume(account_pb2.ResumeRequest(account=account, request_id=f"resume-{account}"))
    eventually(lambda: entitlement.Authorize(hold(account)).decision == pb.DECISION_ALLOWED)


def test_action_not_included(site, entitlement):
    account = site.subscribe("hard")
    assert denied(entitlement.Authorize(hold(account, action="secret"))) == pb.REASON_ACTION_NOT_INCLUDED


def test_cap_reached(site, entitlement):
    account = site.subscribe("capped")
    assert entitlement.Authorize(hold(account, 299)).decision == pb.DECISION_ALLOWED
    answer = entitlement.Authorize(hold(account, 2))
    assert denied(answer) == pb.REASON_CAP_REACHED
    assert answer.cap == "monthly"
    assert answer.HasField("retry_at") and answer.retry_in.ToTimedelta().total_seconds() > 0
    assert entitlement.Authorize(hold(account, 1)).decision == pb.DECISION_ALLOWED


def test_run_budget_exhausted(site, entitlement):
    account = site.subscribe("hard")
    parent = entitlement.Authorize(hold(account, 5)).reservation
    assert entitlement.Authorize(hold(account, 5, parent=parent)).decision == pb.DECISION_ALLOWED
    assert denied(entitlement.Authorize(hold(account, 1, parent=parent))) == pb.REASON_RUN_BUDGET_EXHAUSTED


def test_degraded_use_serves_basic_actions_only(site, entitlement):
    account = site.subscribe("degraded")
    assert entitlement.Authorize(hold(account, 10)).decision == pb.DECISION_ALLOWED
    assert denied(entitlement.Authorize(hold(account))) == pb.REASON_BASIC_ONLY
    answer = entitlement.Authorize(hold(account, action="note"))
    assert answer.decision == pb.DECISION_ALLOWED_DEGRADED
    assert by_species(answer.paid_by) == {"basic": 1}


def test_overage_is_said_and_ends(site, entitlement):
    account = site.subscribe("soft")
    answer = entitlement.Authorize(hold(account, 15))
    assert answer.decision == pb.DECISION_ALLOWED_OVERAGE
    paid_by = by_species(answer.paid_by)
    assert paid_by == {"subscription": 10, "overage": 5}
    assert denied(entitlement.Authorize(hold(account, 16))) == pb.REASON_CREDITS_EXHAUSTED


def test_each_of_a_batch_is_decided_alone(site, entitlement):
    account = site.subscribe("hard")
    request = pb.BatchAuthorizeRequest(requests=[hold(account, 300), hold(account, 300), hold(account, 200)])
    answers = entitlement.BatchAuthorize(request).results
    decisions = [result.response.decision for result in answers]
    assert decisions == [pb.DECISION_ALLOWED, pb.DECISION_DENIED, pb.DECISION_ALLOWED]


def test_features_are_served_as_written(site, entitlement):
    account = site.subscribe("hard")
    answer = entitlement.GetFeatures(pb.GetFeaturesRequest(account=account))
    assert answer.plan == "hard"
    assert answer.features["sso"].bool_value is True
    assert [value.string_value for value in answer.features["models"].list_value.values] == ["small", "large"]
    assert answer.features["seats"].number_value == 25


def test_open_runs_are_found_again(site, entitlement):
    account = site.subscribe("hard")
    run = entitlement.Authorize(hold(account, 7, request_id=f"find-{account}", run_id="a-run")).reservation
    found = entitlement.GetReservation(pb.GetReservationRequest(account=account, request_id=f"find-{account}")).run
    assert (found.reservation, found.state, credits(found.held)) == (run, pb.STATE_HELD, 7)
    listed = entitlement.ListReservations(pb.ListReservationsRequest(account=account)).runs
    assert [(run.reservation, run.run_id) for run in listed] == [(run, "a-run")]
