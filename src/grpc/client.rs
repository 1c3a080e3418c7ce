//! One connection to a sidecar or a ledger, for commands that ask a few things and end.

use std::time::Duration;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::call_error::CallError;
use super::connect::Way;
use super::proto::ledger_v1::account_service_client::AccountServiceClient;
use super::proto::ledger_v1::audit_service_client::AuditServiceClient;
use super::proto::ledger_v1::ledger_service_client::LedgerServiceClient;
use super::proto::ledger_v1::playbook_service_client::PlaybookServiceClient;
use super::proto::v1::entitlement_service_client::EntitlementServiceClient;
use super::proto::{ledger_v1, v1};
use crate::config::Endpoint;
use crate::types::Timestamp;

/// A sidecar.
#[derive(Clone, Debug)]
pub struct SidecarClient {
    entitlement: EntitlementServiceClient<Channel>,
    within: Duration,
}

/// A ledger.
#[derive(Clone, Debug)]
pub struct LedgerClient {
    accounts: AccountServiceClient<Signed>,
    audit: AuditServiceClient<Signed>,
    ledger: LedgerServiceClient<Signed>,
    playbooks: PlaybookServiceClient<Signed>,
    within: Duration,
}

type Signed = InterceptedService<Channel, Bearer>;

/// Says with each call who makes it, where that is by a token.
#[derive(Clone, Debug, Default)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Bearer {
    /// Errors: what no header can hold.
    pub fn new(token: &str) -> Result<Self, String> {
        let value: Result<MetadataValue<Ascii>, _> = format!("Bearer {token}").parse();
        // Not repeated: it is a secret, even if a wrong one.
        let mut value = value.map_err(|_| "has characters that no token has".to_owned())?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

impl SidecarClient {
    /// Connects; every call then has as long as `within`.
    ///
    /// Errors: `UNREACHABLE`.
    pub async fn connect(endpoint: &Endpoint, within: Duration) -> Result<Self, CallError> {
        let channel = plainly(endpoint, within).await?;
        let entitlement = EntitlementServiceClient::new(channel);
        Ok(Self { entitlement, within })
    }
}

/// Whether a server says that its service `name` serves; `""` = all of it.
///
/// Errors: `UNREACHABLE`, and what the server answers.
pub async fn is_serving(endpoint: &Endpoint, name: &str, within: Duration) -> Result<bool, CallError> {
    let mut health = HealthClient::new(plainly(endpoint, within).await?);
    let mut request = Request::new(HealthCheckRequest { service: name.to_owned() });
    request.set_timeout(within);
    let answer = health.check(request).await.map_err(|status| CallError::of(&status))?;
    Ok(answer.into_inner().status() == ServingStatus::Serving)
}

impl LedgerClient {
    /// Connects; every call then has as long as `within`.
    ///
    /// Errors: `UNREACHABLE`.
    pub async fn connect(endpoint: &Endpoint, within: Duration) -> Result<Self, CallError> {
        Ok(Self::over(plainly(endpoint, within).await?, Bearer::default(), within))
    }

    /// The same over TLS, or with a token.
    ///
    /// Errors: `UNREACHABLE`.
    pub async fn connect_by(way: &Way, bearer: Bearer, within: Duration) -> Result<Self, CallError> {
        Ok(Self::over(way.connect(within).await?, bearer, within))
    }

    fn over(channel: Channel, bearer: Bearer, within: Duration) -> Self {
        let signed = || InterceptedService::new(channel.clone(), bearer.clone());
        Self {
            accounts: AccountServiceClient::new(signed()),
            audit: AuditServiceClient::new(signed()),
            ledger: LedgerServiceClient::new(signed()),
            playbooks: PlaybookServiceClient::new(signed()),
            within,
        }
    }

    /// Alerts as they are raised.
    pub async fn watch_alerts(
        &mut self,
        request: ledger_v1::WatchAlertsRequest,
    ) -> Result<Parts<ledger_v1::WatchAlertsResponse>, CallError> {
        let answer = self.accounts.watch_alerts(request).await.map_err(|status| CallError::of(&status))?;
        Ok(Parts { stream: answer.into_inner(), within: Duration::MAX })
    }

    /// A journal, part by part; each part has as long as a call.
    pub async fn export(
        &mut self,
        request: ledger_v1::ExportRequest,
    ) -> Result<Parts<ledger_v1::ExportResponse>, CallError> {
        let answer = self.audit.export(request).await.map_err(|status| CallError::of(&status))?;
        Ok(Parts { stream: answer.into_inner(), within: self.within })
    }
}

/// An answer that comes in parts.
#[derive(Debug)]
pub struct Parts<T> {
    stream: Streaming<T>,
    within: Duration,
}

impl<T> Parts<T> {
    /// The next part; `None`: that was all.
    pub async fn next(&mut self) -> Result<Option<T>, CallError> {
        let part = tokio::time::timeout(self.within, self.stream.message()).await;
        let part = part.map_err(|_| Status::deadline_exceeded("the next part did not come in time"));
        part.and_then(|part| part).map_err(|status| CallError::of(&status))
    }
}

/// Methods that make one call each.
macro_rules! calls {
    ($client:ident.$service:ident {
        $( $method:ident = $rpc:ident($request:ty) -> $answer:ty; )+
    }) => {
        impl $client {
            $(
                pub async fn $method(&mut self, request: $request) -> Result<$answer, CallError> {
                    let mut request = Request::new(request);
                    request.set_timeout(self.within);
                    let answer = self.$service.$rpc(request).await;
                    answer.map(tonic::Response::into_inner).map_err(|status| CallError::of(&status))
                }
            )+
        }
    };
}

calls!(SidecarClient.entitlement {
    authorize = authorize(v1::AuthorizeRequest) -> v1::AuthorizeResponse;
    progress = progress(v1::ProgressRequest) -> v1::ProgressResponse;
    commit = commit(v1::CommitRequest) -> v1::CommitResponse;
    release = release(v1::ReleaseRequest) -> v1::ReleaseResponse;
    record = record(v1::RecordRequest) -> v1::RecordResponse;
    reservation = get_reservation(v1::GetReservationRequest) -> v1::GetReservationResponse;
    reservations = list_reservations(v1::ListReservationsRequest) -> v1::ListReservationsResponse;
    balance = get_balance(v1::GetBalanceRequest) -> v1::GetBalanceResponse;
    features = get_features(v1::GetFeaturesRequest) -> v1::GetFeaturesResponse;
});

calls!(LedgerClient.accounts {
    subscribe = subscribe(ledger_v1::SubscribeRequest) -> ledger_v1::SubscribeResponse;
    suspend = suspend(ledger_v1::SuspendRequest) -> ledger_v1::SuspendResponse;
    resume = resume(ledger_v1::ResumeRequest) -> ledger_v1::ResumeResponse;
    grant = grant(ledger_v1::GrantRequest) -> ledger_v1::GrantResponse;
    void = void(ledger_v1::VoidRequest) -> ledger_v1::VoidResponse;
    change_plan = change_plan(ledger_v1::ChangePlanRequest) -> ledger_v1::ChangePlanResponse;
    set_seats = set_seats(ledger_v1::SetSeatsRequest) -> ledger_v1::SetSeatsResponse;
    cancel = cancel(ledger_v1::CancelRequest) -> ledger_v1::CancelResponse;
    set_cap = set_cap(ledger_v1::SetCapRequest) -> ledger_v1::SetCapResponse;
    purchase = purchase(ledger_v1::PurchaseRequest) -> ledger_v1::PurchaseResponse;
    award = award(ledger_v1::AwardRequest) -> ledger_v1::AwardResponse;
    allocate = allocate(ledger_v1::AllocateRequest) -> ledger_v1::AllocateResponse;
    transfer = transfer(ledger_v1::TransferRequest) -> ledger_v1::TransferResponse;
    refund = refund(ledger_v1::RefundRequest) -> ledger_v1::RefundResponse;
    usage = get_usage(ledger_v1::GetUsageRequest) -> ledger_v1::GetUsageResponse;
    set_overage_limit =
        set_overage_limit(ledger_v1::SetOverageLimitRequest) -> ledger_v1::SetOverageLimitResponse;
    account = get_account(ledger_v1::GetAccountRequest) -> ledger_v1::GetAccountResponse;
    accounts = list_accounts(ledger_v1::ListAccountsRequest) -> ledger_v1::ListAccountsResponse;
    balance = get_balance(ledger_v1::GetBalanceRequest) -> ledger_v1::GetBalanceResponse;
    invoice_lines =
        list_invoice_lines(ledger_v1::ListInvoiceLinesRequest) -> ledger_v1::ListInvoiceLinesResponse;
    alerts = list_alerts(ledger_v1::ListAlertsRequest) -> ledger_v1::ListAlertsResponse;
});

calls!(LedgerClient.audit {
    entries = list_entries(ledger_v1::ListEntriesRequest) -> ledger_v1::ListEntriesResponse;
    verify = verify(ledger_v1::VerifyRequest) -> ledger_v1::VerifyResponse;
});

calls!(LedgerClient.ledger {
    describe = describe(ledger_v1::DescribeRequest) -> ledger_v1::DescribeResponse;
});

calls!(LedgerClient.playbooks {
    publish =
        publish(ledger_v1::PlaybookServicePublishRequest) -> ledger_v1::PlaybookServicePublishResponse;
    playbook = get(ledger_v1::PlaybookServiceGetRequest) -> ledger_v1::PlaybookServiceGetResponse;
    diff = diff(ledger_v1::PlaybookServiceDiffRequest) -> ledger_v1::PlaybookServiceDiffResponse;
    playbooks = list(ledger_v1::PlaybookServiceListRequest) -> ledger_v1::PlaybookServiceListResponse;
});

async fn plainly(endpoint: &Endpoint, within: Duration) -> Result<Channel, CallError> {
    let way = Way::new(endpoint.clone(), None).map_err(|error| CallError::unreachable(endpoint, &error))?;
    way.connect(within).await
}

/// A length of time, as messages carry it. What is longer than a message can say is cut.
pub fn wire_duration(length: Duration) -> prost_types::Duration {
    prost_types::Duration::try_from(length)
        .unwrap_or(prost_types::Duration { seconds: 315_576_000_000, nanos: 0 })
}

/// An instant, as messages carry it.
pub fn wire_timestamp(at: Timestamp) -> prost_types::Timestamp {
    let (seconds, micros) = (at.micros().div_euclid(1_000_000), at.micros().rem_euclid(1_000_000));
    prost_types::Timestamp { seconds, nanos: i32::try_from(micros * 1000).unwrap_or(0) }
}
