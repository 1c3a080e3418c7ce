//! `AccountService`: what operators and billing systems call.

use tonic::{Request, Response, Status};

use super::account_wire::{self as convert, Page};
use super::admission::Admission;
use super::contract_wire as contract;
use super::guard::By;
use super::ledger_api::{Administered, LedgerApi, LedgerError};
use super::ledger_status;
use super::proto::ledger_v1 as wire;
use super::proto::ledger_v1::account_service_server::AccountService;
use super::watch_alerts::{Alerts, Watcher};
use crate::engine::account::{Command, Reply};
use crate::runtime::Shutdown;
use crate::telemetry::Trace;
use crate::types::{AccountId, RequestId};

#[derive(Clone, Debug)]
pub(super) struct AccountServer<L> {
    pub ledger: L,
    pub admission: Admission,
    pub shutdown: Shutdown,
}

impl<L: LedgerApi> AccountServer<L> {
    async fn write(
        &self,
        by: &By,
        account: &AccountId,
        request: &str,
        note: &str,
        command: Command,
    ) -> Result<Administered, Status> {
        let request = convert::request_id(request)?;
        let done = self.ledger.administer(account, &command, &request).await.map_err(status)?;
        log(by, account, &request, note, &command, done.reply);
        Ok(done)
    }

    fn account(&self, done: &Administered) -> Option<wire::Account> {
        Some(convert::wire_account(&done.account, self.ledger.now()))
    }
}

#[tonic::async_trait]
impl<L: LedgerApi> AccountService for AccountServer<L> {
    async fn subscribe(
        &self,
        request: Request<wire::SubscribeRequest>,
    ) -> Result<Response<wire::SubscribeResponse>, Status> {
        let (account, request, by, _place) = self.admission.take_of(request, |r| &r.account)?;
        let command = convert::subscribe(&request)?;
        let done = self.write(&by, &account, &request.request_id, "", command).await?;
        Ok(Response::new(wire::SubscribeResponse { account: self.account(&done) }))
    }

    async fn suspend(
        &self,
        request: Request<wire::SuspendRequest>,
    ) -> Result<Response<wire::SuspendResponse>, Status> {
        let (account, request, by, _place) = self.admission.take_of(request, |r| &r.account)?;
        let done = self.write(&by, &account, &request.request_id, &request.note, Command::Suspend).await?;
        Ok(Response::new(wire::SuspendResponse { account: self.account(&done) }))
    }

    async fn resume(
        &self,
        request: Request<wire::ResumeRequest>,
    ) -> Result<Response<wire::ResumeResponse>, Status> {
        let (account, request, by, _place) = self.admission.take_of(request, |r| &r.account)?;
        let done = self.write(&by, &account, &request.request_id, &request.note, Command::Resume).await?;
        Ok(Response::new(wire::ResumeResponse { account: self.account(&done) }))
    }

    async fn grant(
        &self,
        request: Request<wire::GrantRequest>,
    ) -> Result<Response<wire::GrantResponse>, Status> {
        let (account, request, by, _place) = self.admission.take_of(request, |r| &r.account)?;
        let command = convert::grant(&request)?;
        let done = self.write(&by, &account, &request.request_id, &request.note, command).await?;
        let Reply::Granted(block) = done.reply else { return Err(unexpected(done.reply)) };
        let expires_at = done.ends_at.map(super::lease_wire::timestamp);
        Ok(Response::new(wire::GrantResponse { grant: block.0, expires_at }))
    }

    async fn void(
        &self,
        request: Request<wire::VoidRequest>,
    ) -> Result<Response<wire::VoidResponse>, Status> {
        let (account, request, by, _place) = self.admission.take_of(request, |r| &r.account)?;
        let command = Command::Void { block: crate::types::BlockId(request.grant) };
        let done = self.write(&by, &account, &request.request_id, &request.note, command).await?;
        let Reply::Withdrawn(credits) = done.reply else { return Err(unexpected(done.reply)) };
        Ok(Response::new(wire::VoidResponse { credits: credits.to_string() }))
    }

    async fn change_plan(
        &self,
        request: Request<wire::ChangePlanRequest>,
    ) -> Result<Response<wire::ChangePlanResponse>, Status> {
        let (account, request, by, _place) = self.admission.take_of(request, |r| &r.account)?;
        let command = contract::change_plan(&request)?;
        let done = self.write(&by, &account, &request.request_id, &request.note, command).await?;
        Ok(Response::new(wire::ChangePlanResponse { account: self.account(&done) }))
    }

    async fn set_seats(
        &self,
        request: Request<wire::SetSeatsRequest>,
    ) -> Result<Response<wire::SetSeatsResponse>, Status> {
        let (account, request, by, _place) = self.admission.take_of(request, |r| &r.account)?;
        let command = Command::SetSeats { seats: request.seats };
        let done = self.write(&by, &account, &request.request_id, &request.note, command).await?;
        Ok(Response::new(wire::SetSeatsResponse { account: self.account(&done) }))
    }

    async fn cancel(
        &self,
        request: Request<wire::CancelRequest>,
    ) -> Result<Response<wire::CancelResponse>, Status> {
        let (account, request, by, _place) = self.admission.take_of(request, |r| &r.account)?;
        let command = contract::cancel(&request)?;
        let done = self.write(&by, &account, &request.request_id, &request.note, command).await?;
        Ok(Response::new(wire::CancelResponse { account: self.account(&done) }))
    }

    async fn set_cap(
        &self,
        request: Request<wire::SetCapRequest>,
    ) -> Result<Response<wire::SetCapResponse>, Status> {
        let (account, request, by, _place) = self.admission.take_of(request, |r| &r.account)?;
        let command = contract::set_cap(&request)?;
        let done = self.write(&by, &account, &request.request_id, &request.note, command).await?;
        Ok(Response::new(wire::SetCapResponse { account: self.account(&done) }))
    }

    async fn purchase(
        &self,
        request: Request<wire::PurchaseRequest>,
    ) -> Result<Response<wire::PurchaseResponse>, Status> {
        let (account, request, by, _place) = self.admission.take_of(request, |r| &r.account)?;
        let command = contract::purchase(&request)?;
        let done = self.write(&by, &account, &request.request_id, &request.note, command).await?;
        let Reply::Purchased(block, price) = done.reply else { return Err(unexpected(done.reply)) };
        let expires_at = done.ends_at.map(super::lease_wire::timestamp);
        let (grant, price, currency) = (block.0, price.to_string(), done.currency);
        Ok(Response::new(wire::PurchaseResponse { grant, price, currency, expires_at }))
    }

    async fn award(
        &self,
        request: Request<wire::AwardRequest>,
    ) -> Result<Response<wire::AwardResponse>, Status> {
        let (account, request, by, _place) = self.admission.take_of(request, |r| &r.account)?;
        let command = contract::award(&request)?;
        let done = self.write(&by, &account, &request.request_id, &request.note, command).await?;
        let Reply::Awarded(block, credits) = done.reply else { return Err(unexpected(done.reply)) };
        let expires_at = done.ends_at.map(super::lease_wire::timestamp);
        Ok(Response::new(wire::AwardResponse { grant: block.0, credits: credits.to_string(), expires_at }))
    }

    async fn allocate(
        &self,
        request: Request<wire::AllocateRequest>,
    ) -> Result<Response<wire::AllocateResponse>, Status> {
        let (account, request, by, _place) = self.admission.take_of(request, |r| &r.account)?;
        let command = contract::allocate(&request)?;
        self.write(&by, &account, &request.request_id, &request.note, command).await?;
        Ok(Response::new(wire::AllocateResponse {}))
    }

    async fn transfer(
        &self,
        request: Request<wire::TransferRequest>,
    ) -> Result<Response<wire::TransferResponse>, Status> {
        let (account, request, by, _place) = self.admission.take_of(request, |r| &r.account)?;
        if !request.to_account.is_empty() {
            by.account(&request.to_account)?;
        }
        let command = contract::transfer(&request)?;
        self.write(&by, &account, &request.request_id, &request.note, command).await?;
        Ok(Response::new(wire::TransferResponse {}))
    }

    async fn refund(
        &self,
        request: Request<wire::RefundRequest>,
    ) -> Result<Response<wire::RefundResponse>, Status> {
        let (account, request, by, _place) = self.admission.take_of(request, |r| &r.account)?;
        let command = contract::refund(&request, |handle| self.ledger.handle(&account, handle))?;
        let done = self.write(&by, &account, &request.request_id, &request.note, command).await?;
        let Reply::Refunded { credits, amount } = done.reply else { return Err(unexpected(done.reply)) };
        let (credits, amount) = (credits.to_string(), amount.to_string());
        Ok(Response::new(wire::RefundResponse { credits, amount }))
    }

    async fn get_usage(
        &self,
        request: Request<wire::GetUsageRequest>,
    ) -> Result<Response<wire::GetUsageResponse>, Status> {
        let (account, request, _, _place) = self.admission.take_of(request, |r| &r.account)?;
        let groups = self.ledger.usage(&account, &contract::usage(&request)?).await.map_err(status)?;
        Ok(Response::new(contract::wire_usage(groups)))
    }

    async fn set_overage_limit(
        &self,
        request: Request<wire::SetOverageLimitRequest>,
    ) -> Result<Response<wire::SetOverageLimitResponse>, Status> {
        let (account, request, by, _place) = self.admission.take_of(request, |r| &r.account)?;
        let credits = convert::overage_limit(request.credits.as_deref())?;
        let command = Command::SetOverageLimit { credits };
        let done = self.write(&by, &account, &request.request_id, &request.note, command).await?;
        Ok(Response::new(wire::SetOverageLimitResponse { account: self.account(&done) }))
    }

    async fn get_account(
        &self,
        request: Request<wire::GetAccountRequest>,
    ) -> Result<Response<wire::GetAccountResponse>, Status> {
        let (account, _, _, _place) = self.admission.take_of(request, |r| &r.account)?;
        let view = self.ledger.account(&account).await.map_err(status)?;
        let account = Some(convert::wire_account(&view, self.ledger.now()));
        Ok(Response::new(wire::GetAccountResponse { account }))
    }

    async fn list_accounts(
        &self,
        request: Request<wire::ListAccountsRequest>,
    ) -> Result<Response<wire::ListAccountsResponse>, Status> {
        let (request, by, _place) = self.admission.take(request)?;
        let size = convert::page_size(request.page_size)?;
        let after = convert::name_token(&request.page_token)?;
        // One more than the page: it tells whether there is another.
        let mut views = self.ledger.accounts(after.as_deref(), size + 1).await.map_err(status)?;
        let more = views.len() > size;
        views.truncate(size);
        let last = views.last().filter(|_| more).map(|view| view.id.as_str());
        let next_page_token = last.map(convert::token).unwrap_or_default();
        let now = self.ledger.now();
        // A page of an operator who may see some alone may be short.
        let seen = views.iter().filter(|view| by.may(&view.id));
        let accounts = seen.map(|view| convert::wire_account(view, now)).collect();
        Ok(Response::new(wire::ListAccountsResponse { accounts, next_page_token }))
    }

    async fn get_balance(
        &self,
        request: Request<wire::GetBalanceRequest>,
    ) -> Result<Response<wire::GetBalanceResponse>, Status> {
        let (account, request, _, _place) = self.admission.take_of(request, |r| &r.account)?;
        let pool =
            Some(request.pool.as_str()).filter(|pool| !pool.is_empty()).map(convert::pool).transpose()?;
        let view = self.ledger.balance(&account, pool.as_ref()).await.map_err(status)?;
        Ok(Response::new(convert::wire_balance(&view, self.ledger.now())))
    }

    async fn list_invoice_lines(
        &self,
        request: Request<wire::ListInvoiceLinesRequest>,
    ) -> Result<Response<wire::ListInvoiceLinesResponse>, Status> {
        let (account, request, _, _place) = self.admission.take_of(request, |r| &r.account)?;
        let page = Page::read(request.page_size, &request.page_token)?;
        let (from, to) = (request.from.as_ref(), request.to.as_ref());
        let mut lines = self.ledger.invoice_lines(&account).await.map_err(status)?;
        lines.retain(|line| convert::covers(line, from, to));
        let (lines, next_page_token) = page.cut(lines, |line| line.number);
        let now = self.ledger.now();
        let lines = lines.iter().map(|line| convert::wire_line(line, now)).collect();
        Ok(Response::new(wire::ListInvoiceLinesResponse { lines, next_page_token }))
    }

    type WatchAlertsStream = Alerts;

    async fn watch_alerts(
        &self,
        request: Request<wire::WatchAlertsRequest>,
    ) -> Result<Response<Alerts>, Status> {
        let (account, request, _, admitted) = self.admission.take_of(request, |r| &r.account)?;
        let (ledger, shutdown) = (self.ledger.clone(), self.shutdown.clone());
        let watcher = Watcher { ledger, account, after: request.after, shutdown };
        Ok(Response::new(watcher.begin(admitted).await?))
    }

    async fn list_alerts(
        &self,
        request: Request<wire::ListAlertsRequest>,
    ) -> Result<Response<wire::ListAlertsResponse>, Status> {
        let (account, request, _, _place) = self.admission.take_of(request, |r| &r.account)?;
        let page = Page::read(request.page_size, &request.page_token)?;
        let alerts = self.ledger.alerts(&account).await.map_err(status)?;
        let (alerts, next_page_token) = page.cut(alerts, |alert| alert.number);
        let alerts = alerts.iter().map(convert::wire_alert).collect();
        Ok(Response::new(wire::ListAlertsResponse { alerts, next_page_token }))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that `map_err` wants")]
fn status(error: LedgerError) -> Status {
    ledger_status::of(&error)
}

fn unexpected(reply: Reply) -> Status {
    Status::internal(format!("the account answered `{reply:?}` to another question"))
}

/// The account's journal says what happened; who asked for it and why is said here.
fn log(by: &By, account: &AccountId, request: &RequestId, note: &str, command: &Command, reply: Reply) {
    let what = command.word();
    let note: String = note.chars().take(NOTE_CHARS_MAX).collect();
    let by = by.name();
    let trace_id = Trace::current().map(|trace| trace.trace_id());
    tracing::info!(%account, by, trace_id, request_id = %request, what, note, ?reply, "administered");
}

/// Characters of a note that are kept: a sentence or two.
const NOTE_CHARS_MAX: usize = 1000;
